/** What devices are held to, as the page says it. */

import type { BandState, Device, TunedBand } from "../api/contract";

export interface Objective {
  key: string;
  device: string;
  band: TunedBand;
}

/** The bands of all devices, by device, camera and label. */
export function objectives(devices: readonly Device[]): Objective[] {
  return devices
    .flatMap(({ device, telemetry }) =>
      (telemetry?.bands ?? []).map((band) => ({ key: `${device}/${band.camera}/${band.label}`, device, band })),
    )
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** "9 %, at most 12 %"; null where it is not known yet. */
export function bounded(
  value: number | null | undefined,
  atMost: number | null | undefined,
  say: (value: number) => string,
): string | null {
  return value == null || atMost == null ? null : `${say(value)}, at most ${say(atMost)}`;
}

export const percent = (value: number): string => `${Math.round(value * 100)} %`;
export const perDay = (value: number): string => value.toFixed(1);

const GRADES: Record<BandState, "good" | "bad" | "unsure"> = {
  pinned: "unsure",
  gathering: "unsure",
  moving: "unsure",
  met: "good",
  unproven: "unsure",
  infeasible: "bad",
};

export function grade(state: BandState): "good" | "bad" | "unsure" {
  return GRADES[state] ?? "unsure";
}
