import { describe, expect, it } from "vitest";

import { EMPTY, older, renewed, resultLine, snapshotUrl, standing, timing, typed } from "../src/model/trail";
import { command } from "./samples";

const NOW = Date.parse("2026-05-01T12:01:00Z");
const page = (numbers: number[], next: string | null = null) => ({ commands: numbers.map((n) => command(n)), next });
const ids = (trail: typeof EMPTY) => trail.commands.map(({ id }) => Number.parseInt(id, 16));

describe("the trail", () => {
  it("keeps what is older than the page that was read again", () => {
    let trail = renewed(EMPTY, page([3, 2], "2"));
    trail = older(trail, page([1], null));
    trail = renewed(trail, page([4, 3, 2], "2"));
    expect(ids(trail)).toEqual([4, 3, 2, 1]);
    expect(trail.next).toBeNull();
  });

  it("starts anew when there may be a gap", () => {
    const trail = renewed(renewed(EMPTY, page([2, 1])), page([9, 8], "8"));
    expect(ids(trail)).toEqual([9, 8]);
    expect(trail.next).toBe("8");
  });

  it("takes each command once, as it was read last", () => {
    const first = renewed(EMPTY, page([2, 1]));
    const done = renewed(first, { commands: [command(2, { state: "done", outcome: "ok" }), command(1)], next: null });
    expect(done.commands.map(standing)).toEqual(["done", "sent"]);
    expect(ids(older(done, page([1, 0])))).toEqual([2, 1, 0]);
  });
});

describe("a command in words", () => {
  it("says how far it is, and what came of it", () => {
    expect(standing(command(1, { state: "running", progress: 0.5 }))).toBe("running 50\u00a0%");
    expect(standing(command(1, { state: "done", outcome: "refused" }))).toBe("refused");
  });

  it("says what it waits for, and how long it took", () => {
    const plain = (text: string) => text.replaceAll("\u00a0", " ");
    expect(plain(timing(command(1), NOW))).toBe("sent 59 s ago, expires in 4 min");
    expect(plain(timing(command(1, { sent_at: null }), NOW))).toBe("waits for the device, expires in 4 min");
    expect(timing(command(1), NOW + 3_600_000)).toContain("past its expiry");
    expect(plain(timing(command(1, { finished_at: "2026-05-01T12:00:09Z" }), NOW))).toBe("after 9 s");
  });

  it("shows what was typed, and short results in a line", () => {
    expect(typed({ camera: "gate", quality: 80, reset: true })).toBe("camera=gate quality=80 reset=true");
    expect(resultLine({ times: 1 })).toBe("times=1");
    expect(resultLine({})).toBe("");
    expect(resultLine({ log: ["a", "b"] })).toBeNull();
    expect(resultLine({ log: "x".repeat(500) })).toBeNull();
  });

  it("finds the picture by the command's id, whatever the device says", () => {
    const answer = { name: "snapshot", state: "done", outcome: "ok" } as const;
    const hostile = { picture: "https://example.org/spy.jpg" };
    expect(snapshotUrl(command(10, { ...answer, result: hostile }))).toBe(`/api/commands/${"a".padStart(32, "0")}/snapshot`);
    expect(snapshotUrl(command(10, { ...answer, outcome: "failed" }))).toBeNull();
    expect(snapshotUrl(command(10, { ...answer, name: "ping" }))).toBeNull();
  });
});
