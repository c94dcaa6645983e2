/** Boxes of the full frame, drawn on a picture that shows part of it. Shares are 0..1, x1 y1 x2 y2. */

import type { Box } from "../api/contract";

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

const clip = (value: number) => Math.min(1, Math.max(0, value));

/** The part of a frame's box that a crop shows, in shares of the crop; null where it shows none of it. */
export function intoCrop(box: Box, region: Box): Box | null {
  const width = region[2] - region[0];
  const height = region[3] - region[1];
  if (width <= 0 || height <= 0) return null;
  const x1 = clip((box[0] - region[0]) / width);
  const y1 = clip((box[1] - region[1]) / height);
  const x2 = clip((box[2] - region[0]) / width);
  const y2 = clip((box[3] - region[1]) / height);
  return x2 > x1 && y2 > y1 ? [x1, y1, x2, y2] : null;
}

/** Where a picture stands when it is shown whole, centred, in a space of this size. */
export function contained(pictureWidth: number, pictureHeight: number, width: number, height: number): Rect {
  return scaled(pictureWidth, pictureHeight, width, height, Math.min);
}

/** Where a picture stands when it fills the space and its overhang is cut. */
export function covering(pictureWidth: number, pictureHeight: number, width: number, height: number): Rect {
  return scaled(pictureWidth, pictureHeight, width, height, Math.max);
}

function scaled(
  pictureWidth: number,
  pictureHeight: number,
  width: number,
  height: number,
  choose: (a: number, b: number) => number,
): Rect {
  if (pictureWidth <= 0 || pictureHeight <= 0) return { x: 0, y: 0, width, height };
  const scale = choose(width / pictureWidth, height / pictureHeight);
  const w = pictureWidth * scale;
  const h = pictureHeight * scale;
  return { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h };
}

/** How much of the space the boxes take when a picture is shown close up, */
const CLOSE_UP = 0.72;
/** and how much they may take where that lets the picture fill the space. */
const CLOSEST = 0.92;

/**
 * Where a picture stands when it is shown as close as its boxes allow, without a gap at an edge unless the whole
 * picture is smaller than the space. `boxes` in shares of the picture.
 */
export function closeUp(
  boxes: readonly Box[],
  pictureWidth: number,
  pictureHeight: number,
  width: number,
  height: number,
): Rect {
  const whole = contained(pictureWidth, pictureHeight, width, height);
  if (boxes.length === 0 || pictureWidth <= 0 || pictureHeight <= 0) return whole;
  const x1 = Math.min(...boxes.map((box) => box[0]));
  const y1 = Math.min(...boxes.map((box) => box[1]));
  const x2 = Math.max(...boxes.map((box) => box[2]));
  const y2 = Math.max(...boxes.map((box) => box[3]));
  const edge = Math.min(width / ((x2 - x1) * pictureWidth), height / ((y2 - y1) * pictureHeight));
  const filled = Math.max(width / pictureWidth, height / pictureHeight);
  const scale = Math.max(whole.width / pictureWidth, CLOSE_UP * edge, Math.min(filled, CLOSEST * edge));
  const w = pictureWidth * scale;
  const h = pictureHeight * scale;
  return { x: slid(width, w, (x1 + x2) / 2), y: slid(height, h, (y1 + y2) / 2), width: w, height: h };
}

/** The offset that brings `centre` (a share) of a length to the middle of the room, as far as no gap opens. */
function slid(room: number, length: number, centre: number): number {
  if (length <= room) return (room - length) / 2;
  return Math.min(0, Math.max(room - length, room / 2 - centre * length));
}

/** A box in shares of a picture, as pixels of the canvas on which the picture stands at `rect`. */
export function placed(box: Box, rect: Rect): Rect {
  return {
    x: rect.x + box[0] * rect.width,
    y: rect.y + box[1] * rect.height,
    width: (box[2] - box[0]) * rect.width,
    height: (box[3] - box[1]) * rect.height,
  };
}
