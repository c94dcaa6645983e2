const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

/**
 * How long to wait before reconnecting for the `attempt`-th time (from 1). `chance` is 0..1: a service that comes
 * back must not meet every open page in the same instant.
 */
export function backoffMs(attempt: number, chance: number): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempt - 1));
  return Math.round(ceiling / 2 + (ceiling / 2) * chance);
}
