/** An app with the SDK in it, on a device of the test's own. */

import type { Options, Sendora } from "../src/api.ts";
import type { Message } from "../src/message.ts";
import type { Handlers } from "../src/render.ts";
import { createSendora } from "../src/sendora.ts";
import { Device, type Instance } from "./device.ts";

export function message(id: string, fields: object = {}): Message {
  return {
    id,
    version: 1,
    type: "banner",
    slot: id,
    priority: 50,
    content: {
      title: null,
      body: id,
      ctaText: "Go",
      ctaUrl: "https://example.com/",
      imageUrl: null,
      dismissible: true,
    },
    appearance: { position: "top", theme: "auto", backgroundColor: null, textColor: null, anchor: null },
    trigger: null,
    frequencyCap: null,
    startsAt: null,
    endsAt: null,
    ...fields,
  } as Message;
}

export class App {
  device: Device;
  instance: Instance;
  sendora: Sendora;
  /** What is on the screen, by id. */
  screen = new Map<string, Handlers>();
  bodies: string[] = [];
  /** Which message cannot be drawn. */
  fails: string | null = null;
  /** Whether what is drawn comes in sight at once. */
  isInSight = true;

  constructor(options: Partial<Options> = {}, device = new Device()) {
    this.device = device;
    this.instance = device.open();
    this.sendora = createSendora(
      { apiKey: "pk_test", apiUrl: "https://edge.example.com", ...options },
      this.instance.platform(),
      (drawn, handlers) => this.#draw(drawn, handlers),
    );
  }

  /** What the edge answers from now on. */
  give(messages: Message[], answer: object = {}): void {
    const fields = { revision: 1, validUntil: "2100-01-01T00:00:00Z", etag: "", ...answer };
    this.device.edge.messages = () => ({ messages, ...fields });
  }

  /** Started, with these messages, and the first answer there. */
  async start(messages: Message[]): Promise<this> {
    this.give(messages);
    this.sendora.messages.start();
    await this.device.pass(100);
    return this;
  }

  get shown(): string[] {
    return [...this.screen.keys()];
  }

  #draw({ id, body }: Message, handlers: Handlers) {
    if (id === this.fails) throw new Error("the renderer's own");
    this.screen.set(id, handlers);
    this.bodies.push(body);
    if (this.isInSight) this.device.after(0, handlers.seen);
    return { remove: () => void this.screen.delete(id) };
  }
}
