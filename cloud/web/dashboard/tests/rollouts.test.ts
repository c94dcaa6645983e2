import { describe, expect, it } from "vitest";

import { decodeCommandsChanged, decodeRollout } from "../src/api/decode";
import {
  alarm,
  fateWord,
  gateTerms,
  parts,
  policyTerms,
  remedies,
  rolloutMark,
  rows,
  stages,
  trialLine,
  watched,
  windowLine,
  withRollout,
} from "../src/model/rollouts";
import type { Phase } from "../src/api/updates";
import { device, GATES, order, reported, rollout, trial } from "./samples";

describe("the stages", () => {
  it("say which are passed, which one it is in, and which are to come", () => {
    const of = (changes: Parameters<typeof rollout>[0]) => stages(rollout(changes)).map((stage) => stage.progress);
    expect(of({ stage: 1 })).toEqual(["passed", "current", "ahead"]);
    expect(of({ stage: 1, phase: "halted" })).toEqual(["passed", "current", "ahead"]);
    expect(of({ stage: 2, phase: "finished" })).toEqual(["passed", "passed", "passed"]);
    expect(of({ stage: 1, phase: "aborted" })).toEqual(["passed", "ahead", "ahead"]);
  });
});

describe("the counts", () => {
  const counts = { eligible: 10, committed: 3, pending: 1, failed: 2, away: 1, excused: 0 };

  it("are parts of all devices that the rollout is about", () => {
    const found = parts(rollout({ counts }));
    expect(found.map(({ devices, word }) => `${devices} ${word}`)).toEqual([
      "3 run it",
      "1 at work",
      "2 failed",
      "1 away",
      "3 not told yet",
    ]);
    expect(found.reduce((sum, part) => sum + part.devices, 0)).toBe(counts.eligible);
  });

  it("never go below nothing when devices left the group after they were told", () => {
    const found = parts(rollout({ counts: { ...counts, eligible: 2, excused: 1 }, phase: "rolling_back" }));
    expect(found.map((part) => part.kind)).toEqual(["committed", "pending", "failed", "away", "excused"]);
    expect(found[0]?.word).toBe("returned");
  });
});

describe("the list", () => {
  it("changes a known rollout in place and puts a new one on top", () => {
    const [one, two] = [rollout({ id: "1".repeat(32) }), rollout({ id: "2".repeat(32) })];
    const list = withRollout([one], two);
    expect(list.map(({ id }) => id)).toEqual([two.id, one.id]);
    expect(withRollout(list, { ...one, phase: "halted" }).map(({ phase }) => phase)).toEqual(["running", "halted"]);
  });

  it("shows the latest unless another one is named", () => {
    const list = [rollout({ id: "2".repeat(32) }), rollout({ id: "1".repeat(32) })];
    expect(watched(list, null)).toBe("2".repeat(32));
    expect(watched(list, "1".repeat(32))).toBe("1".repeat(32));
    expect(watched([], null)).toBeNull();
  });
});

describe("a device of a rollout", () => {
  it("is shown with what it says itself of this rollout", () => {
    const shown = rollout({ devices: [order("gate", { state: "queued" })] });
    const own = reported({ deployment_id: shown.id, state: "downloading", progress: 0.4, trial: trial() });
    expect(rows(shown, [device("gate", { reported: own })])[0]).toMatchObject({
      state: "downloading",
      progress: 0.4,
      trial: { frames: 30 },
    });
  });

  it("is not told apart by what it says of another rollout, or before it was heard", () => {
    const shown = rollout({ devices: [order("gate", { state: "queued" }), order("yard", { state: null })] });
    const other = reported({ deployment_id: "9".repeat(32), state: "downloading", progress: 0.4, trial: trial() });
    const found = rows(shown, [device("gate", { reported: other })]);
    expect(found.map(({ state, progress, trial: figures }) => [state, progress, figures])).toEqual([
      ["queued", null, null],
      [null, null, null],
    ]);
  });

  it("gives the rollout's reason before its own, and none for plain success", () => {
    const of = (why: string, own: Parameters<typeof reported>[0]) => {
      const shown = rollout({ devices: [order("gate", { reason: why })] });
      return rows(shown, [device("gate", { reported: reported({ deployment_id: shown.id, ...own }) })])[0]?.reason;
    };
    expect(of("gone for 600 s", { state: "proving", reason: "loading" })).toBe("gone for 600 s");
    expect(of("", { state: "queued", reason: "waits for its window" })).toBe("waits for its window");
    expect(of("", { state: "committed", reason: "watched for 20 s" })).toBe("");
  });

  it("is said to be held back, withdrawn or excused where it is", () => {
    expect(fateWord(order("gate"))).toBe("at work");
    expect(fateWord(order("gate", { ask: "pause" }))).toBe("held back");
    expect(fateWord(order("gate", { ask: "withdraw", fate: "away" }))).toBe("withdrawn");
    expect(fateWord(order("gate", { ask: "return", fate: "committed" }))).toBe("returned");
    expect(fateWord(order("gate", { fate: "failed" }))).toBe("failed");
    expect(fateWord(order("gate", { fate: "failed", excused: true }))).toBe("excused");
  });
});

