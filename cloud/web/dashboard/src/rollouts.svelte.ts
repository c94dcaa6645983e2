/**
 * Rollouts as the page knows them: those that are not over always, for the mark in the navigation; the others once
 * somebody looks. The stream keeps them current.
 */

import { fetchOpenRollouts, fetchRollout, fetchRollouts, ServiceError } from "./api/client";
import type { Rollout, RolloutDetail } from "./api/updates";
import { OPEN, withRollout } from "./model/rollouts";

export class RolloutBoard {
  /** Those that are not over. */
  open = $state.raw<readonly Rollout[]>([]);
  /** The latest first. */
  list = $state.raw<readonly Rollout[]>([]);
  loaded = $state(false);
  error = $state<string | null>(null);
  /** The one that is looked at. */
  detail = $state.raw<RolloutDetail | null>(null);
  /** Why that one could not be read. */
  detailError = $state<string | null>(null);

  #chosen: string | null = null;
  #looking = false;
  /** Came by the stream since the last question: newer than its answer. */
  #since = new Map<string, RolloutDetail>();
  #openMoved = false;

  /** Somebody looks at the page, until the returned function is called. */
  look(): () => void {
    this.#looking = true;
    void this.#read();
    return () => {
      this.#looking = false;
      // What nobody looks at is not read again after a lost connection, and must not be taken for current later.
      this.choose(null);
    };
  }

  /** Somebody looks at one of them. */
  choose(id: string | null): void {
    if (id === this.#chosen) return;
    this.#chosen = id;
    this.detail = null;
    this.detailError = null;
    if (id !== null) void this.#readOne(id);
  }

  /** Anything may have changed, as after a lost connection. */
  changed(): void {
    void this.#readOpen();
    if (!this.#looking) return;
    void this.#read();
    if (this.#chosen !== null) void this.#readOne(this.#chosen);
  }

  arrived(rollout: RolloutDetail): void {
    this.#since.set(rollout.id, rollout);
    this.#openMoved = true;
    this.open = withRollout(this.open, rollout).filter(({ phase }) => OPEN.has(phase));
    if (this.loaded) this.list = withRollout(this.list, rollout);
    this.#show(rollout);
  }

  #show(rollout: RolloutDetail): void {
    // Those that nobody looks at would only grow old here.
    if (rollout.id !== this.#chosen) return;
    this.detail = rollout;
    this.detailError = null;
  }

  async #read(): Promise<void> {
    this.#since = new Map();
    const since = this.#since;
    try {
      const found = await fetchRollouts();
      // Another question was asked meanwhile, and its answer is newer.
      if (since !== this.#since) return;
      this.list = [...since.values()].reduce<readonly Rollout[]>(withRollout, found);
      this.loaded = true;
      this.error = null;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      this.error = error.message;
    }
  }

  async #readOpen(): Promise<void> {
    this.#openMoved = false;
    try {
      const found = await fetchOpenRollouts();
      if (this.#openMoved) return;
      this.open = found;
    } catch (error) {
      // The navigation goes on without a mark; the page itself says what it could not read.
      if (!(error instanceof ServiceError)) throw error;
    }
  }

  async #readOne(id: string): Promise<void> {
    const before = this.detail;
    try {
      const found = await fetchRollout(id);
      // What the stream told since is newer.
      if (this.detail === before) this.#show(found);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      if (id === this.#chosen) this.detailError = error.message;
    }
  }
}
