/** The sentences that the page makes of an alert. Labels and reasons are untrusted: they go into text, never markup. */

import type { Alert, AlertState, DecidedBy, Verdict } from "../api/contract";
import { milliseconds, percent } from "./format";

export const STATE_WORD: Record<AlertState, string> = {
  provisional: "Provisional",
  confirmed: "Confirmed",
  retracted: "Retracted",
};

const DECIDER: Record<DecidedBy, string> = { device: "the device", cloud: "the cloud", reviewer: "a reviewer" };

export function decider(by: DecidedBy): string {
  return DECIDER[by] ?? by;
}

/** What the cloud says it saw: `person 91 %`, or nothing there. */
export function saw(verdict: Verdict): string {
  if (verdict.label === null) return "nothing there";
  return verdict.score === null ? verdict.label : `${verdict.label} ${percent(verdict.score)}`;
}

export function verdictTiming(verdict: Verdict): string {
  const took = `in ${milliseconds(verdict.took_ms)}`;
  return verdict.late ? `${took}, after its deadline` : took;
}

/** For a screen reader, when an alert appears or changes. */
export function announcement(alert: Alert, was: AlertState | null): string {
  const what = `${alert.label} on ${alert.device}, ${alert.camera}`;
  return was === null
    ? `New alert: ${what}, ${alert.state}`
    : `${what}: ${alert.state} by ${decider(alert.decided_by)}, was ${was}`;
}
