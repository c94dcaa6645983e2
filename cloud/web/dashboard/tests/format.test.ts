import { describe, expect, it } from "vitest";

import * as format from "../src/model/format";

const NOW = Date.UTC(2026, 4, 1, 12, 0, 0);
const plain = (text: string | null) => text?.replaceAll("\u00a0", " ") ?? null;
const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

describe("bytes", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1 kB"],
    [76_400, "76.4 kB"],
    [999_600, "1 MB"],
    [412_345_678, "412 MB"],
    [9.9e15, "9,900 TB"],
  ])("%d is %s", (count, text) => expect(plain(format.bytes(count, "en"))).toBe(text));
});

describe("the saved share", () => {
  it.each([
    [0, 0, null],
    [50, 100, "50 %"],
    [200, 100, "0 %"],
    [1, 100_000, "99.99 %"],
    [1, 10_000_000, "99.99 %"],
    [0, 100, "100 %"],
    [45, 1000, "95.5 %"],
  ])("%d of %d is %s", (sent, streamed, text) => expect(plain(format.savedPercent(sent, streamed, "en"))).toBe(text));
});

describe("time", () => {
  it.each([
    [0, "0 s"],
    [59.9, "59 s"],
    [60, "1 min"],
    [3600, "1 h"],
    [7500, "2 h 5 min"],
    [86_400 * 3, "3 d"],
    [86_400 * 3 + 7200, "3 d 2 h"],
  ])("%d s is %s", (seconds, text) => expect(plain(format.duration(seconds))).toBe(text));

  it.each([
    [-30, "just now"],
    [4, "just now"],
    [12, "12 s ago"],
    [200, "3 min ago"],
  ])("%d s back is %s", (seconds, text) => expect(plain(format.age(ago(seconds), NOW))).toBe(text));

  it("does not fail on what is no time", () => {
    expect(format.age("soon", NOW)).toBe("at an unknown time");
    expect(format.localTime("soon", NOW)).toBe("unknown time");
  });

  it("is local, and names the day only when it is another", () => {
    expect(format.localTime(ago(0), NOW, "en-GB", "Asia/Tokyo")).toBe("21:00:00");
    expect(format.localTime(ago(86_400), NOW, "en-GB", "UTC")).toBe("30 Apr, 12:00:00");
  });
});

describe("a device's clock", () => {
  it("passes without a word within five seconds", () => {
    expect(format.clockNote(ago(5), ago(0))).toBeNull();
    expect(format.clockNote(ago(0), ago(5))).toBeNull();
  });

  it("is named when it is ahead, which can only be the clock", () => {
    expect(plain(format.clockNote(ago(-90), ago(0)))).toBe("The device's clock is ahead by at least 1 min");
  });

  it("may be behind, or the message late", () => {
    expect(plain(format.clockNote(ago(42), ago(0)))).toContain("Arrived 42 s after");
  });
});

it.each([
  [4.26, "4.3 ms"],
  [183.4, "183 ms"],
  [2340, "2.3 s"],
])("%d ms reads %s", (ms, text) => expect(plain(format.milliseconds(ms, "en"))).toBe(text));

it("shortens large counts", () => {
  expect(format.count(12_345, "en")).toBe("12,345");
  expect(format.count(1_234_567, "en")).toBe("1.2M");
});
