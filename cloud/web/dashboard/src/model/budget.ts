import type { BudgetLeft } from "../api/contract";
import { bytes } from "./format";

/** What a device's questions may still cost, in one line; null where nothing is asked, or by an older agent. */
export function budgetLine(budgets: readonly BudgetLeft[] | undefined, locale?: string): string | null {
  const whole = budgets?.find(({ camera }) => (camera ?? null) === null);
  if (whole === undefined) return null;
  const said = [`Asking: ${bytes(whole.spent, locale)} spent`];
  if (typeof whole.left === "number") said.push(`${bytes(whole.left, locale)} left of ${whole.allowance}`);
  if (whole.borrowed > 0) said.push(`${bytes(whole.borrowed, locale)} borrowed`);
  if (whole.questions_left === 0) said.push("no question left this minute");
  return said.join(" · ");
}
