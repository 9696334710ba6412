/** What was done with messages on this device, so that caps count at once, also offline and in other tabs. */

import { NOT_SEEN, type Seen } from "./caps.ts";
import { fromJson } from "./json.ts";
import type { Storage } from "./platform.ts";

export type Action = "impression" | "click" | "dismissal";

/** `atMs`: of the newest of it. */
type Entry = Seen & { atMs: number };

export interface SeenLog {
  /** What was done with a message, if anything was since `sinceMs`: what is older the edge has counted in. */
  of(messageId: string, sinceMs: number): Seen;
  add(messageId: string, action: Action, nowMs: number): void;
  clear(): void;
}

const KEY = "seen";
const MOST_MESSAGES = 200;
const MOST_MOMENTS = 100;

export function seenLog({ get, set, remove }: Storage): SeenLog {
  /** Least recent first. */
  const read = () => new Map(Object.entries(fromJson<Record<string, Entry>>(get(KEY)) ?? {}).filter(isEntry));
  return {
    of(messageId, sinceMs) {
      const entry = read().get(messageId);
      return entry && entry.atMs > sinceMs ? entry : NOT_SEEN;
    },
    add(messageId, action, atMs) {
      const entries = read();
      const seen = entries.get(messageId) ?? NOT_SEEN;
      const key = `${action}s` as const;
      const recentMs = action === "impression" ? [atMs, ...seen.recentMs].slice(0, MOST_MOMENTS) : seen.recentMs;
      entries.delete(messageId);
      entries.set(messageId, { ...seen, [key]: seen[key] + 1, recentMs, atMs });
      set(KEY, JSON.stringify(Object.fromEntries([...entries].slice(-MOST_MESSAGES))));
    },
    clear: () => remove(KEY),
  };
}

/** What is stored may have been damaged. */
const isEntry = ([, entry]: [string, Entry]) => Array.isArray(entry?.recentMs);
