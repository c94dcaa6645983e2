/** Rollouts and updates in words. What devices say in them is untrusted: it goes into text, never markup. */

import type { Device } from "../api/contract";
import type {
  Fate,
  Gates,
  ModelRef,
  Phase,
  Policy,
  Reported,
  Rollout,
  RolloutDetail,
  RolloutDevice,
  TrialFigures,
  UpdateState,
  Window,
} from "../api/updates";
import { count, duration, milliseconds, percent } from "./format";
import type { Tone } from "./trail";

export const OPEN: ReadonlySet<Phase> = new Set(["running", "paused", "halted", "rolling_back"]);

export function named(model: ModelRef): string {
  return `${model.name} ${model.version}`;
}

export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, "").slice(0, 12);
}

/** `rolled_back` as a person writes it. */
export function spaced(word: string): string {
  return word.replaceAll("_", " ");
}

/** In its place in the list, or on top when it is new. */
export function withRollout(list: readonly Rollout[], found: Rollout): readonly Rollout[] {
  const at = list.findIndex((one) => one.id === found.id);
  return at < 0 ? [found, ...list] : list.with(at, found);
}

/** The one to look at when none is named: as `vedette rollout watch` does, the latest. */
export function watched(list: readonly Rollout[], named: string | null): string | null {
  return named ?? list[0]?.id ?? null;
}

const PHASE_TONE: Record<Phase, Tone> = {
  running: "busy",
  paused: "quiet",
  halted: "bad",
  rolling_back: "busy",
  finished: "good",
  aborted: "quiet",
  rolled_back: "quiet",
};

export function phaseTone(phase: Phase): Tone {
  return PHASE_TONE[phase];
}

/** What can be typed at the service's machine now, and what comes of it. */
export function remedies({ id, phase, back_to }: Rollout): readonly { command: string; effect: string }[] {
  const short = id.slice(0, 8);
  const resume = { command: `vedette rollout resume ${short}`, effect: "goes on; failures so far don't count any more" };
  const abort = { command: `vedette rollout abort ${short}`, effect: "ends it; who has switched stays so" };
  const rollback = { command: `vedette rollout rollback ${short}`, effect: "returns who has switched" };
  if (phase === "halted") return back_to === null ? [resume, abort] : [rollback, resume, abort];
  if (phase === "paused") return [{ ...resume, effect: "goes on" }, abort];
  return [];
}

export interface Mark {
  readonly tone: "bad" | "busy" | "quiet";
  readonly word: string;
}

/** For the navigation, of the rollouts that are not over: the one that needs a person goes before the others. */
export function rolloutMark(open: readonly Rollout[]): Mark | null {
  const phases = new Set(open.map(({ phase }) => phase));
  if (phases.has("halted")) return { tone: "bad", word: "halted" };
  if (phases.has("running") || phases.has("rolling_back")) return { tone: "busy", word: "under way" };
  return phases.has("paused") ? { tone: "quiet", word: "paused" } : null;
}

export interface Stage {
  readonly percent: number;
  readonly progress: "passed" | "current" | "ahead";
}

/** The stages, and which one it is in; one that is over has none. */
export function stages({ phase, stage, policy }: Rollout): Stage[] {
  return policy.stages.map((share, index) => ({
    percent: share,
    progress: phase === "finished" || index < stage ? "passed" : index > stage || !OPEN.has(phase) ? "ahead" : "current",
  }));
}

export interface Part {
  readonly kind: Fate | "excused" | "untold";
  readonly devices: number;
  readonly word: string;
}

/** The devices by what became of them: the sentence of `vedette rollout watch`, as parts of a whole. */
export function parts({ counts, phase }: Rollout): Part[] {
  const { eligible, committed, pending, failed, away, excused } = counts;
  const returning = phase === "rolling_back" || phase === "rolled_back";
  const told = committed + pending + failed + away + excused;
  const all: Part[] = [
    { kind: "committed", devices: committed, word: returning ? "returned" : "run it" },
    { kind: "pending", devices: pending, word: "at work" },
    { kind: "failed", devices: failed, word: "failed" },
    { kind: "away", devices: away, word: "away" },
    { kind: "excused", devices: excused, word: "excused" },
    { kind: "untold", devices: Math.max(0, eligible - told), word: "not told yet" },
  ];
  return all.filter(({ kind, devices }) => devices > 0 || (kind !== "excused" && kind !== "untold"));
}

/** What a device does with its order, in a word. */
export function fateWord({ ask, fate, excused }: RolloutDevice): string {
  if (excused) return "excused";
  if (fate === "failed") return "failed";
  if (fate === "committed") return ask === "return" ? "returned" : "runs it";
  if (ask === "pause") return "held back";
  if (ask === "withdraw") return "withdrawn";
  if (fate === "away") return "away";
  return ask === "return" ? "returning" : "at work";
}

export function fateTone({ fate, excused, ask }: RolloutDevice): Tone {
  if (excused || fate === "away") return "quiet";
  if (fate === "committed") return "good";
  if (fate === "failed") return "bad";
  return ask === "install" || ask === "return" ? "busy" : "quiet";
}

export interface Row {
  readonly device: RolloutDevice;
  /** As the service last counted it, or the device has said since. */
  readonly state: UpdateState | null;
  readonly progress: number | null;
  readonly reason: string;
  readonly trial: TrialFigures | null;
}

