/** Numbers and times as a person reads them. */

/** No line break comes between a number and its unit. */
const NB = "\u00a0";
const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Decimal units, as links and data plans are sold: 1 kB = 1000 B. */
export function bytes(count: number, locale?: string): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toLocaleString(locale, { maximumFractionDigits: digits })}${NB}${UNITS[unit]}`;
}

export function count(value: number, locale?: string): string {
  return value >= 100_000
    ? value.toLocaleString(locale, { notation: "compact", maximumFractionDigits: 1 })
    : value.toLocaleString(locale);
}

/**
 * The share that was not sent, as a percentage; null while there is nothing to compare with. Rounded down, so that
 * what is shown is never better than what was saved, and 100 % only stands for all of it.
 */
export function savedPercent(sent: number, streamed: number, locale?: string): string | null {
  if (streamed <= 0) return null;
  const share = Math.max(0, 1 - sent / streamed) * 100;
  const digits = share >= 99 ? 2 : share >= 90 ? 1 : 0;
  const floored = Math.floor(share * 10 ** digits) / 10 ** digits;
  return `${floored.toLocaleString(locale, { maximumFractionDigits: digits })}${NB}%`;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)}${NB}%`;
}

export function milliseconds(ms: number, locale?: string): string {
  if (ms < 10) return `${ms.toLocaleString(locale, { maximumFractionDigits: 1 })}${NB}ms`;
  if (ms < 1000) return `${Math.round(ms)}${NB}ms`;
  return `${(ms / 1000).toLocaleString(locale, { maximumFractionDigits: 1 })}${NB}s`;
}

/** A length of time in its two largest units: `45 s`, `3 min`, `2 h 5 min`, `4 d 2 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}${NB}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}${NB}min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours}${NB}h` : `${hours}${NB}h ${minutes % 60}${NB}min`;
  return hours % 24 === 0 ? `${hours / 24}${NB}d` : `${Math.floor(hours / 24)}${NB}d ${hours % 24}${NB}h`;
}

/** How long ago; a moment in the future (the service's clock is ahead of the browser's) is just now. */
export function age(at: string, now: number): string {
  const seconds = (now - Date.parse(at)) / 1000;
  if (Number.isNaN(seconds)) return "at an unknown time";
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

/** The local time; with the day where it is not today's. */
export function localTime(at: string, now: number, locale?: string, timeZone?: string): string {
  const when = new Date(at);
  if (Number.isNaN(when.getTime())) return "unknown time";
  const zone = timeZone === undefined ? {} : { timeZone };
  const day = when.toLocaleDateString(locale, zone);
  const time = when.toLocaleTimeString(locale, { ...zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (day === new Date(now).toLocaleDateString(locale, zone)) return time;
  return `${when.toLocaleDateString(locale, { ...zone, day: "numeric", month: "short" })}, ${time}`;
}

/** The largest difference between making and receiving that passes without a word; a slow link explains it. */
const NOTED_SKEW_S = 5;

/** What the two clocks say about a message, where it is worth saying. */
export function clockNote(madeAt: string, receivedAt: string): string | null {
  const lag = (Date.parse(receivedAt) - Date.parse(madeAt)) / 1000;
  if (Number.isNaN(lag) || Math.abs(lag) <= NOTED_SKEW_S) return null;
  return lag < 0
    ? `The device's clock is ahead by at least ${duration(-lag)}`
    : `Arrived ${duration(lag)} after the device's time: sent late, or its clock is behind`;
}
