/**
 * Events on their way to the edge. Each is stored before it is sent, under an id that it keeps for ever, and removed
 * only when the edge has acknowledged or refused it. So whatever ends the app, an event arrives, and counts once.
 */

import type { Edge } from "./edge.ts";
import { isFinal, type SendoraError } from "./errors.ts";
import { fromJson } from "./json.ts";
import type { Platform } from "./platform.ts";
import { retryMs, timer } from "./timing.ts";

/** An event as it is stored; the id is its key. `atMs`: by the device's clock. */
interface StoredEvent extends NewEvent {
  atMs: number;
}

/** Whose it is stands in it, as the edge reads it. */
export interface NewEvent {
  eventType: string;
  properties: object;
  anonymousId?: string;
  userId?: string;
  identityToken?: string | undefined;
}

/** `dropped`: events that will never arrive, by the edge's code for why, or one of this SDK's. */
export interface Delivery {
  waiting: number;
  dropped: Record<string, number>;
}

export interface Outbox {
  /** From now on events are sent, those first that were left from before. */
  open(): void;
  /** Nothing more is sent; what waits stays stored. */
  close(): void;
  /** Stores an event, to be sent soon. */
  add(event: NewEvent): void;
  /** Sends what waits, now. Settles when it is sent, or when that failed and will be tried again. */
  flush(): Promise<void>;
  /** Sends what this instance has added without an answer. It stays stored: the next one sends it again, to be sure. */
  leave(): void;
  /** Everything that waits is dropped. */
  clear(): void;
  delivery(): Delivery;
}

export const IDENTIFIED = "user.identified";

const PREFIX = "event:";
const PATH = "events/batch";
const IN_FUTURE = "timestamp_in_future";
const MOST_WAITING = 1_000;
const MOST_IN_BATCH = 50;
const GATHERED_MS = 1_000;

/** `acknowledged` is called whenever the edge has taken events. */
export function createOutbox(platform: Platform, edge: Edge, acknowledged: () => void): Outbox {
  const { storage, now, warn } = platform;
  const dropped: Delivery["dropped"] = {};
  /** Of this instance of the app: another looks after its own when it ends. */
  const mine = new Set<string>();
  const next = timer(platform, flush);
  let isOpen = false;
  let sending: Promise<void> | null = null;
  let failures = 0;
  let mostInBatch = MOST_IN_BATCH;
  let lastMs = 0;

  /** Keys, oldest first: ids begin with the time. */
  const waiting = () =>
    storage
      .keys()
      .filter((key) => key.startsWith(PREFIX))
      .sort();

  function add(event: NewEvent): void {
    const atMs = now();
    lastMs = Math.max(atMs, lastMs + 1);
    const key = PREFIX + lastMs.toString(16).padStart(12, "0") + platform.randomHex(10);
    const text = JSON.stringify({ ...event, atMs });
    for (const oldKey of waiting().slice(0, 1 - MOST_WAITING)) remove(oldKey, "outbox_full");
    storage.set(key, text);
    mine.add(key);
    if (!next.isSet()) next.set(GATHERED_MS);
  }

  function flush(): Promise<void> {
    sending ??= send().finally(() => {
      sending = null;
    });
    return sending;
  }

  async function send(): Promise<void> {
    next.clear();
    if (!isOpen) return;
    if (!(await platform.alone(sendAll))) next.set(GATHERED_MS);
  }

  async function sendAll(): Promise<void> {
    for (let batch = batchOf(waiting()); isOpen && batch.size && !next.isSet(); batch = batchOf(waiting())) {
      const keys = [...batch.keys()];
      await edge
        .ask(PATH, { events: [...batch.values()] })
        .then((data) => accept(keys, data as Acknowledgement))
        .catch((error) => fail(keys, error));
    }
  }

  /** As many as fit into a request, by their keys, as they are sent. */
  function batchOf(keys: string[]): Map<string, object> {
    const batch = new Map<string, object>();
    for (const key of keys.slice(0, mostInBatch)) {
      const { atMs = -1, ...event } = fromJson<Partial<StoredEvent>>(storage.get(key)) ?? {};
      if (!(atMs >= 0)) {
        remove(key, "unreadable");
        continue;
      }
      // The device's clock may have been ahead.
      const timestamp = new Date(Math.min(edge.serverMs(atMs), edge.serverMs())).toISOString();
      batch.set(key, { id: key.slice(PREFIX.length), timestamp, ...event, context: { sdk: platform.sdk } });
      // Of two in one request nobody could say whose traits are the later ones.
      if (event.eventType === IDENTIFIED) break;
    }
    return batch;
  }

  function accept(keys: string[], { rejected }: Acknowledgement): void {
    failures = 0;
    const codes = new Map(rejected?.map(({ index, code }) => [keys[index], code]));
    // From the answer it is known what time it is.
    const isAhead = edge.serverMs() < now();
    for (const key of keys) {
      if (isAhead && codes.get(key) === IN_FUTURE) next.set(retryMs(0));
      else remove(key, codes.get(key));
    }
    if (rejected?.[0]) warn(`Event refused: ${rejected[0].message}`);
    acknowledged();
  }

  function fail(keys: string[], error: SendoraError): void {
    if (error.status === 413 && keys.length > 1) {
      mostInBatch = Math.ceil(keys.length / 2);
    } else if (isFinal(error) && error.status !== 401) {
      for (const key of keys) remove(key, error.code);
      warn(`Events refused: ${error.message}`);
    } else {
      // A key that was revoked, too: the next one of this org delivers what waits.
      next.set(retryMs(failures++));
    }
  }

  function remove(key: string, code?: string): void {
    if (code) dropped[code] = (dropped[code] ?? 0) + 1;
    mine.delete(key);
    storage.remove(key);
  }

  return {
    add,
    flush,
    open() {
      isOpen = true;
      if (waiting().length) next.set(0);
    },
    close() {
      isOpen = false;
      next.clear();
    },
    leave() {
      const batch = batchOf(waiting().filter((key) => mine.has(key)));
      if (isOpen && !sending && batch.size) edge.beacon(PATH, { events: [...batch.values()] });
    },
    clear() {
      for (const key of waiting()) remove(key, "consent_revoked");
    },
    delivery: () => ({ waiting: waiting().length, dropped: { ...dropped } }),
  };
}

interface Acknowledgement {
  rejected?: null | { index: number; code: string; message: string }[];
}
