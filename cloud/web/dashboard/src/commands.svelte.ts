/** The commands' trail as the page knows it: read while somebody looks at it, and again when it changed. */

import { fetchCommands, PAGE, ServiceError } from "./api/client";
import type { Command } from "./api/commands";
import { EMPTY, MOST_AT_ONCE, older, renewed, type Trail } from "./model/trail";

export class CommandTrail {
  trail = $state.raw<Trail>(EMPTY);
  loaded = $state(false);
  error = $state<string | null>(null);
  paging = $state(false);

  #device: string | null = null;
  #looking = false;
  #reading = false;
  #again = false;

  get commands(): readonly Command[] {
    return this.trail.commands;
  }

  /** Somebody looks at the trail of a device, or of all, until the returned function is called. */
  look(device: string | null): () => void {
    this.#looking = true;
    if (device !== this.#device) {
      this.#device = device;
      this.trail = EMPTY;
      this.loaded = false;
    }
    this.changed();
    return () => (this.#looking = false);
  }

  /** Reads it again; however often that is asked for, one question is under way at a time. */
  changed(): void {
    if (!this.#looking) return;
    if (this.#reading) this.#again = true;
    else void this.#read();
  }

  async older(): Promise<void> {
    const { next } = this.trail;
    const device = this.#device;
    if (next === null || this.paging) return;
    this.paging = true;
    try {
      const page = await fetchCommands(device, PAGE, next);
      if (device === this.#device) this.trail = older(this.trail, page);
      this.error = null;
    } catch (error) {
      this.#failed(error);
    } finally {
      this.paging = false;
    }
  }

  async #read(): Promise<void> {
    this.#reading = true;
    try {
      do {
        this.#again = false;
        const device = this.#device;
        const page = await fetchCommands(device, Math.min(MOST_AT_ONCE, Math.max(PAGE, this.commands.length)));
        if (device === this.#device) {
          this.trail = renewed(this.trail, page);
          this.loaded = true;
          this.error = null;
        } else {
          this.#again = true;
        }
      } while (this.#again && this.#looking);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#reading = false;
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof ServiceError)) throw error;
    this.error = error.message;
  }
}
