import { describe, expect, it } from "vitest";

import type { Accuracy, AuditReport, Estimate } from "../src/api/accuracy";
import { boards, change, changeWord, incomplete, labels, modelName } from "../src/model/accuracy";

const estimate = (value: number, off = 0.1): Estimate => ({
  value,
  low: Math.max(0, value - off),
  high: Math.min(1, value + off),
  frames: 40,
});
const accuracy = (changes: Partial<Accuracy> = {}): Accuracy => ({
  device: "gate",
  camera: "north",
  label: null,
  model_digest: `sha256:${"ab".repeat(32)}`,
  model: "ssdlite 1.0.0",
  audits: 50,
  recall: estimate(0.7),
  precision: estimate(0.8),
  f1: estimate(0.75),
  first_at: "2026-05-01T12:00:00Z",
  last_at: "2026-05-01T13:00:00Z",
  ...changes,
});
const sample = { device: "gate", camera: "north", kept: 50, waiting: 0, lost: 0, walked: 50_000, picture_bytes: 800_000 };
const report = (...estimates: Accuracy[]): AuditReport => ({
  since: "2026-04-01T12:00:00Z",
  level: 0.95,
  estimates,
  cameras: [sample],
});
const all = { device: null, camera: null };
const later = { model_digest: `sha256:${"cd".repeat(32)}`, model: "nanodet 1.0.0" };

describe("boards", () => {
  it("one for all cameras, then one for each, the models in their order", () => {
    const found = boards(report(accuracy(all), accuracy({ ...all, ...later }), accuracy(), accuracy(later)), null);
    expect(found.map(({ where, sample }) => [where, sample])).toEqual([
      [null, null],
      [{ device: "gate", camera: "north" }, sample],
    ]);
    expect(found[1]?.rows.map(({ accuracy }) => accuracy.model)).toEqual(["ssdlite 1.0.0", "nanodet 1.0.0"]);
  });

  it("of the chosen label only", () => {
    const given = report(accuracy(), accuracy({ label: "person" }), accuracy({ label: "car" }));
    expect(labels(given)).toEqual(["car", "person"]);
    expect(boards(given, "car")[0]?.rows.map(({ accuracy }) => accuracy.label)).toEqual(["car"]);
    expect(boards(given, "dog")).toEqual([]);
  });
});

describe("the change from model to model", () => {
  it("is sure where the interval of the difference leaves zero out", () => {
    expect(change(estimate(0.5), estimate(0.8))).toMatchObject({ sure: true });
    expect(change(estimate(0.7), estimate(0.75))).toMatchObject({ sure: false });
    // Two intervals that overlap a little may still differ for sure.
    expect(change(estimate(0.5), estimate(0.66))).toMatchObject({ sure: true });
    expect(change(null, estimate(0.8))).toBeNull();
    expect(change(estimate(0.8), null)).toBeNull();
  });

  it("is said in points", () => {
    expect(changeWord({ by: 0.2, sure: true })).toBe("20 points better");
    expect(changeWord({ by: -0.011, sure: false })).toBe("1 point worse, may be chance");
    expect(changeWord({ by: 0.001, sure: false })).toBe("as before");
  });
});

it("a model without a name is called by its digest", () => {
  expect(modelName(accuracy())).toBe("ssdlite 1.0.0");
  expect(modelName(accuracy({ model: "" }))).toBe("abababababab");
});

it("what is missing of a sample is said", () => {
  expect(incomplete(sample)).toBeNull();
  expect(incomplete({ ...sample, lost: 3, waiting: 2 })).toBe(
    "3 of 53 drawn frames never arrived, 2 wait to be looked at",
  );
});
