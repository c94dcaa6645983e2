import { describe, expect, it } from "vitest";

import type { Device, TunedBand } from "../src/api/contract";
import { bounded, grade, objectives, perDay, percent } from "../src/model/objectives";

const band = (camera: string, label: string): TunedBand => ({
  camera,
  label,
  lower: 0.3,
  upper: 0.7,
  state: "met",
  reason: "the answers prove it",
  frames: 120,
  objects: 40,
});
const device = (name: string, bands?: TunedBand[]): Device => ({
  device: name,
  presence: "online",
  reason: "",
  agent_version: "0.1.0",
  last_seen_at: null,
  enrolled_at: "2026-05-01T12:00:00Z",
  revoked_at: null,
  model: null,
  cameras: [],
  telemetry: {
    message_id: "1",
    made_at: "2026-05-01T12:00:00Z",
    uptime_s: 1,
    rss_mib: 90,
    cameras: [],
    outbox_depth: 0,
    alerts_dropped: 0,
    bytes_by_reason: {},
    errors: {},
    ...(bands === undefined ? {} : { bands }),
  },
  reported: null,
});

describe("objectives", () => {
  it("of all devices, in an order that does not jump about", () => {
    const found = objectives([device("b", [band("yard", "person"), band("yard", "car")]), device("a", [band("gate", "car")])]);
    expect(found.map(({ key }) => key)).toEqual(["a/gate/car", "b/yard/car", "b/yard/person"]);
  });

  it("none from a device without telemetry, or with an older agent", () => {
    expect(objectives([{ ...device("a"), telemetry: null }, device("b")])).toEqual([]);
  });

  it("a figure that is not known is not said to be nought", () => {
    expect(bounded(null, 0.2, percent)).toBeNull();
    expect(bounded(0.08, undefined, percent)).toBeNull();
    expect(bounded(0, 0.123, percent)).toBe("0 %, at most 12 %");
    expect(bounded(0.25, 1.75, perDay)).toBe("0.3, at most 1.8");
  });

  it("only what is proven is good, and what can't be is bad", () => {
    expect([grade("met"), grade("infeasible"), grade("unproven")]).toEqual(["good", "bad", "unsure"]);
  });
});
