import { describe, expect, it } from "vitest";

import { closeUp, contained, covering, intoCrop, placed } from "../src/model/geometry";

describe("a box of the frame on a crop", () => {
  it("is itself when the crop is the whole frame", () => {
    expect(intoCrop([0.2, 0.3, 0.4, 0.5], [0, 0, 1, 1])).toEqual([0.2, 0.3, 0.4, 0.5]);
  });

  it("is moved and stretched by the region", () => {
    expect(intoCrop([0.25, 0.5, 0.5, 0.75], [0.25, 0.5, 0.75, 1])).toEqual([0, 0, 0.5, 0.5]);
  });

  it("is clipped at the crop's edge", () => {
    expect(intoCrop([0, 0, 1, 1], [0.25, 0.25, 0.5, 0.5])).toEqual([0, 0, 1, 1]);
  });

  it("is nothing outside of it, or on a crop without area", () => {
    expect(intoCrop([0.8, 0.8, 0.9, 0.9], [0, 0, 0.5, 0.5])).toBeNull();
    expect(intoCrop([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.9])).toBeNull();
  });
});

describe("a picture on a canvas", () => {
  it("is whole and centred", () => {
    expect(contained(100, 50, 200, 200)).toEqual({ x: 0, y: 50, width: 200, height: 100 });
  });

  it("fills the space behind", () => {
    expect(covering(100, 50, 200, 200)).toEqual({ x: -100, y: 0, width: 400, height: 200 });
  });

  it("carries its boxes along", () => {
    expect(placed([0.5, 0, 1, 0.5], { x: 10, y: 20, width: 100, height: 40 })).toEqual({
      x: 60,
      y: 20,
      width: 50,
      height: 20,
    });
  });

  it("comes close to its boxes, which stay in the middle", () => {
    const rect = closeUp([[0.45, 0.4, 0.55, 0.6]], 1000, 1000, 200, 200);
    const box = placed([0.45, 0.4, 0.55, 0.6], rect);
    expect(box.height).toBeCloseTo(144);
    expect(box.x + box.width / 2).toBeCloseTo(100);
    expect(box.y + box.height / 2).toBeCloseTo(100);
  });

  it("opens no gap for a box at its edge, and is whole without boxes", () => {
    const rect = closeUp([[0, 0.8, 0.1, 1]], 1000, 1000, 200, 200);
    expect(rect.x).toBe(0);
    expect(rect.y + rect.height).toBeCloseTo(200);
    expect(closeUp([], 100, 50, 200, 200)).toEqual(contained(100, 50, 200, 200));
  });

  it("never shrinks below whole", () => {
    expect(closeUp([[0, 0, 1, 1]], 100, 100, 200, 200)).toEqual({ x: 0, y: 0, width: 200, height: 200 });
  });

  it("without a size takes the whole space", () => {
    expect(contained(0, 0, 30, 20)).toEqual({ x: 0, y: 0, width: 30, height: 20 });
  });
});

it("a close-up fills the space when its boxes leave room to", () => {
  const rect = closeUp([[0.25, 0.1, 0.4, 0.9]], 100, 100, 220, 200);
  expect(rect.width).toBeCloseTo(220);
  expect(rect.x).toBe(0);
});
