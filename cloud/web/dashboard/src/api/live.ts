/** The page's one connection to the service: events, and what to do when they stop. */

import { backoffMs } from "./backoff";
import type { Alert, Device, Summary } from "./contract";
import { decodeAlert, decodeCommandsChanged, decodeDevice, decodeRollout, decodeSummary } from "./decode";
import type { RolloutDetail } from "./updates";

// A stream whose other end vanished without a word looks open for minutes; this is how long silence may last
// before the service is asked whether it is still there.
const SILENCE_MS = 20_000;

export interface Listener {
  /** The stream is open: fetch what happened meanwhile. A refusal counts as a lost connection. */
  opened: () => Promise<void>;
  lost: (retryAt: number) => void;
  retrying: () => void;
  /** Asks the service for anything cheap; throws if it is gone. */
  probe: () => Promise<void>;
  alert: (alert: Alert) => void;
  device: (device: Device) => void;
  summary: (summary: Summary) => void;
  rollout: (rollout: RolloutDetail) => void;
  /** The commands' trail changed. */
  commands: () => void;
}

export class LiveConnection {
  #source: EventSource | null = null;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly listener: Listener,
    private readonly path = "/api/events",
  ) {}

  connect(): void {
    this.close();
    const source = new EventSource(this.path);
    this.#source = source;
    this.#timer = setTimeout(() => this.#lost(source), SILENCE_MS);
    source.addEventListener("open", () => void this.#opened(source));
    // The browser would retry by itself, but not after a refusal, never with a growing pause, and without a word.
    source.addEventListener("error", () => this.#failed(source));
    this.#on(source, "alert", decodeAlert, this.listener.alert);
    this.#on(source, "device", decodeDevice, this.listener.device);
    this.#on(source, "summary", decodeSummary, this.listener.summary);
    this.#on(source, "rollout", decodeRollout, this.listener.rollout);
    this.#on(source, "commands", decodeCommandsChanged, this.listener.commands);
  }

  retryNow(): void {
    this.listener.retrying();
    this.connect();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #on<T>(source: EventSource, kind: string, decode: (text: string) => T | null, take: (value: T) => void): void {
    source.addEventListener(kind, (event: MessageEvent<string>) => {
      if (source !== this.#source) return;
      this.#listen(source);
      const value = decode(event.data);
      if (value !== null) take(value);
    });
  }

  async #opened(source: EventSource): Promise<void> {
    try {
      await this.listener.opened();
    } catch {
      this.#lost(source);
      return;
    }
    if (source !== this.#source) return;
    this.#attempt = 0;
    this.#listen(source);
  }

  #listen(source: EventSource): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.listener.probe().then(
        () => source === this.#source && this.#listen(source),
        () => this.#lost(source),
      );
    }, SILENCE_MS);
  }

  #failed(source: EventSource): void {
    // A refusal, the one event that the browser does not retry, does not say why; a question is told.
    if (source === this.#source && source.readyState === EventSource.CLOSED) this.listener.probe().catch(() => {});
    this.#lost(source);
  }

  #lost(source: EventSource): void {
    if (source !== this.#source) return;
    this.close();
    this.#attempt += 1;
    const pause = backoffMs(this.#attempt, Math.random());
    this.listener.lost(Date.now() + pause);
    this.#timer = setTimeout(() => this.retryNow(), pause);
  }
}
