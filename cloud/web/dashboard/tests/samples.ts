import type { Alert, Verdict } from "../src/api/contract";

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
