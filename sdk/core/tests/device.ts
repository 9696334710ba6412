/** A world in which time, the network and the ends of apps are the test's to say. */

import type { Listener, Platform, Reply, Storage } from "../src/platform.ts";

export type Weather = "fine" | "offline" | "answer_lost" | "busy";

interface SentEvent {
  id: string;
  eventType: string;
  timestamp: string;
  properties: Record<string, unknown>;
  userId?: string;
  anonymousId?: string;
}

interface Request {
  path: string;
  body: Record<string, unknown> & { events?: SentEvent[] };
}

/** An edge that keeps what it is sent, by id, as the real one does. */
export class FakeEdge {
  weather: Weather = "fine";
  mostEvents = 1_000;
  rejects: (event: SentEvent) => string | null = () => null;
  /** The `data` of a fetch. */
  messages: () => object = () => ({ messages: [], revision: 1, validUntil: "2100-01-01T00:00:00Z", etag: "a" });
  status: number | null = null;
  aheadMs = 0;
  /** How long the answer of a fetch takes on its way back. */
  fetchMs = 20;
  ledger = new Map<string, SentEvent>();
  requests: Request[] = [];

  get fetches(): Request[] {
    return this.requests.filter(({ path }) => path.endsWith("/fetch"));
  }

  get batches(): SentEvent[][] {
    return this.requests.flatMap(({ body }) => (body.events ? [body.events] : []));
  }

  types(): string[] {
    return [...this.ledger.values()].map(({ eventType }) => eventType);
  }

  answer(url: string, text: string, nowMs: number): Reply {
    if (this.weather === "offline") throw new Error("offline");
    const request = { path: new URL(url).pathname, body: JSON.parse(text) };
    this.requests.push(request);
    const reply = this.#reply(request);
    if (this.weather === "answer_lost") throw new Error("answer lost");
    const date = new Date(nowMs + this.aheadMs).toUTCString();
    return { ...reply, header: (name) => (name === "Date" ? date : null) };
  }

  #reply({ path, body }: Request): { status: number; body: string } {
    if (this.weather === "busy") return failure(503, "spool_full");
    if (this.status) return failure(this.status, "refused");
    if (path.endsWith("/fetch")) return success(this.messages());
    const { events = [] } = body;
    if (events.length > this.mostEvents) return failure(413, "payload_too_large");
    const codes = events.map((event) => this.rejects(event));
    for (const [index, event] of events.entries()) if (!codes[index]) this.ledger.set(event.id, event);
    const rejected = codes.flatMap((code, index) => (code ? [{ index, code, message: code }] : []));
    return success({ accepted: events.length - rejected.length, rejected });
  }
}

const success = (data: unknown) => ({ status: 200, body: JSON.stringify({ success: true, data }) });
const failure = (status: number, code: string) => ({
  status,
  body: JSON.stringify({ success: false, error: { code, message: code } }),
});

/** One device: what is stored outlives the instances of the app, which may run side by side. */
export class Device {
  nowMs = Date.parse("2026-12-01T00:00:00Z");
  edge = new FakeEdge();
  stored = new Map<string, string>();
  #timers = new Map<number, { atMs: number; run: () => void }>();
  #numbers = 0;
  #sender: Instance | null = null;

  open(): Instance {
    return new Instance(this);
  }

  /** Lets time pass, and everything that is due by then happen, one after the other. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    await settled();
    for (;;) {
      const [number, next] = [...this.#timers].sort(([, a], [, b]) => a.atMs - b.atMs)[0] ?? [0, null];
      if (!next || next.atMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.#timers.delete(number);
      next.run();
      await settled();
    }
    this.nowMs = untilMs;
  }

  get timers(): number {
    return this.#timers.size;
  }

  after(ms: number, run: () => void): () => void {
    const number = ++this.#numbers;
    this.#timers.set(number, { atMs: this.nowMs + ms, run });
    return () => this.#timers.delete(number);
  }

  /** Ever smaller, so that no order comes of it by chance. */
  hex(bytes: number): string {
    return (2 ** 40 - ++this.#numbers).toString(16).padStart(bytes * 2, "0");
  }

  async alone(instance: Instance, work: () => Promise<void>): Promise<boolean> {
    if (this.#sender) return false;
    this.#sender = instance;
    try {
      await work();
    } finally {
      this.release(instance);
    }
    return true;
  }

  release(instance: Instance): void {
    if (this.#sender === instance) this.#sender = null;
  }
}

/** An app that runs on the device, as its SDK sees it. */
export class Instance {
  device: Device;
  isVisible = true;
  url = "https://app.example.com/";
  warnings: string[] = [];
  #isAlive = true;
  #listener: Listener | null = null;

  constructor(device: Device) {
    this.device = device;
  }

  get tell(): Listener {
    return this.#listener!;
  }

  go(url: string): void {
    this.url = url;
    this.#listener?.moved();
  }

  hide(): void {
    this.isVisible = false;
    this.#listener?.hidden();
  }

  show(): void {
    this.isVisible = true;
    this.#listener?.awake();
  }

  /** From one moment to the next nothing of it runs any more. */
  kill(): void {
    this.#isAlive = false;
    this.device.release(this);
  }

  platform(): Platform {
    const { device } = this;
    return {
      sdk: "test/1",
      storage: this.#storage(),
      now: () => device.nowMs,
      randomHex: (bytes) => device.hex(bytes),
      after: (ms, run) => device.after(ms, () => this.#isAlive && run()),
      post: (url, body) => this.#post(url, body),
      beacon: (url, body) => this.#beacon(url, body),
      alone: (work) => device.alone(this, work),
      isVisible: () => this.isVisible,
      url: () => this.url,
      listen: (listener) => {
        this.#listener = listener;
        return () => {
          this.#listener = null;
        };
      },
      warn: (text) => void this.warnings.push(text),
    };
  }

  #storage(): Storage {
    const { stored } = this.device;
    return {
      get: (key) => stored.get(key) ?? null,
      set: (key, value) => void (this.#isAlive && stored.set(key, value)),
      remove: (key) => void (this.#isAlive && stored.delete(key)),
      keys: () => [...stored.keys()],
    };
  }

  /** An instance that was killed meanwhile never hears the answer. */
  #post(url: string, body: string): Promise<Reply> {
    if (!this.#isAlive) return new Promise(() => {});
    return new Promise((resolve, reject) => {
      this.device.after(20, () => {
        try {
          const { edge, nowMs } = this.device;
          const reply = edge.answer(url, body, nowMs);
          const backMs = url.endsWith("/fetch") ? edge.fetchMs : 20;
          if (this.#isAlive) this.device.after(backMs, () => this.#isAlive && resolve(reply));
        } catch (error) {
          if (this.#isAlive) reject(error);
        }
      });
    });
  }

  #beacon(url: string, body: string): void {
    try {
      this.device.edge.answer(url, body, this.device.nowMs);
    } catch {
      // Nobody hears what becomes of it.
    }
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await null;
}
