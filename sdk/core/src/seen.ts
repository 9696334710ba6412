/** What was done with messages on this device, so that caps count at once, also offline and in other tabs. */

import { NOT_SEEN, type Seen, withheld } from "./caps.ts";
import { fromJson } from "./edge.ts";
import type { Storage } from "./platform.ts";
import type { Prepared } from "./prepare.ts";

export type Action = "impression" | "click" | "dismissal";

/** By message id; `atMs`: of the newest of them. */
type Log = Record<string, Seen & { atMs: number }>;

export interface SeenLog {
  of(messageId: string): Seen;
  add(messageId: string, action: Action, nowMs: number): void;
  /**
   * The edge says of these messages that they may be shown, and knows all that was done here: where this log says
   * otherwise it is wrong. What is very new some edges may not know yet.
   */
  overrule(given: readonly Prepared[], nowMs: number): void;
  clear(): void;
}

const KEY = "seen";
const MOST_MESSAGES = 200;
const MOST_MOMENTS = 100;
/** What one edge was told, all of them know after so long. */
const KNOWN_EVERYWHERE_MS = 60_000;

export function seenLog(storage: Storage): SeenLog {
  const read = () => fromJson<Log>(storage.get(KEY)) ?? {};
  const write = (log: Log) =>
    storage.set(KEY, JSON.stringify(Object.fromEntries(Object.entries(log).slice(-MOST_MESSAGES))));
  return {
    of: (messageId) => read()[messageId] ?? NOT_SEEN,
    add(messageId, action, atMs) {
      const { [messageId]: seen = NOT_SEEN, ...others } = read();
      const key = `${action}s` as const;
      const recentMs = action === "impression" ? [atMs, ...seen.recentMs].slice(0, MOST_MOMENTS) : seen.recentMs;
      write({ ...others, [messageId]: { ...seen, [key]: seen[key] + 1, recentMs, atMs } });
    },
    overrule(given, nowMs) {
      const log = read();
      for (const { cap, message } of given) {
        const seen = log[message.id];
        if (seen && nowMs - seen.atMs > KNOWN_EVERYWHERE_MS && withheld(cap, seen, nowMs)) delete log[message.id];
      }
      write(log);
    },
    clear: () => storage.remove(KEY),
  };
}
