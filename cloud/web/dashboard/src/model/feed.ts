/** The alert feed as a value: newest first, each alert once, never longer than `LIMIT`. */

import type { Alert, AlertFilter, AlertState } from "../api/contract";

/** More cards than anyone reads; older ones are a filter or a page away. */
export const LIMIT = 200;

export interface Entry {
  readonly alert: Alert;
  /** The state it had before the last change that was seen live; null when there was none. */
  readonly was: AlertState | null;
  /** Arrived by the stream rather than with a page. */
  readonly live: boolean;
}

export interface Feed {
  readonly entries: readonly Entry[];
  /** Cursor of the next older page; null when there is none, or no room for it. */
  readonly next: string | null;
  /** Older entries were let go to make room. */
  readonly trimmed: boolean;
  /** Ids of new alerts held back while the feed is paused. */
  readonly held: readonly string[];
}

export const EMPTY: Feed = { entries: [], next: null, trimmed: false, held: [] };

export function matches(alert: Alert, filter: AlertFilter): boolean {
  return (
    (filter.state === null || alert.state === filter.state) &&
    (filter.device === null || alert.device === filter.device)
  );
}

/** The later of two views of one alert. Within a revision a verdict or a picture may arrive, never leave. */
export function later(known: Alert, found: Alert): Alert {
  if (found.revision < known.revision) {
    return { ...known, verdict: known.verdict ?? found.verdict, picture_url: known.picture_url ?? found.picture_url };
  }
  return { ...found, verdict: found.verdict ?? known.verdict, picture_url: found.picture_url ?? known.picture_url };
}

function merged(entry: Entry, found: Alert): Entry {
  const alert = later(entry.alert, found);
  const changed = alert.state !== entry.alert.state;
  return { ...entry, alert, was: changed ? entry.alert.state : entry.was };
}

function bounded(feed: Feed): Feed {
  if (feed.entries.length <= LIMIT) return feed;
  return { ...feed, entries: feed.entries.slice(0, LIMIT), next: null, trimmed: true };
}

/** An alert came by the stream. */
export function arrived(feed: Feed, found: Alert, filter: AlertFilter, paused: boolean): Feed {
  const at = feed.entries.findIndex((entry) => entry.alert.id === found.id);
  const known = feed.entries[at];
  if (known !== undefined) {
    const entry = merged(known, found);
    return matches(entry.alert, filter)
      ? { ...feed, entries: feed.entries.with(at, entry) }
      : { ...feed, entries: feed.entries.toSpliced(at, 1) };
  }
  if (!matches(found, filter)) return { ...feed, held: feed.held.filter((id) => id !== found.id) };
  if (paused) return feed.held.includes(found.id) ? feed : { ...feed, held: [...feed.held, found.id].slice(-LIMIT) };
  return bounded(inserted(feed, { alert: found, was: null, live: true }));
}

/** In the service's own order, since an old alert that is amended is no news; below the last page it is not shown. */
function inserted(feed: Feed, entry: Entry): Feed {
  const came = Date.parse(entry.alert.first_received_at);
  const at = feed.entries.findIndex((other) => Date.parse(other.alert.first_received_at) <= came);
  if (at >= 0) return { ...feed, entries: feed.entries.toSpliced(at, 0, entry) };
  return feed.next === null && !feed.trimmed ? { ...feed, entries: [...feed.entries, entry] } : feed;
}

/** The newest page came; `since` holds the ids that arrived by the stream after it was asked for. */
export function replaced(
  feed: Feed,
  page: readonly Alert[],
  next: string | null,
  since: ReadonlySet<string>,
): Feed {
  const known = new Map(feed.entries.map((entry) => [entry.alert.id, entry]));
  const paged = new Set(page.map((alert) => alert.id));
  const newer = feed.entries.filter((entry) => since.has(entry.alert.id) && !paged.has(entry.alert.id));
  const entries = page.map((alert) => {
    const entry = known.get(alert.id);
    return entry === undefined ? { alert, was: null, live: false } : merged(entry, alert);
  });
  return bounded({ entries: [...newer, ...entries], next, trimmed: false, held: [] });
}

/** An older page came. */
export function extended(feed: Feed, page: readonly Alert[], next: string | null): Feed {
  const known = new Set(feed.entries.map((entry) => entry.alert.id));
  const older = page.filter((alert) => !known.has(alert.id)).map((alert) => ({ alert, was: null, live: false }));
  return bounded({ ...feed, entries: [...feed.entries, ...older], next });
}
