/** The browser, as the core needs it. */

import type { Listener, Platform, Reply } from "@sendora/core";
import { onMove } from "./navigation.ts";
import { storageFor } from "./storage.ts";

declare const SDK_VERSION: string;

/** Browsers finish sending 64 KiB for a page that ends, and a character takes up to three bytes. */
const MOST_KEEPALIVE_CHARACTERS = 20_000;
const PATIENCE_MS = 20_000;

/** `name`: of all that is kept for this app on this origin. */
export function browserPlatform(name: string): Platform {
  return {
    sdk: `web/${SDK_VERSION}`,
    storage: storageFor(name),
    now: () => Date.now(),
    randomHex,
    after(ms, run) {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
    post,
    beacon: (url, body) => void navigator.sendBeacon(url, body),
    alone: (work) => alone(name, work),
    isVisible: () => document.visibilityState === "visible",
    url: () => location.href,
    listen,
    warn: (...what) => console.warn("[sendora]", ...what),
  };
}

// crypto.randomUUID is missing on plain http; random bytes are not.
function randomHex(bytes: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}

async function post(url: string, body: string): Promise<Reply> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "text/plain" },
    body,
    credentials: "omit",
    keepalive: body.length < MOST_KEEPALIVE_CHARACTERS,
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  return { status: answer.status, body: await answer.text(), header: (name) => answer.headers.get(name) };
}

/** Without locks (plain http, no storage allowed) two tabs may send the same event; the edge counts it once all the same. */
async function alone(name: string, work: () => Promise<void>): Promise<boolean> {
  const whenFree = async (lock: unknown) => {
    if (lock) await work();
    return !!lock;
  };
  const locked = navigator.locks?.request(name, { ifAvailable: true }, whenFree);
  return locked?.catch(() => whenFree(true)) ?? whenFree(true);
}

function listen({ awake, hidden, leaving, moved }: Listener): () => void {
  const stopped = new AbortController();
  const { signal } = stopped;
  const look = () => (document.visibilityState === "visible" ? awake() : hidden());
  document.addEventListener("visibilitychange", look, { signal });
  addEventListener("focus", awake, { signal });
  addEventListener("pagehide", leaving, { signal });
  addEventListener("online", awake, { signal });
  onMove(moved, signal);
  return () => stopped.abort();
}
