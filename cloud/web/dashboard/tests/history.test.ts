import { expect, it } from "vitest";

import type { HistoryPoint, Telemetry } from "../src/api/contract";
import { POINTS, series, withLater, withPoint } from "../src/model/history";

const at = (seconds: number) => new Date(Date.UTC(2026, 4, 1, 12, 0, 0) + seconds * 1000).toISOString();
const point = (seconds: number, changes: Partial<HistoryPoint> = {}): HistoryPoint => ({
  at: at(seconds),
  uptime_s: seconds,
  fps: 7,
  rss_mib: 90,
  bytes_sent: seconds * 100,
  ...changes,
});
const telemetry = (seconds: number): Telemetry => ({
  message_id: seconds.toString(16).padStart(32, "0"),
  made_at: at(seconds),
  uptime_s: seconds,
  rss_mib: 91,
  cameras: [
    { name: "a", fps: 7, inference_ms: 5 },
    { name: "b", fps: 5, inference_ms: 6 },
  ],
  outbox_depth: 0,
  alerts_dropped: 0,
  bytes_by_reason: { alerts: 300, questions: 700 },
  errors: {},
});

it("a telemetry adds one point over all cameras", () => {
  const points = withPoint([point(0)], telemetry(30), at(31));
  expect(points[1]).toMatchObject({ at: at(31), fps: 12, bytes_sent: 1000 });
});

it("what came while the past was asked for is kept, once", () => {
  const past = [point(0), point(30)];
  expect(withLater(past, [])).toEqual(past);
  expect(withLater(past, [point(60)])).toEqual([...past, point(60)]);
  // The service had noted the same telemetry already, or one after it.
  expect(withLater(past, [point(31, { uptime_s: 30 }), point(20)])).toEqual(past);
  expect(withLater([], [point(0)])).toEqual([point(0)]);
});

it("the history stays bounded", () => {
  const points = Array.from({ length: POINTS }, (_, index) => point(index));
  expect(withPoint(points, telemetry(POINTS + 1), at(POINTS + 1))).toHaveLength(POINTS);
});

it("bytes become a rate, with a gap where the agent restarted", () => {
  const points = [point(0), point(10), point(20, { uptime_s: 2, bytes_sent: 1050 }), point(30, { uptime_s: 12, bytes_sent: 1250 })];
  expect(series(points, "sent").values).toEqual([null, 100, null, 20]);
});

it("times always rise, whatever the device's clock did", () => {
  const { at: times, values } = series([point(10), point(5), point(20, { fps: 3 }), point(20)], "fps");
  expect(times).toHaveLength(2);
  expect(values).toEqual([7, 3]);
});
