import type { CommandPage } from "./commands";
import type { AlertDetail, AlertFilter, AlertPage, Device, HistoryPoint, Session, Summary } from "./contract";
import type { Rollout, RolloutDetail } from "./updates";

const TIMEOUT_MS = 15_000;
export const PAGE = 50;

/** The service could not be asked, or refused; `message` is for a person. */
export class ServiceError extends Error {
  constructor(
    message: string,
    readonly status: number | null,
  ) {
    super(message);
    this.name = "ServiceError";
  }
}

async function refusal(response: Response): Promise<string> {
  const fallback = `The service answered ${response.status}.`;
  try {
    const body: unknown = await response.json();
    if (typeof body !== "object" || body === null || !("message" in body)) return fallback;
    const mend = "mend" in body && typeof body.mend === "string" ? body.mend : "";
    return typeof body.message === "string" ? `${body.message} ${mend}`.trim() : fallback;
  } catch {
    return fallback;
  }
}

/**
 * To the page on which operators log in, which leads back to what `hash` names. What is shown here stays in the
 * browser's memory no longer, and Back does not return to it.
 */
export function leaveForLogin(hash = ""): void {
  location.replace(`/login${hash}`);
}

/** Ends the session; whoever is gone already is as well. */
export async function logOut(): Promise<void> {
  let response: Response;
  try {
    response = await fetch("/api/session", { method: "DELETE", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new ServiceError("The service does not answer.", null);
  }
  if (!response.ok && response.status !== 401) throw new ServiceError(await refusal(response), response.status);
  leaveForLogin();
}

export async function get<T>(path: string): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new ServiceError("The service does not answer.", null);
  }
  if (response.status === 401) leaveForLogin(location.hash);
  if (!response.ok) throw new ServiceError(await refusal(response), response.status);
  try {
    return (await response.json()) as T;
  } catch {
    throw new ServiceError("The service's answer was cut short.", response.status);
  }
}

export function alertsPath(filter: AlertFilter, before: string | null): string {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (before !== null) query.set("before", before);
  if (filter.device !== null) query.set("device", filter.device);
  if (filter.state !== null) query.set("state", filter.state);
  return `/api/alerts?${query.toString()}`;
}

export function commandsPath(device: string | null, limit: number, before: string | null): string {
  const query = new URLSearchParams({ limit: String(limit) });
  if (before !== null) query.set("before", before);
  if (device !== null) query.set("device", device);
  return `/api/commands?${query.toString()}`;
}

export const fetchSession = () => get<Session>("/api/session");
export const fetchSummary = () => get<Summary>("/api/summary");
export const fetchDevices = () => get<Device[]>("/api/devices");
export const fetchHistory = (device: string) =>
  get<HistoryPoint[]>(`/api/devices/${encodeURIComponent(device)}/history`);
export const fetchAlerts = (filter: AlertFilter, before: string | null = null) =>
  get<AlertPage>(alertsPath(filter, before));
export const fetchAlert = (id: string) => get<AlertDetail>(`/api/alerts/${encodeURIComponent(id)}`);
export const fetchRollouts = () => get<Rollout[]>("/api/rollouts");
export const fetchOpenRollouts = () => get<Rollout[]>("/api/rollouts?only_open=true");
export const fetchRollout = (id: string) => get<RolloutDetail>(`/api/rollouts/${encodeURIComponent(id)}`);
export const fetchCommands = (device: string | null, limit: number, before: string | null = null) =>
  get<CommandPage>(commandsPath(device, limit, before));
