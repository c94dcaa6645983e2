/** What the page knows, and the one place that changes it. */

import { fetchAlerts, fetchDevices, fetchHistory, fetchSession, fetchSummary, ServiceError } from "./api/client";
import type { Alert, AlertFilter, Device, HistoryPoint, Session, Summary } from "./api/contract";
import { LiveConnection } from "./api/live";
import type { RolloutDetail } from "./api/updates";
import { CommandTrail } from "./commands.svelte";
import { arrived, EMPTY, extended, type Feed, replaced } from "./model/feed";
import { withLater, withPoint } from "./model/history";
import { named } from "./model/rollouts";
import { announcement } from "./model/words";
import { RolloutBoard } from "./rollouts.svelte";

export type Link =
  | { state: "connecting" }
  | { state: "live" }
  | { state: "lost"; retryAt: number; reason: string };

/** Ages are shown to the second while they are young; a finer beat would only cost battery. */
const TICK_MS = 1_000;

export class Dashboard {
  link = $state<Link>({ state: "connecting" });
  /** The first answer came: an empty list means that there is nothing. */
  loaded = $state(false);
  /** Who looks; null until it is known. */
  session = $state.raw<Session | null>(null);
  summary = $state.raw<Summary | null>(null);
  devices = $state.raw<readonly Device[]>([]);
  histories = $state.raw<Readonly<Record<string, readonly HistoryPoint[]>>>({});
  feed = $state.raw<Feed>(EMPTY);
  filter = $state.raw<AlertFilter>({ state: null, device: null });
  paused = $state(false);
  paging = $state(false);
  pageError = $state<string | null>(null);
  announced = $state("");
  now = $state(Date.now());
  readonly rollouts = new RolloutBoard();
  readonly trail = new CommandTrail();

  #since = new Set<string>();
  #asked = 0;
  #connection = new LiveConnection({
    opened: () => this.#refetch(),
    lost: (retryAt) => (this.link = { state: "lost", retryAt, reason: this.#reason }),
    retrying: () => {
      if (this.link.state === "lost") this.link = { ...this.link, retryAt: 0 };
    },
    probe: async () => void (this.summary = await fetchSummary()),
    alert: (alert) => this.#alert(alert),
    device: (device) => this.#device(device),
    summary: (summary) => (this.summary = summary),
    rollout: (rollout) => this.#rollout(rollout),
    commands: () => this.trail.changed(),
  });
  #reason = "";

  start(): () => void {
    const beat = setInterval(() => (this.now = Date.now()), TICK_MS);
    const back = () => this.link.state === "lost" && this.#connection.retryNow();
    window.addEventListener("online", back);
    this.#connection.connect();
    return () => {
      clearInterval(beat);
      window.removeEventListener("online", back);
      this.#connection.close();
    };
  }

  retryNow(): void {
    this.#connection.retryNow();
  }

  async show(filter: AlertFilter): Promise<void> {
    this.filter = filter;
    this.feed = EMPTY;
    await this.#firstPage();
  }

  async resume(): Promise<void> {
    this.paused = false;
    if (this.feed.held.length > 0) await this.#firstPage();
  }

  async older(): Promise<void> {
    const { next } = this.feed;
    if (next === null || this.paging) return;
    const asked = this.#asked;
    this.paging = true;
    this.pageError = null;
    try {
      const page = await fetchAlerts(this.filter, next);
      if (asked === this.#asked) this.feed = extended(this.feed, page.alerts, page.next);
    } catch (error) {
      this.#pageFailed(error);
    } finally {
      this.paging = false;
    }
  }

  /** Everything that may have changed while no events came. */
  async #refetch(): Promise<void> {
    try {
      const [summary, devices, session] = await Promise.all([
        fetchSummary(),
        fetchDevices(),
        fetchSession(),
        this.#page(),
      ]);
      this.session = session;
      this.summary = summary;
      this.devices = devices;
    } catch (error) {
      this.#reason = error instanceof ServiceError ? error.message : "";
      throw error;
    }
    this.#reason = "";
    this.link = { state: "live" };
    this.loaded = true;
    this.rollouts.changed();
    this.trail.changed();
    await Promise.allSettled(this.devices.map((device) => this.#history(device.device)));
  }

  async #firstPage(): Promise<void> {
    this.pageError = null;
    try {
      await this.#page();
    } catch (error) {
      this.#pageFailed(error);
    }
  }

  async #page(): Promise<void> {
    const asked = ++this.#asked;
    this.#since = new Set();
    const page = await fetchAlerts(this.filter);
    // A filter chosen meanwhile has asked for another page; this one is of no use any more.
    if (asked === this.#asked) this.feed = replaced(this.feed, page.alerts, page.next, this.#since);
  }

  #pageFailed(error: unknown): void {
    if (!(error instanceof ServiceError)) throw error;
    this.pageError = error.message;
  }

  async #history(device: string): Promise<void> {
    const before = new Set(this.histories[device]);
    const points = await fetchHistory(device);
    const came = (this.histories[device] ?? []).filter((point) => !before.has(point));
    this.histories = { ...this.histories, [device]: withLater(points, came) };
  }

  #alert(alert: Alert): void {
    this.#since.add(alert.id);
    const before = this.feed.entries.find((entry) => entry.alert.id === alert.id);
    this.feed = arrived(this.feed, alert, this.filter, this.paused);
    if (before === undefined) {
      if (alert.event === "new") this.announced = announcement(alert, null);
    } else if (before.alert.state !== alert.state) {
      this.announced = announcement(alert, before.alert.state);
    }
  }

  #rollout(rollout: RolloutDetail): void {
    const before = this.rollouts.open.find(({ id }) => id === rollout.id);
    this.rollouts.arrived(rollout);
    if (rollout.phase === "halted" && before?.phase !== "halted") {
      this.announced = `The rollout of ${named(rollout.target)} halted: ${rollout.reason}`;
    }
  }

  #device(device: Device): void {
    const at = this.devices.findIndex((known) => known.device === device.device);
    const before = this.devices[at]?.telemetry ?? null;
    this.devices = at < 0 ? [...this.devices, device] : this.devices.with(at, device);
    const { telemetry } = device;
    if (telemetry === null || telemetry.message_id === before?.message_id) return;
    const points = withPoint(this.histories[device.device] ?? [], telemetry, device.last_seen_at ?? telemetry.made_at);
    this.histories = { ...this.histories, [device.device]: points };
  }
}
