/** The messages that the present person may get: one request brings all of them, and this keeps them fresh. */

import type { Edge } from "./edge.ts";
import { isFinal, type SendoraError } from "./errors.ts";
import type { Message } from "./message.ts";
import type { Platform } from "./platform.ts";
import { readMessage, type Skipped } from "./read.ts";
import { retryMs, timer } from "./timing.ts";

/** `degraded`: the edge withholds messages that depend on what it cannot know at the moment. */
export interface Answer {
  messages: Message[];
  revision: number;
  validUntil: string;
  degraded: boolean;
}

export interface Feed {
  /** The last answer; null: there was none about the present person. */
  answer(): Answer | null;
  /** All that it lists, in its order, with what this SDK is too old for. */
  listed(): (Message | Skipped)[];
  /** Asks now. Rejects with SendoraError. */
  fetch(): Promise<Answer>;
  /** Asks again; where that was just done or is being done, a moment later. */
  freshen(): void;
  /** Somebody else asks from now on. */
  forget(): void;
}

interface Wire extends Omit<Answer, "messages"> {
  messages?: Message[];
  etag: string;
}

const FRESH_MS = 3_000;
const SHORTEST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 900_000;

/**
 * `person`: who asks, as a fetch says it; raises SendoraError when nobody may. `isWanted`: whether anybody looks at what comes by itself. `taken` is told
 * every answer.
 */
export function createFeed(
  platform: Platform,
  edge: Edge,
  person: () => object,
  isWanted: () => boolean,
  taken: (answer: Answer) => void,
): Feed {
  const { now, warn } = platform;
  const next = timer(platform, freshen);
  let answer: Answer | null = null;
  let listed: (Message | Skipped)[] = [];
  let etag: string | undefined;
  let asking: Promise<Answer> | null = null;
  /** An answer about an earlier one is of no use. */
  let personNumber = 0;
  let askedMs = 0;
  let failures = 0;
  let floorMs = SHORTEST_WAIT_MS;

  function fetch(): Promise<Answer> {
    asking ??= ask();
    return asking;
  }

  async function ask(): Promise<Answer> {
    const asked = personNumber;
    askedMs = now();
    next.clear();
    try {
      const wire = await edge.ask("in-app-messages/fetch", { ...person(), etag });
      if (asked === personNumber) return take(wire as Wire);
    } catch (error) {
      if (asked === personNumber) {
        fail(error as SendoraError);
        throw error;
      }
    } finally {
      if (asked === personNumber) asking = null;
    }
    // Somebody else uses the app now.
    return fetch();
  }

  function take({ messages, revision, validUntil, degraded = false, etag: latestEtag }: Wire): Answer {
    failures = 0;
    etag = latestEtag;
    if (Array.isArray(messages)) listed = messages.map(readMessage);
    const latestAnswer = { messages: listed.filter((each) => "body" in each), revision, validUntil, degraded };
    answer = latestAnswer;
    waitForChange(latestAnswer);
    // The app is told, and may do anything.
    taken(latestAnswer);
    return latestAnswer;
  }

  function fail(error: SendoraError): void {
    if (isFinal(error)) warn(`No messages: ${error.message}`);
    else if (isWanted()) next.set(retryMs(failures++));
  }

  function freshen(): void {
    const sinceMs = now() - askedMs;
    if (asking || (sinceMs >= 0 && sinceMs < FRESH_MS)) next.set(FRESH_MS);
    else if (isWanted()) fetch().catch(() => {});
  }

  function waitForChange({ validUntil }: Answer): void {
    const leftMs = Date.parse(validUntil) - edge.serverMs() || 0;
    // A device whose clock is wrong in a way that nobody can tell must not ask all the time.
    floorMs = leftMs > 0 ? SHORTEST_WAIT_MS : floorMs * 2;
    const waitMs = Math.min(Math.max(leftMs, floorMs), LONGEST_WAIT_MS);
    // Not all devices at the very moment at which a campaign begins. Who does not look does not ask.
    if (!next.isSet() && isWanted()) next.set(waitMs + Math.random() * SHORTEST_WAIT_MS);
  }

  return {
    answer: () => answer,
    listed: () => listed,
    fetch,
    freshen,
    forget() {
      personNumber++;
      answer = asking = null;
      listed = [];
      etag = undefined;
      askedMs = 0;
      next.clear();
    },
  };
}
