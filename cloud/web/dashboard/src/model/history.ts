/** A device's telemetry over time, as series that a chart can draw. */

import type { HistoryPoint, Telemetry } from "../api/contract";

/** A day as the service thins it out (every 10 s in the last hour, every 5 min before), and some hours of watching. */
export const POINTS = 1_500;

export type Metric = "fps" | "memory" | "sent";

export interface Series {
  /** Unix seconds, rising. */
  at: number[];
  /** Null where the agent restarted and a rate means nothing. */
  values: (number | null)[];
}

/** `points` with what a telemetry adds that came at `at`. */
export function withPoint(points: readonly HistoryPoint[], telemetry: Telemetry, at: string): readonly HistoryPoint[] {
  const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
  const point: HistoryPoint = {
    at,
    uptime_s: telemetry.uptime_s,
    fps: sum(telemetry.cameras.map((camera) => camera.fps)),
    rss_mib: telemetry.rss_mib,
    bytes_sent: sum(Object.values(telemetry.bytes_by_reason)),
  };
  return [...points, point].slice(-POINTS);
}

/** The answer to a question for the past, with what came by the stream while the question was under way. */
export function withLater(asked: readonly HistoryPoint[], came: readonly HistoryPoint[]): readonly HistoryPoint[] {
  const last = asked.at(-1);
  const later = came.filter(
    ({ at, uptime_s }) => last === undefined || (Date.parse(at) > Date.parse(last.at) && uptime_s !== last.uptime_s),
  );
  return [...asked, ...later].slice(-POINTS);
}

export function series(points: readonly HistoryPoint[], metric: Metric): Series {
  const found: Series = { at: [], values: [] };
  let before: HistoryPoint | null = null;
  for (const point of points.slice(-POINTS)) {
    const at = Date.parse(point.at) / 1000;
    const last = found.at.at(-1);
    // Charts need rising times: what a clock that was set back says twice is left out.
    if (Number.isNaN(at) || (last !== undefined && at <= last)) continue;
    found.at.push(at);
    found.values.push(value(point, before, metric));
    before = point;
  }
  return found;
}

function value(point: HistoryPoint, before: HistoryPoint | null, metric: Metric): number | null {
  if (metric === "fps") return point.fps;
  if (metric === "memory") return point.rss_mib;
  if (before === null || point.uptime_s < before.uptime_s) return null;
  const seconds = (Date.parse(point.at) - Date.parse(before.at)) / 1000;
  return (point.bytes_sent - before.bytes_sent) / seconds;
}
