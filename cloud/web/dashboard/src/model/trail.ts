/** The commands' trail as a value, newest first, and the words for it. */

import type { Command, CommandPage } from "../api/commands";
import { age, duration, percent } from "./format";

/** The service gives no longer pages. */
export const MOST_AT_ONCE = 200;

export interface Trail {
  readonly commands: readonly Command[];
  /** Cursor of the next older page; null when there is none. */
  readonly next: string | null;
}

export const EMPTY: Trail = { commands: [], next: null };

/** The newest page was read again; what is older than it stays. */
export function renewed(trail: Trail, page: CommandPage): Trail {
  const read = new Set(page.commands.map((command) => command.id));
  const overlap = trail.commands.findLastIndex((command) => read.has(command.id));
  // Without an overlap there may be a gap between the two.
  if (overlap < 0) return { commands: page.commands, next: page.next };
  const kept = trail.commands.slice(overlap + 1);
  return { commands: [...page.commands, ...kept], next: kept.length > 0 ? trail.next : page.next };
}

/** An older page was read. */
export function older(trail: Trail, page: CommandPage): Trail {
  const known = new Set(trail.commands.map((command) => command.id));
  return {
    commands: [...trail.commands, ...page.commands.filter((command) => !known.has(command.id))],
    next: page.next,
  };
}

/** How far it is, or how it ended, in a word or two. */
export function standing(command: Command): string {
  if (command.outcome !== null) return command.outcome === "ok" ? "done" : command.outcome;
  return command.progress === null ? command.state : `${command.state} ${percent(command.progress)}`;
}

export type Tone = "good" | "bad" | "busy" | "quiet";

export function commandTone({ outcome, state }: Command): Tone {
  if (outcome === "ok") return "good";
  if (outcome === "refused" || outcome === "failed") return "bad";
  return outcome === null && state !== "queued" ? "busy" : "quiet";
}

/** What it waits for, or how long it took. */
export function timing(command: Command, now: number): string {
  if (command.finished_at !== null) {
    const took = (Date.parse(command.finished_at) - Date.parse(command.issued_at)) / 1000;
    return Number.isFinite(took) ? `after ${took < 1 ? "less than a second" : duration(took)}` : "";
  }
  const left = (Date.parse(command.expires_at) - now) / 1000;
  if (!Number.isFinite(left)) return "";
  const expiry = left > 0 ? `expires in ${duration(left)}` : "past its expiry";
  return command.sent_at === null ? `waits for the device, ${expiry}` : `sent ${age(command.sent_at, now)}, ${expiry}`;
}

/** `camera=gate quality=80`, as it was typed. */
export function typed(values: Record<string, unknown>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ");
}

/** Where its picture is; never an address that the device names. */
export function snapshotUrl(command: Command): string | null {
  if (command.name !== "snapshot" || command.outcome !== "ok") return null;
  return `/api/commands/${encodeURIComponent(command.id)}/snapshot`;
}

/** Short enough to stand in the line: a handful of plain values. */
const INLINE_VALUES = 6;
const INLINE_CHARACTERS = 160;

/** The result in a line; null where it is too much for one, and "" where there is none. */
export function resultLine(result: Record<string, unknown>): string | null {
  const values = Object.values(result);
  const plain = values.length <= INLINE_VALUES && values.every((value) => typeof value !== "object" || value === null);
  const line = typed(result);
  return plain && line.length <= INLINE_CHARACTERS ? line : null;
}
