/** Frequency caps, as in `engine/caps.py`: why one more impression is not allowed now. */

import type { FrequencyCap } from "./message.ts";

/** What was done with one message. `recentMs`: moments of the newest impressions, newest first. */
export interface Seen {
  impressions: number;
  clicks: number;
  dismissals: number;
  recentMs: number[];
}

export const NOT_SEEN: Seen = { impressions: 0, clicks: 0, dismissals: 0, recentMs: [] };

export type CapReason = "stopped_by_click" | "stopped_by_dismissal" | "cap_reached" | "too_soon";

/** `cap` null allows everything. */
export function withheld(cap: FrequencyCap | null, seen: Seen, nowMs: number): CapReason | null {
  if (!cap) return null;
  if (cap.stopAfter?.includes("click") && seen.clicks) return "stopped_by_click";
  if (cap.stopAfter?.includes("dismiss") && seen.dismissals) return "stopped_by_dismissal";
  if (isReached(cap, seen, nowMs)) return "cap_reached";
  return isTooSoon(cap, seen, nowMs) ? "too_soon" : null;
}

// Of moments that are missing the sums are NaN, which is in no order with anything.
function isReached({ maxImpressions, perSeconds }: FrequencyCap, seen: Seen, nowMs: number): boolean {
  if (maxImpressions == null || seen.impressions < maxImpressions) return false;
  return perSeconds == null || nowMs <= seen.recentMs[maxImpressions - 1]! + perSeconds * 1000;
}

function isTooSoon({ minIntervalSeconds }: FrequencyCap, { recentMs }: Seen, nowMs: number): boolean {
  return minIntervalSeconds != null && nowMs < recentMs[0]! + minIntervalSeconds * 1000;
}
