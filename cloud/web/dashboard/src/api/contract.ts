/**
 * What this page reads of what the service says; `cloud/web/views.py` has all of it. Boxes are shares of the full frame, x1 y1 x2 y2, 0..1.
 * Times are RFC 3339. `_s` is seconds, `_ms` milliseconds.
 */

import type { Reported } from "./updates";

export const ALERT_STATES = ["provisional", "confirmed", "retracted"] as const;
export type AlertState = (typeof ALERT_STATES)[number];
export type Box = readonly [x1: number, y1: number, x2: number, y2: number];
export type DecidedBy = "device" | "cloud" | "reviewer";

/** Who looks; `operator` is null where the service asks nobody. */
export interface Session {
  asked: boolean;
  operator: string | null;
  by_session: boolean;
}

export interface Summary {
  devices: number;
  online: number;
  alerts: Record<AlertState, number>;
  alerts_total: number;
  asks: number;
  answers: number;
  late_answers: number;
  bytes_sent: number;
  bytes_by_reason: Record<string, number>;
  bytes_if_streamed: number;
  frames: number;
  first_alert_at: string | null;
}

export interface CameraTelemetry {
  name: string;
  fps: number;
  inference_ms: number;
}

export const BAND_STATES = ["pinned", "gathering", "moving", "met", "unproven", "infeasible"] as const;
export type BandState = (typeof BAND_STATES)[number];

/** Scores of one label before one camera that are worth a question. Figures that are not known yet are null or left out. */
export interface TunedBand {
  camera: string;
  label: string;
  lower: number;
  upper: number;
  state: BandState;
  reason: string;
  frames: number;
  objects: number;
  miss_rate?: number | null;
  miss_rate_at_most?: number | null;
  best_miss_rate?: number | null;
  false_per_day?: number | null;
  false_per_day_at_most?: number | null;
  asked_share?: number | null;
}

/** What questions may still cost, of the whole device where `camera` is null or left out; limits that are not set are, too. */
export interface BudgetLeft {
  camera?: string | null;
  allowance: string;
  left?: number | null;
  most?: number | null;
  borrowed: number;
  spent: number;
  questions_left?: number | null;
  /** In gain for each kB. */
  bar: number;
}

export interface Telemetry {
  message_id: string;
  made_at: string;
  uptime_s: number;
  rss_mib: number;
  cameras: CameraTelemetry[];
  outbox_depth: number;
  alerts_dropped: number;
  bytes_by_reason: Record<string, number>;
  errors: Record<string, number>;
  /** Left out by an older service. */
  bands?: TunedBand[];
  /** Likewise; empty where nothing is asked. */
  budgets?: BudgetLeft[];
}

export interface Camera {
  name: string;
  state: "starting" | "live" | "lost" | "ended";
  detail: string;
}

export interface Model {
  name: string;
  version: string;
  digest: string;
  runtime: string;
  delegate: string;
  detail: string;
}

export interface Device {
  device: string;
  presence: "online" | "offline";
  reason: string;
  agent_version: string;
  last_seen_at: string | null;
  enrolled_at: string;
  revoked_at: string | null;
  model: Model | null;
  cameras: Camera[];
  telemetry: Telemetry | null;
  /** Of its model updates; null from a device that takes none. */
  reported: Reported | null;
}

/** What the charts draw of a device's telemetry, at the service's time; bytes are counted since the agent started. */
export interface HistoryPoint {
  at: string;
  uptime_s: number;
  fps: number;
  rss_mib: number;
  bytes_sent: number;
}

export interface Verdict {
  decision: "confirmed" | "retracted";
  label: string | null;
  score: number | null;
  box: Box | null;
  model: string;
  reason: string;
  took_ms: number;
  late: boolean;
  decided_by: DecidedBy;
  question_id: string;
  region: Box;
  asked_box: Box;
  picture_url: string;
}

export interface Alert {
  id: string;
  device: string;
  event: "new" | "update" | "end";
  revision: number;
  state: AlertState;
  camera: string;
  sequence: number;
  rule: string;
  zone: string | null;
  label: string;
  track: number;
  score: number;
  box: Box;
  seen_first_at: string;
  seen_last_at: string;
  decided_at: string;
  decided_by: DecidedBy;
  reason: string;
  model_digest: string;
  made_at: string;
  /** When the present revision arrived, */
  received_at: string;
  /** and when the first did: the order of the list. */
  first_received_at: string;
  ended: boolean;
  picture_url: string | null;
  verdict: Verdict | null;
}

export interface AlertChange {
  event: string;
  state: AlertState;
  revision: number;
  label: string;
  score: number;
  decided_by: DecidedBy;
  reason: string;
  made_at: string;
  received_at: string;
}

export interface AlertDetail extends Alert {
  history: AlertChange[];
}

export interface AlertPage {
  alerts: Alert[];
  next: string | null;
}

export interface AlertFilter {
  state: AlertState | null;
  device: string | null;
}
