import { describe, expect, it } from "vitest";

import { backoffMs } from "../src/api/backoff";
import { alertsPath } from "../src/api/client";
import { decodeAlert, decodeDevice, decodeSummary } from "../src/api/decode";
import { announcement, saw } from "../src/model/words";
import { alert, verdict } from "./samples";

describe("what the stream says", () => {
  it("is taken when it is an alert", () => {
    expect(decodeAlert(JSON.stringify(alert(1)))).toEqual(alert(1));
  });

  it.each([
    "",
    "[]",
    "null",
    "{",
    JSON.stringify({ ...alert(1), state: "maybe" }),
    JSON.stringify({ ...alert(1), box: [0, 0, 1] }),
    JSON.stringify({ ...alert(1), revision: "2" }),
    JSON.stringify({ ...alert(1), label: { toString: 1 } }),
  ])("is refused when it is not: %s", (text) => expect(decodeAlert(text)).toBeNull());

  it("is held to its kind for devices and summaries too", () => {
    expect(decodeDevice('{"device":"gate","presence":"online","cameras":[]}')).not.toBeNull();
    expect(decodeDevice('{"device":"gate","presence":"online"}')).toBeNull();
    const summary = { devices: 1, alerts: {}, alerts_total: 0, bytes_sent: 0, bytes_if_streamed: 0 };
    expect(decodeSummary(JSON.stringify(summary))).not.toBeNull();
    expect(decodeSummary(JSON.stringify({ ...summary, alerts: null }))).toBeNull();
  });
});

describe("reconnecting", () => {
  it("waits longer each time, up to a bound, and never in step with others", () => {
    expect([1, 2, 3, 4].map((attempt) => backoffMs(attempt, 1))).toEqual([1000, 2000, 4000, 8000]);
    expect(backoffMs(1, 0)).toBe(500);
    expect(backoffMs(40, 1)).toBe(30_000);
  });
});

describe("asking for a page", () => {
  it("names only what is filtered, encoded", () => {
    expect(alertsPath({ state: null, device: null }, null)).toBe("/api/alerts?limit=50");
    expect(alertsPath({ state: "retracted", device: "a&b" }, "x/1")).toBe(
      "/api/alerts?limit=50&before=x%2F1&device=a%26b&state=retracted",
    );
  });
});

describe("words", () => {
  it("say what the cloud saw, also when it saw nothing", () => {
    expect(saw(verdict())).toBe("person 91\u00a0%");
    expect(saw(verdict({ label: null, score: null, box: null }))).toBe("nothing there");
  });

  it("announce news and changes differently", () => {
    expect(announcement(alert(1), null)).toBe("New alert: person on gate, north, provisional");
    expect(announcement(alert(1, { state: "retracted", decided_by: "cloud" }), "provisional")).toBe(
      "person on gate, north: retracted by the cloud, was provisional",
    );
  });
});
