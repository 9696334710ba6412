/** The edge's public API, as far as SDKs use it: text/plain with the key in the body needs no preflight. */

import { SendoraError } from "./errors.ts";
import { fromJson } from "./json.ts";
import type { Platform } from "./platform.ts";

export interface Edge {
  /** The `data` of the answer. Rejects with SendoraError. */
  ask(path: string, body: object): Promise<object>;
  /** Sends without waiting for an answer. */
  beacon(path: string, body: object): void;
  /** What the server's clock shows when the device's shows `deviceMs`; by default now. */
  serverMs(deviceMs?: number): number;
}

/** The server's date has no fractions, and takes time to arrive: nearer than this the device's own clock is better. */
const TOLERATED_SKEW_MS = 2_000;

export function edgeAt(apiUrl: string, apiKey: string, platform: Platform): Edge {
  const { post, beacon, now } = platform;
  const address = (path: string) => `${apiUrl.replace(/\/+$/, "")}/api/v1/${path}`;
  const text = (body: object) => JSON.stringify({ apiKey, ...body });
  let skewMs = 0;

  return {
    async ask(path, body) {
      const reply = await post(address(path), text(body)).catch(() => {
        throw new SendoraError("unreachable", `No answer from ${apiUrl}.`);
      });
      const ahead = Date.parse(reply.header("Date") ?? "") - now();
      skewMs = Math.abs(ahead) > TOLERATED_SKEW_MS ? ahead : 0;
      const answer = fromJson<Envelope>(reply.body);
      if (answer?.data) return answer.data;
      const { code = "unreadable", message = `${apiUrl} answered ${reply.status}.` } = answer?.error ?? {};
      throw new SendoraError(code, message, reply.status);
    },
    beacon: (path, body) => beacon(address(path), text(body)),
    serverMs: (deviceMs = now()) => deviceMs + skewMs,
  };
}

interface Envelope {
  data?: object;
  error?: { code?: string; message?: string };
}
