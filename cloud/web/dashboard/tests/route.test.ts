import { describe, expect, it } from "vitest";

import { chosenAlert, href, parsed } from "../src/route.svelte";

describe("an address", () => {
  it("names a page, and what on it", () => {
    expect(parsed("#/rollouts")).toEqual({ page: "rollouts", rest: null });
    expect(parsed(href("commands", "gate-1"))).toEqual({ page: "commands", rest: "gate-1" });
    expect(parsed("#/")).toEqual({ page: "", rest: null });
  });

  it("leads to the start when it is none", () => {
    for (const hash of ["", "#main", "#/rollouts/a/b", "#/rollouts/%3Cimg%3E"]) {
      expect(parsed(hash).rest).toBeNull();
      expect(parsed(hash).page).toBe("");
    }
  });

  it("opens an alert only by a whole id", () => {
    const id = "0a".repeat(16);
    expect(chosenAlert(parsed(href("alerts", id)))).toBe(id);
    expect(chosenAlert(parsed("#/alerts/12"))).toBeNull();
    expect(chosenAlert(parsed(href("rollouts", id)))).toBeNull();
  });
});
