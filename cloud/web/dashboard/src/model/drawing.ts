/** A picture with its boxes on a canvas. The device's box is a solid line, the cloud's a dashed one. */

import type { Box } from "../api/contract";
import { closeUp, contained, covering, intoCrop, placed, type Rect } from "./geometry";

export interface Drawing {
  /** The picture; null draws the empty frame. */
  url: string | null;
  /** The part of the frame that the picture shows; null where nobody knows. */
  region: Box | null;
  device: Box | null;
  cloud: Box | null;
  /** Show the boxes close up, or the whole picture with the boxes named on it. */
  show: "close" | "whole";
}

export const DEVICE_COLOUR = "#ffb52e";
export const CLOUD_COLOUR = "#4fd8ff";
const HALO = "rgb(0 0 0 / 65%)";
const FRAME_SHAPE: readonly [number, number] = [4, 3];
const DASHES: readonly number[] = [7, 5];

/** Draws now and whenever the canvas changes size; returns what ends it. */
export function canvasPicture(canvas: HTMLCanvasElement, drawing: Drawing, onfail: () => void): () => void {
  let picture: HTMLImageElement | null = null;
  let ended = false;
  const redraw = () => {
    if (!ended) paint(canvas, picture, drawing);
  };
  if (drawing.url !== null) {
    const loading = new Image();
    loading.decoding = "async";
    loading.src = drawing.url;
    loading.decode().then(
      () => {
        picture = loading;
        redraw();
      },
      () => !ended && onfail(),
    );
  }
  const resized = new ResizeObserver(redraw);
  resized.observe(canvas);
  redraw();
  return () => {
    ended = true;
    resized.disconnect();
  };
}

function paint(canvas: HTMLCanvasElement, picture: HTMLImageElement | null, drawing: Drawing): void {
  const context = canvas.getContext("2d");
  const { clientWidth: width, clientHeight: height } = canvas;
  if (context === null || width === 0 || height === 0) return;
  const dense = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  context.scale(dense, dense);
  context.imageSmoothingQuality = "high";
  if (drawing.url !== null && picture === null) return;

  const onPicture = (box: Box | null) => (box === null || drawing.region === null ? null : intoCrop(box, drawing.region));
  const device = onPicture(drawing.device);
  const cloud = onPicture(drawing.cloud);
  const close = drawing.show === "close" ? [device, cloud].filter((box) => box !== null) : [];
  const stage =
    picture === null ? emptyFrame(context, width, height) : showPicture(context, picture, close, width, height);
  const lineWidth = drawing.show === "close" ? 2 : 3;
  const deviceRect = device === null ? null : placed(device, stage);
  const cloudRect = cloud === null ? null : placed(cloud, stage);
  if (deviceRect !== null) stroke(context, deviceRect, DEVICE_COLOUR, [], lineWidth);
  if (cloudRect !== null) stroke(context, cloudRect, CLOUD_COLOUR, DASHES, lineWidth);
  if (drawing.show === "close") return;
  if (deviceRect !== null) caption(context, deviceRect, DEVICE_COLOUR, "device", false, width, height);
  if (cloudRect !== null) caption(context, cloudRect, CLOUD_COLOUR, "cloud", true, width, height);
}

function showPicture(
  context: CanvasRenderingContext2D,
  picture: HTMLImageElement,
  close: readonly Box[],
  width: number,
  height: number,
): Rect {
  const { naturalWidth, naturalHeight } = picture;
  // A crop rarely has the shape of the card: its own blown-up shadow fills the rest.
  const back = covering(naturalWidth, naturalHeight, width, height);
  context.globalAlpha = 0.28;
  context.drawImage(picture, back.x, back.y, back.width, back.height);
  context.globalAlpha = 1;
  const stage = closeUp(close, naturalWidth, naturalHeight, width, height);
  context.drawImage(picture, stage.x, stage.y, stage.width, stage.height);
  return stage;
}

function emptyFrame(context: CanvasRenderingContext2D, width: number, height: number): Rect {
  const margin = 12;
  const room = contained(...FRAME_SHAPE, width - 2 * margin, height - 2 * margin);
  const stage = { ...room, x: room.x + margin, y: room.y + margin };
  context.strokeStyle = "rgb(255 255 255 / 25%)";
  context.lineWidth = 1;
  context.strokeRect(stage.x, stage.y, stage.width, stage.height);
  return stage;
}

function stroke(
  context: CanvasRenderingContext2D,
  rect: Rect,
  colour: string,
  dashes: readonly number[],
  lineWidth: number,
): void {
  // The halo keeps both colours visible on any picture.
  context.setLineDash([]);
  context.strokeStyle = HALO;
  context.lineWidth = lineWidth + 2;
  context.strokeRect(rect.x, rect.y, rect.width, rect.height);
  context.setLineDash([...dashes]);
  context.strokeStyle = colour;
  context.lineWidth = lineWidth;
  context.strokeRect(rect.x, rect.y, rect.width, rect.height);
  context.setLineDash([]);
}

function caption(
  context: CanvasRenderingContext2D,
  rect: Rect,
  colour: string,
  text: string,
  below: boolean,
  width: number,
  height: number,
): void {
  context.font = "600 12px system-ui, sans-serif";
  const wide = context.measureText(text).width + 10;
  const tall = 18;
  const x = Math.min(Math.max(0, rect.x), width - wide);
  const wanted = below ? rect.y + rect.height + 5 : rect.y - tall - 5;
  const y = Math.min(Math.max(0, wanted), height - tall);
  context.fillStyle = colour;
  context.fillRect(x, y, wide, tall);
  context.fillStyle = "#10140f";
  context.textBaseline = "middle";
  context.fillText(text, x + 5, y + tall / 2 + 0.5);
}
