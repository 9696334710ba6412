/** The edge's public API, as far as SDKs use it: text/plain with the key in the body needs no preflight. */

import { SendoraError } from "./errors.ts";
import type { Platform } from "./platform.ts";

export interface Edge {
  /** The `data` of the answer. Rejects with SendoraError. */
  ask(path: string, body: object): Promise<unknown>;
  /** Sends without waiting for an answer. */
  beacon(path: string, body: object): void;
  /** What the server's clock shows when the device's shows `deviceMs`; by default now. */
  serverMs(deviceMs?: number): number;
}

/** The server's date has no fractions, and takes time to arrive: nearer than this the device's own clock is better. */
const TOLERATED_SKEW_MS = 2_000;

export function edgeAt(apiUrl: string, apiKey: string, platform: Platform): Edge {
  const address = (path: string) => `${apiUrl.replace(/\/+$/, "")}/api/v1/${path}`;
  const text = (body: object) => JSON.stringify({ apiKey, ...body });
  let skewMs = 0;

  return {
    async ask(path, body) {
      const { status, body: answered, dateMs, retryAfterS } = await platform.post(address(path), text(body)).catch(() => {
        throw new SendoraError("unreachable", `No answer from ${apiUrl}. Is apiUrl right, and the device online?`);
      });
      if (dateMs) skewMs = dateMs - platform.now();
      if (Math.abs(skewMs) < TOLERATED_SKEW_MS) skewMs = 0;
      const answer = fromJson<Envelope>(answered);
      if (answer?.success) return answer.data;
      const { code = "unreadable", message = `The edge answered ${status}.` } = answer?.error ?? {};
      throw new SendoraError(code, message, status, (retryAfterS ?? 0) * 1000);
    },
    beacon: (path, body) => platform.beacon(address(path), text(body)),
    serverMs: (deviceMs = platform.now()) => deviceMs + skewMs,
  };
}

interface Envelope {
  success?: boolean;
  data?: unknown;
  error?: { code?: string; message?: string };
}

/** null for nothing, and for what is no JSON. */
export function fromJson<T>(text: string | null): T | null {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}
