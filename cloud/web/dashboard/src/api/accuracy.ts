/** What `GET /api/audits/estimates` answers. */

import { get } from "./client";

/** A share, 0..1, with its 95 % interval; `frames` is how many audited frames had something to count. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly frames: number;
}

/** One model on one camera, or on all where `device` and `camera` are null; `label` is null for all together. */
export interface Accuracy {
  readonly device: string | null;
  readonly camera: string | null;
  readonly label: string | null;
  readonly model_digest: string;
  readonly model: string;
  readonly audits: number;
  readonly recall: Estimate | null;
  readonly precision: Estimate | null;
  readonly f1: Estimate | null;
  readonly first_at: string;
  readonly last_at: string;
}

/** How complete a camera's sample is. */
export interface CameraAudits {
  readonly device: string;
  readonly camera: string;
  readonly kept: number;
  readonly waiting: number;
  readonly lost: number;
  readonly walked: number;
  readonly picture_bytes: number;
}

export interface AuditReport {
  readonly since: string;
  readonly level: number;
  readonly estimates: readonly Accuracy[];
  readonly cameras: readonly CameraAudits[];
}

export const fetchAccuracy = () => get<AuditReport>("/api/audits/estimates");
