/** The messages that the present person may get: one request brings all of them, and this keeps them fresh. */

import type { Edge } from "./edge.ts";
import type { SendoraError } from "./errors.ts";
import type { Message } from "./message.ts";
import type { Platform } from "./platform.ts";
import { type Prepared, prepare, type Skipped } from "./prepare.ts";
import { retryMs, timer } from "./timing.ts";

/** `degraded`: the edge withholds messages that depend on what it cannot know at the moment. */
export interface Answer {
  messages: Message[];
  revision: number;
  validUntil: string;
  degraded: boolean;
}

/** An answer with what is decided by. Messages are in their order of rank; `skipped` are too new for this SDK. */
export interface Given {
  answer: Answer;
  prepared: Prepared[];
  skipped: Skipped[];
}

export interface Feed {
  given(): Given | null;
  /** Asks now. Rejects with SendoraError. */
  fetch(): Promise<Given>;
  /** Asks again unless that was just done, in which case it does so a moment later. */
  freshen(): void;
  /** Somebody else asks from now on. */
  forget(): void;
}

interface Wire extends Answer {
  unchanged?: boolean;
  etag: string;
}

const FRESH_MS = 3_000;
const SHORTEST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 900_000;

/**
 * `person`: who asks, as a fetch says it. `isWanted`: whether anybody looks at what comes by itself. `taken` is told
 * every answer.
 */
export function createFeed(
  platform: Platform,
  edge: Edge,
  person: () => object,
  isWanted: () => boolean,
  taken: (given: Given) => void,
): Feed {
  const next = timer(platform, refresh);
  let given: Given | null = null;
  let etag: string | undefined;
  let asking: Promise<Given> | null = null;
  let askedMs = 0;
  let failures = 0;
  let floorMs = SHORTEST_WAIT_MS;

  function fetch(): Promise<Given> {
    if (asking) return asking;
    askedMs = platform.now();
    next.clear();
    const mine = edge.ask("in-app-messages/fetch", { ...person(), etag }).then(
      // An answer about somebody who is gone is of no use.
      (data) => (mine === asking ? take(data as Wire) : fetch()),
      (error) => {
        if (mine === asking) asking = null;
        throw error;
      },
    );
    asking = mine;
    return mine;
  }

  function take(wire: Wire): Given {
    asking = null;
    failures = 0;
    etag = wire.etag;
    given = read(wire, wire.unchanged ? given : null);
    taken(given);
    return given;
  }

  function refresh(): void {
    if (!isWanted()) return;
    fetch().then(waitForChange, (error: SendoraError) => {
      if (error.isFinal) platform.warn(`No messages: ${error.message}`);
      else next.set(retryMs(platform, failures++, error));
    });
  }

  function waitForChange({ answer: { validUntil } }: Given): void {
    const leftMs = Date.parse(validUntil) - edge.serverMs();
    // A device whose clock is wrong in a way that nobody can tell must not ask all the time.
    floorMs = leftMs > 0 ? SHORTEST_WAIT_MS : floorMs * 2;
    const waitMs = Math.min(Math.max(leftMs, floorMs), LONGEST_WAIT_MS);
    // Not all devices at the very moment at which a campaign begins. Who does not look does not ask.
    if (!next.isSet() && isWanted()) next.set(waitMs + platform.random() * SHORTEST_WAIT_MS);
  }

  return {
    given: () => given,
    fetch,
    freshen() {
      const sinceMs = platform.now() - askedMs;
      if (sinceMs < 0 || sinceMs >= FRESH_MS) refresh();
      else next.set(FRESH_MS - sinceMs);
    },
    forget() {
      given = asking = null;
      etag = undefined;
      askedMs = 0;
      next.clear();
    },
  };
}

/** `known`: of the answer before, where the messages are still the same. */
function read({ messages = [], revision, validUntil, degraded = false }: Wire, known: Given | null): Given {
  const all = messages.map(prepare);
  const prepared = known?.prepared ?? all.filter((each) => "message" in each);
  const skipped = known?.skipped ?? all.filter((each) => "reason" in each);
  return { answer: { messages: prepared.map(({ message }) => message), revision, validUntil, degraded }, prepared, skipped };
}