describe("words", () => {
  it("offer a rollback only where there is something to go back to", () => {
    const typed = (changes: Parameters<typeof rollout>[0]) =>
      remedies(rollout({ id: `abcdef12${"0".repeat(24)}`, ...changes })).map(({ command }) => command);
    expect(typed({ phase: "halted" })[0]).toBe("vedette rollout rollback abcdef12");
    expect(typed({ phase: "halted", back_to: null })).toEqual([
      "vedette rollout resume abcdef12",
      "vedette rollout abort abcdef12",
    ]);
    expect(typed({ phase: "running" })).toEqual([]);
  });

  it("mark the page when one needs a person, before all that go well", () => {
    const of = (...phases: Phase[]) => rolloutMark(phases.map((phase) => rollout({ phase })))?.word ?? null;
    expect(of("running", "halted", "paused")).toBe("halted");
    expect(of("paused", "rolling_back")).toBe("under way");
    expect(of("paused")).toBe("paused");
    expect(of()).toBeNull();
  });

  it("raise the alarm for what is not ok, also for what this page does not know", () => {
    expect(alarm("ok")).toBeNull();
    expect(alarm("MetadataExpired")).toContain("has expired");
    expect(alarm("SomethingNew")).toBe("Takes no update: SomethingNew. Detection goes on.");
  });

  it("give the trial's figures, the candidate first", () => {
    expect(trialLine(trial(), "en-GB").replaceAll("\u00a0", " ")).toBe(
      "agreement 87 % · 22 ms against 5.4 ms · 1.9 objects a frame against 1.43 · 30 frames",
    );
  });

  it("leave out what a rollout does not use", () => {
    const { policy } = rollout({});
    const names = (terms: readonly (readonly [string, string])[]) => terms.map(([name]) => name);
    expect(names(policyTerms(policy))).not.toContain("Canaries");
    const busy = {
      ...policy,
      canaries: ["gate"],
      labels: { site: "north" },
      windows: [{ days: ["mon"], from_minute: 60, to_minute: 245 }],
    };
    expect(policyTerms(busy)).toEqual(
      expect.arrayContaining([
        ["Canaries", "gate"],
        ["Only devices with", "site=north"],
        ["Devices begin", "mon 01:00–04:05"],
      ]),
    );
    expect(windowLine({ days: [], from_minute: 0, to_minute: 1440 })).toBe("daily 00:00–24:00");
    expect(gateTerms({ ...GATES, shadow_frames: 0 })).toContainEqual(["Trial on live frames", "none"]);
  });
});

describe("events", () => {
  it("are refused when they are not what they claim to be", () => {
    const { stage, devices, phase } = rollout({});
    expect(decodeRollout(JSON.stringify(rollout({})))).toMatchObject({ stage, devices, phase });
    expect(decodeRollout(JSON.stringify(rollout({ phase: "exploded" as never })))).toBeNull();
    expect(decodeRollout(JSON.stringify({ ...rollout({}), devices: "none" }))).toBeNull();
    expect(decodeRollout("[]")).toBeNull();
    expect(decodeCommandsChanged('{"at":"2026-05-01T12:00:00Z"}')).toBe("2026-05-01T12:00:00Z");
    expect(decodeCommandsChanged("{}")).toBeNull();
  });
});
