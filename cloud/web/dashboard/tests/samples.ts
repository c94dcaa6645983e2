import type { Command } from "../src/api/commands";
import type { Alert, Device, Verdict } from "../src/api/contract";
import type { Gates, Reported, RolloutDetail, RolloutDevice, TrialFigures } from "../src/api/updates";

export function alert(number: number, changes: Partial<Alert> = {}): Alert {
  const seen = new Date(Date.UTC(2026, 4, 1, 12, 0, number)).toISOString();
  return {
    id: number.toString(16).padStart(32, "0"),
    device: "gate",
    event: changes.revision ? "update" : "new",
    revision: 0,
    state: "provisional",
    camera: "north",
    sequence: number + 1,
    rule: "people",
    zone: null,
    label: "person",
    track: number,
    score: 0.5,
    box: [0.1, 0.1, 0.2, 0.4],
    seen_first_at: seen,
    seen_last_at: seen,
    decided_at: seen,
    decided_by: "device",
    reason: "",
    model_digest: `sha256:${"0".repeat(64)}`,
    made_at: seen,
    received_at: seen,
    first_received_at: seen,
    ended: false,
    picture_url: null,
    verdict: null,
    ...changes,
  };
}

export function verdict(changes: Partial<Verdict> = {}): Verdict {
  return {
    decision: "confirmed",
    label: "person",
    score: 0.91,
    box: [0.1, 0.1, 0.2, 0.4],
    model: "ensemble 0.1",
    reason: "",
    took_ms: 183.2,
    late: false,
    decided_by: "cloud",
    question_id: "f".repeat(32),
    region: [0, 0, 0.5, 0.5],
    asked_box: [0.1, 0.1, 0.2, 0.4],
    picture_url: "/api/questions/f/picture",
    ...changes,
  };
}

const ref = (name: string) => ({ name, version: "1.0.0", digest: `sha256:${"0".repeat(64)}` });

export const GATES: Gates = {
  max_load_s: 20,
  max_latency_ratio: 15,
  max_memory_mib: 512,
  shadow_frames: 30,
  shadow_cpu_share: 0.5,
  min_agreement: 0.3,
  min_detection_ratio: 0.3,
  max_detection_ratio: 4,
  probation_frames: 100,
  probation_s: 20,
  max_error_share: 0.02,
};

export function rollout(changes: Partial<RolloutDetail>): RolloutDetail {
  return {
    id: "c".repeat(32),
    group: "default",
    target: ref("nanodet"),
    back_to: ref("ssdlite"),
    phase: "running",
    stage: 0,
    stage_devices: 1,
    reason: "",
    passed_at: null,
    created_at: "2026-05-01T12:00:00Z",
    changed_at: "2026-05-01T12:00:00Z",
    policy: {
      stages: [10, 50, 100],
      canaries: [],
      labels: {},
      soak_s: 60,
      max_failure_share: 0.1,
      min_tried: 2,
      max_in_flight: 1000,
      timeout_s: 3600,
      max_accuracy_drop: 0.05,
      gates: GATES,
      windows: [],
      jitter_s: 0,
    },
    counts: { eligible: 1, away: 0, pending: 1, committed: 0, failed: 0, excused: 0 },
    states: {},
    devices: [],
    ...changes,
  };
}

export function order(device: string, changes: Partial<RolloutDevice> = {}): RolloutDevice {
  return {
    device,
    stage: 0,
    ask: "install",
    fate: "pending",
    state: null,
    reason: "",
    online: true,
    excused: false,
    told_at: "2026-05-01T12:00:00Z",
    moved_at: "2026-05-01T12:00:00Z",
    ...changes,
  };
}

export function trial(): TrialFigures {
  return {
    frames: 30,
    agreement: 0.87,
    detections_candidate: 1.9,
    detections_current: 1.43,
    latency_candidate_ms: 22,
    latency_current_ms: 5.4,
  };
}

export function reported(changes: Partial<Reported>): Reported {
  return {
    deployment_id: null,
    state: "idle",
    running: ref("ssdlite"),
    previous: null,
    target: null,
    reason: "",
    progress: null,
    trial: null,
    trust: "ok",
    quarantined: [],
    ...changes,
  };
}

export function device(name: string, changes: Partial<Device> = {}): Device {
  return {
    device: name,
    presence: "online",
    reason: "",
    agent_version: "0.1.0",
    last_seen_at: null,
    enrolled_at: "2026-05-01T11:00:00Z",
    revoked_at: null,
    model: null,
    cameras: [],
    telemetry: null,
    reported: null,
    ...changes,
  };
}

export function command(number: number, changes: Partial<Command> = {}): Command {
  return {
    id: number.toString(16).padStart(32, "0"),
    batch: "b".repeat(32),
    device: "gate",
    name: "ping",
    arguments: {},
    issued_by: "anna",
    issued_at: "2026-05-01T12:00:00Z",
    expires_at: "2026-05-01T12:05:00Z",
    state: "sent",
    sent_at: "2026-05-01T12:00:01Z",
    finished_at: null,
    progress: null,
    outcome: null,
    reason: "",
    result: {},
    ...changes,
  };
}
