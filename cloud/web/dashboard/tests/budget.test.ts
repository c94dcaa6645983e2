import { describe, expect, it } from "vitest";

import type { BudgetLeft } from "../src/api/contract";
import { budgetLine } from "../src/model/budget";

const whole: BudgetLeft = { allowance: "200MB/month", left: 7_000_000, most: 7_500_000, borrowed: 0, spent: 4096, bar: 0.1 };

describe("the budget in one line", () => {
  it("is the whole device's, with its unit kept to its number", () => {
    const camera = { ...whole, camera: "gate", spent: 1 };
    expect(budgetLine([camera, whole], "en")).toBe("Asking: 4.1\u00a0kB spent · 7\u00a0MB left of 200MB/month");
  });

  it("says what is borrowed and when a minute's questions are used up", () => {
    const poor = { ...whole, left: 0, borrowed: 1500, questions_left: 0 };
    expect(budgetLine([poor], "en")).toBe(
      "Asking: 4.1\u00a0kB spent · 0\u00a0B left of 200MB/month · 1.5\u00a0kB borrowed · no question left this minute",
    );
  });

  it("says nothing of a limit that there is not", () => {
    expect(budgetLine([{ allowance: "unlimited", borrowed: 0, spent: 0, bar: 0, left: null }], "en")).toBe("Asking: 0\u00a0B spent");
  });

  it("is left out where nothing is asked, or by an older agent", () => {
    expect([budgetLine([]), budgetLine(undefined)]).toEqual([null, null]);
  });
});
