/** Estimates of audits as a person compares them: by camera, the models in the order in which they came. */

import type { Accuracy, AuditReport, CameraAudits, Estimate } from "../api/accuracy";

export interface Row {
  readonly accuracy: Accuracy;
  /** What became of F1 since the model before; null for the first. */
  readonly change: Change | null;
}

export interface Change {
  readonly by: number;
  /** Zero lies outside of the interval of the difference. */
  readonly sure: boolean;
}

export interface Board {
  readonly key: string;
  /** Null for all cameras together. */
  readonly where: { readonly device: string; readonly camera: string } | null;
  readonly rows: readonly Row[];
  readonly sample: CameraAudits | null;
}

/** The labels that there are estimates of, by name. */
export function labels(report: AuditReport): string[] {
  return [...new Set(report.estimates.flatMap(({ label }) => (label === null ? [] : [label])))].sort();
}

/** All cameras first; those of which there is nothing under the label are left out. */
export function boards(report: AuditReport, label: string | null): Board[] {
  const found = new Map<string, Accuracy[]>();
  for (const one of report.estimates) {
    if (one.label !== label) continue;
    const key = one.device === null ? "" : `${one.device}/${one.camera}`;
    found.set(key, [...(found.get(key) ?? []), one]);
  }
  return [...found].map(([key, models]) => {
    const [{ device, camera }] = models as [Accuracy];
    return {
      key,
      where: device === null || camera === null ? null : { device, camera },
      rows: models.map((accuracy, at) => ({ accuracy, change: change(models[at - 1]?.f1 ?? null, accuracy.f1) })),
      sample: report.cameras.find((one) => one.device === device && one.camera === camera) ?? null,
    };
  });
}

/** The difference of two independent shares, with Newcombe's interval from theirs. */
export function change(before: Estimate | null, now: Estimate | null): Change | null {
  if (before === null || now === null) return null;
  const by = now.value - before.value;
  const low = by - Math.hypot(now.value - now.low, before.high - before.value);
  const high = by + Math.hypot(now.high - now.value, before.value - before.low);
  return { by, sure: low > 0 || high < 0 };
}

export function changeWord({ by, sure }: Change): string {
  const points = Math.round(Math.abs(by) * 100);
  if (points === 0) return "as before";
  return `${points} ${points === 1 ? "point" : "points"} ${by > 0 ? "better" : "worse"}${sure ? "" : ", may be chance"}`;
}

export function modelName({ model, model_digest }: Accuracy): string {
  return model === "" ? model_digest.replace("sha256:", "").slice(0, 12) : model;
}

/** What the estimates of a camera do not know of; null where the sample is complete. */
export function incomplete(sample: CameraAudits): string | null {
  const parts: string[] = [];
  if (sample.lost > 0) parts.push(`${sample.lost} of ${sample.lost + sample.kept} drawn frames never arrived`);
  if (sample.waiting > 0) parts.push(`${sample.waiting} wait to be looked at`);
  return parts.length === 0 ? null : parts.join(", ");
}
