/** What this page reads of the commands' trail; `cloud/web/commands.py` has all of it. */

export type CommandState = "queued" | "sent" | "accepted" | "running" | "done";
export type Outcome = "ok" | "refused" | "expired" | "failed";

export interface Command {
  id: string;
  batch: string;
  device: string;
  name: string;
  arguments: Record<string, unknown>;
  issued_by: string;
  issued_at: string;
  expires_at: string;
  state: CommandState;
  sent_at: string | null;
  finished_at: string | null;
  progress: number | null;
  outcome: Outcome | null;
  reason: string;
  result: Record<string, unknown>;
}

export interface CommandPage {
  commands: Command[];
  next: string | null;
}
