/** When things happen next. */

import type { Platform } from "./platform.ts";

const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 300_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** One moment to wait for: setting it forgets the one before. */
export interface Timer {
  set(ms: number): void;
  clear(): void;
  isSet(): boolean;
}

export function timer(platform: Platform, run: () => void): Timer {
  let cancel: (() => void) | null = null;
  function clear() {
    cancel?.();
    cancel = null;
  }
  return {
    clear,
    isSet: () => cancel !== null,
    set(ms) {
      clear();
      cancel = platform.after(Math.min(ms, LONGEST_TIMER_MS), () => {
        cancel = null;
        run();
      });
    },
  };
}

/** Twice as long after each failure in a row, and never just as long as other devices. */
export function retryMs(failures: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** failures, LAST_RETRY_MS) * (1 + Math.random());
}
