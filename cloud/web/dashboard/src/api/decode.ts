/** Events arrive as text from a stream: what is not what it claims to be is refused here, not half-way down a page. */

import { ALERT_STATES, type Alert, type Device, type Summary } from "./contract";
import { PHASES, type RolloutDetail } from "./updates";

type Fields = Record<string, unknown>;

function object(text: string): Fields | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
  } catch {
    return null;
  }
}

const isText = (value: unknown): value is string => typeof value === "string";
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isBox = (value: unknown): boolean => Array.isArray(value) && value.length === 4 && value.every(isNumber);

export function decodeAlert(text: string): Alert | null {
  const found = object(text);
  if (found === null) return null;
  const sound =
    [found.id, found.device, found.camera, found.label].every(isText) &&
    [found.received_at, found.first_received_at, found.made_at].every(isText) &&
    isNumber(found.revision) &&
    isNumber(found.score) &&
    isBox(found.box) &&
    ALERT_STATES.some((state) => state === found.state);
  return sound ? (found as unknown as Alert) : null;
}

export function decodeDevice(text: string): Device | null {
  const found = object(text);
  if (found === null) return null;
  const sound = isText(found.device) && isText(found.presence) && Array.isArray(found.cameras);
  return sound ? (found as unknown as Device) : null;
}

export function decodeSummary(text: string): Summary | null {
  const found = object(text);
  if (found === null) return null;
  const sound =
    [found.devices, found.alerts_total, found.bytes_sent, found.bytes_if_streamed].every(isNumber) &&
    typeof found.alerts === "object" &&
    found.alerts !== null;
  return sound ? (found as unknown as Summary) : null;
}

export function decodeRollout(text: string): RolloutDetail | null {
  const found = object(text);
  if (found === null) return null;
  const sound =
    [found.id, found.group, found.reason].every(isText) &&
    [found.target, found.policy, found.counts, found.states].every((part) => typeof part === "object" && part !== null) &&
    PHASES.some((phase) => phase === found.phase) &&
    isNumber(found.stage) &&
    Array.isArray(found.devices);
  return sound ? (found as unknown as RolloutDetail) : null;
}

/** Only that the trail changed, and when. */
export function decodeCommandsChanged(text: string): string | null {
  const found = object(text);
  return found !== null && isText(found.at) ? found.at : null;
}
