import { describe, expect, it } from "vitest";

import type { Alert, AlertFilter } from "../src/api/contract";
import { arrived, EMPTY, extended, type Feed, later, LIMIT, replaced } from "../src/model/feed";
import { alert, verdict } from "./samples";

const ALL: AlertFilter = { state: null, device: null };
const ids = (feed: Feed) => feed.entries.map((entry) => entry.alert.track);
const fed = (...alerts: Alert[]) => alerts.reduce((feed, next) => arrived(feed, next, ALL, false), EMPTY);

describe("an alert that comes by the stream", () => {
  it("goes on top when it is new", () => {
    expect(ids(fed(alert(1), alert(2)))).toEqual([2, 1]);
  });

  it("changes in place, and remembers what it was", () => {
    const feed = fed(alert(1), alert(2), alert(1, { revision: 1, state: "retracted" }));
    expect(ids(feed)).toEqual([2, 1]);
    expect(feed.entries[1]).toMatchObject({ was: "provisional", alert: { state: "retracted" } });
  });

  it("changes nothing when an older revision comes late", () => {
    const feed = fed(alert(1, { revision: 2, state: "confirmed" }), alert(1));
    expect(feed.entries[0]?.alert).toMatchObject({ revision: 2, state: "confirmed" });
    expect(feed.entries[0]?.was).toBeNull();
  });

  it("stays out, or leaves, when the filter does not want it", () => {
    const provisional: AlertFilter = { state: "provisional", device: null };
    const one = arrived(EMPTY, alert(1), provisional, false);
    expect(ids(arrived(one, alert(2, { state: "confirmed" }), provisional, false))).toEqual([1]);
    expect(ids(arrived(one, alert(1, { revision: 1, state: "confirmed" }), provisional, false))).toEqual([]);
    expect(ids(arrived(one, alert(3), { state: null, device: "yard" }, false))).toEqual([1]);
  });

  it("waits while the feed is paused, once, and known ones still change", () => {
    let feed = fed(alert(1));
    for (const next of [alert(2), alert(2, { revision: 1 }), alert(1, { revision: 1, state: "confirmed" })]) {
      feed = arrived(feed, next, ALL, true);
    }
    expect(ids(feed)).toEqual([1]);
    expect(feed.held).toEqual([alert(2).id]);
    expect(feed.entries[0]?.alert.state).toBe("confirmed");
  });

  it("takes its place by its first arrival, so that an amended old alert is no news", () => {
    const feed = fed(alert(3), alert(6));
    expect(ids(arrived(feed, alert(5, { revision: 3 }), ALL, false))).toEqual([6, 5, 3]);
    expect(ids(arrived(feed, alert(7, { revision: 1 }), ALL, false))).toEqual([7, 6, 3]);
    expect(ids(arrived(feed, alert(1, { revision: 1 }), ALL, false))).toEqual([6, 3, 1]);
    expect(ids(arrived({ ...feed, next: "c" }, alert(1, { revision: 1 }), ALL, false))).toEqual([6, 3]);
  });

  it("pushes out the oldest when there is no room, and the cursor with it", () => {
    const feed = fed(...Array.from({ length: LIMIT + 3 }, (_, number) => alert(number)));
    expect(feed.entries).toHaveLength(LIMIT);
    expect(ids(feed)[0]).toBe(LIMIT + 2);
    expect(feed).toMatchObject({ trimmed: true, next: null });
  });
});

describe("two views of one alert", () => {
  it("keep the verdict and the picture that either has", () => {
    const answered = alert(1, { verdict: verdict(), picture_url: "/a" });
    expect(later(answered, alert(1, { revision: 1 }))).toMatchObject({ revision: 1, picture_url: "/a" });
    expect(later(alert(1, { revision: 1 }), answered).verdict).not.toBeNull();
  });
});

describe("a page", () => {
  it("replaces what is shown, keeps what came meanwhile on top, and drops what is gone", () => {
    const feed = fed(alert(1), alert(2), alert(3));
    const page = [alert(2, { revision: 1, state: "confirmed" }), alert(0)];
    const next = replaced(feed, page, "c", new Set([alert(3).id]));
    expect(ids(next)).toEqual([3, 2, 0]);
    expect(next).toMatchObject({ next: "c", held: [] });
    expect(next.entries[1]?.was).toBe("provisional");
  });

  it("does not set back an alert that moved on while the page was on its way", () => {
    const feed = fed(alert(2, { revision: 4, state: "retracted" }));
    expect(replaced(feed, [alert(2)], null, new Set()).entries[0]?.alert.state).toBe("retracted");
  });

  it("of older alerts goes below, without repeats", () => {
    expect(ids(extended(fed(alert(5), alert(6)), [alert(5), alert(4)], "d"))).toEqual([6, 5, 4]);
  });
});