/** The rollout's devices, each with what it says itself of this very rollout. */
export function rows(rollout: RolloutDetail, devices: readonly Device[]): Row[] {
  const said = new Map(devices.map(({ device, reported }) => [device, reported]));
  return rollout.devices.map((device) => {
    const reported = said.get(device.device) ?? null;
    const own = reported?.deployment_id === rollout.id ? reported : null;
    const state = own?.state ?? device.state;
    return {
      device,
      state,
      progress: state === "downloading" ? (own?.progress ?? null) : null,
      reason: device.reason || (own !== null && isTold(own) ? own.reason : ""),
      trial: own?.trial ?? null,
    };
  });
}

const PLAIN: ReadonlySet<UpdateState> = new Set(["idle", "committed", "already_installed"]);
const BAD: ReadonlySet<UpdateState> = new Set(["failed", "rejected", "rolled_back", "rollback_failed", "timed_out"]);
const BUSY: ReadonlySet<UpdateState> = new Set([
  "downloading",
  "verifying",
  "proving",
  "shadowing",
  "installing",
  "probation",
  "rolling_back",
]);

/** Whether the reason is worth a line: success needs none. */
export function isTold({ state, reason }: Reported): boolean {
  return reason !== "" && !PLAIN.has(state);
}

export function updateTone(state: UpdateState): Tone {
  if (state === "committed") return "good";
  return BAD.has(state) ? "bad" : BUSY.has(state) ? "busy" : "quiet";
}

const TRUST: Readonly<Record<string, string>> = {
  MetadataExpired: "the signed metadata has expired, as the service did not renew it",
  MetadataRolledBack: "the signed metadata is older than what the device saw before",
  MetadataInvalid: "the metadata is not signed by whom it should be",
  ReleaseNotAllowed: "its group's signed document does not allow the release",
  ReleaseTooOld: "the release is below the signed minimum",
  ClockImplausible: "the device's clock is before a time that it has already seen",
};

/** Why the device trusts nothing new, or null while it does; what it runs goes on. */
export function alarm(trust: string): string | null {
  if (trust === "ok" || trust === "") return null;
  const why = TRUST[trust];
  return `Takes no update: ${why === undefined ? trust : `${why} (${trust})`}. Detection goes on.`;
}

export function trialLine(trial: TrialFigures, locale?: string): string {
  const objects = (value: number) => value.toLocaleString(locale, { maximumFractionDigits: 2 });
  return (
    `agreement ${percent(trial.agreement)} · ` +
    `${milliseconds(trial.latency_candidate_ms, locale)} against ${milliseconds(trial.latency_current_ms, locale)} · ` +
    `${objects(trial.detections_candidate)} objects a frame against ${objects(trial.detections_current)} · ` +
    `${count(trial.frames, locale)} frames`
  );
}

function clock(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
}

export function windowLine({ days, from_minute, to_minute }: Window): string {
  return `${days.length === 0 ? "daily" : days.join(", ")} ${clock(from_minute)}–${clock(to_minute)}`;
}

export type Term = readonly [name: string, value: string];

/** What a candidate must show. */
export function gateTerms(gates: Gates): Term[] {
  const trial: Term[] =
    gates.shadow_frames === 0
      ? [["Trial on live frames", "none"]]
      : [
          ["Trial on live frames", `${count(gates.shadow_frames)}, with ${percent(gates.shadow_cpu_share)} of a core`],
          ["Agreement with the present model", `at least ${percent(gates.min_agreement)}`],
          ["Objects a frame, against before", `${gates.min_detection_ratio} to ${gates.max_detection_ratio} times`],
        ];
  return [
    ["First answer", `within ${gates.max_load_s} s`],
    ["Latency, against before", `at most ${gates.max_latency_ratio} times`],
    ["Memory", `at most ${count(gates.max_memory_mib)} MiB`],
    ...trial,
    ["Probation", `${count(gates.probation_frames)} frames and ${duration(gates.probation_s)}`],
    ["Failed frames in it", `at most ${percent(gates.max_error_share)}`],
  ];
}

/** How the rollout goes about it. */
export function policyTerms(policy: Policy): Term[] {
  const labels = Object.entries(policy.labels).map(([key, value]) => `${key}=${value}`);
  const terms: Term[] = [
    ["A passed stage stands for", duration(policy.soak_s)],
    ["Halts above", `${percent(policy.max_failure_share)} failed, of ${count(policy.min_tried)} tried or more`],
    ["Halts when accuracy falls by", `more than ${percent(policy.max_accuracy_drop)}`],
    ["At work at once", `at most ${count(policy.max_in_flight)}`],
    ["No progress for", `${duration(policy.timeout_s)} is a failure`],
  ];
  if (policy.canaries.length > 0) terms.unshift(["Canaries", policy.canaries.join(", ")]);
  if (labels.length > 0) terms.unshift(["Only devices with", labels.join(", ")]);
  if (policy.windows.length > 0) terms.push(["Devices begin", policy.windows.map(windowLine).join("; ")]);
  if (policy.jitter_s > 0) terms.push(["At a random time within", duration(policy.jitter_s)]);
  return terms;
}
