/** What this page reads of rollouts and of devices' updates; `cloud/web/rollouts.py` and `wire/updates.py` have all of it. */

export const UPDATE_STATES = [
  "idle",
  "queued",
  "downloading",
  "verifying",
  "proving",
  "shadowing",
  "installing",
  "probation",
  "committed",
  "failed",
  "rolling_back",
  "rolled_back",
  "rollback_failed",
  "rejected",
  "canceled",
  "timed_out",
  "paused",
  "already_installed",
] as const;
export type UpdateState = (typeof UPDATE_STATES)[number];

export const PHASES = ["running", "paused", "halted", "rolling_back", "finished", "aborted", "rolled_back"] as const;
export type Phase = (typeof PHASES)[number];
export type Ask = "install" | "pause" | "withdraw" | "return";
export type Fate = "away" | "pending" | "committed" | "failed";

export interface ModelRef {
  name: string;
  version: string;
  digest: string;
}

/** Of the candidate beside the current model on live frames; detections are objects a frame. */
export interface TrialFigures {
  frames: number;
  agreement: number;
  detections_candidate: number;
  detections_current: number;
  latency_candidate_ms: number;
  latency_current_ms: number;
}

/** What the device itself says of its update. */
export interface Reported {
  deployment_id: string | null;
  state: UpdateState;
  running: ModelRef;
  previous: ModelRef | null;
  target: ModelRef | null;
  reason: string;
  /** Of the download, 0..1. */
  progress: number | null;
  trial: TrialFigures | null;
  trust: string;
  quarantined: string[];
}

export interface Gates {
  max_load_s: number;
  max_latency_ratio: number;
  max_memory_mib: number;
  shadow_frames: number;
  shadow_cpu_share: number;
  min_agreement: number;
  min_detection_ratio: number;
  max_detection_ratio: number;
  probation_frames: number;
  probation_s: number;
  max_error_share: number;
}

export interface Window {
  days: string[];
  from_minute: number;
  to_minute: number;
}

export interface Policy {
  /** Percent of the group, counting up. */
  stages: number[];
  canaries: string[];
  labels: Record<string, string>;
  soak_s: number;
  max_failure_share: number;
  min_tried: number;
  max_in_flight: number;
  timeout_s: number;
  max_accuracy_drop: number;
  gates: Gates;
  windows: Window[];
  jitter_s: number;
}

export interface RolloutCounts {
  eligible: number;
  away: number;
  pending: number;
  committed: number;
  failed: number;
  excused: number;
}

export interface Rollout {
  id: string;
  group: string;
  target: ModelRef;
  back_to: ModelRef | null;
  phase: Phase;
  /** From 0 into `policy.stages`. */
  stage: number;
  stage_devices: number;
  reason: string;
  passed_at: string | null;
  created_at: string;
  changed_at: string;
  policy: Policy;
  counts: RolloutCounts;
  states: Record<string, number>;
}

export interface RolloutDevice {
  device: string;
  stage: number;
  ask: Ask;
  fate: Fate;
  state: UpdateState | null;
  reason: string;
  online: boolean;
  excused: boolean;
  told_at: string;
  moved_at: string;
}

/** At most 200 devices, failures first. */
export interface RolloutDetail extends Rollout {
  devices: RolloutDevice[];
}
