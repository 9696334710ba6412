// The edge's public API, as far as this page uses it.
// text/plain with the key in the body: the browser then needs no CORS preflight.

const RETRY_DELAYS_MS = [500, 2_000, 5_000];

export class EdgeError extends Error {
  constructor(message, { status = 0, code = "unreachable" } = {}) {
    super(message);
    this.name = "EdgeError";
    this.status = status;
    this.code = code;
  }

  get isTransient() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export class EdgeClient {
  #base;
  #apiKey;

  constructor(edgeUrl, apiKey) {
    this.#base = `${edgeUrl.replace(/\/+$/, "")}/api/v1/`;
    this.#apiKey = apiKey;
  }

  // No url, screen or event: without a context all eligible messages come, triggers included.
  fetchMessages(subject, etag) {
    return this.#post("in-app-messages/fetch", { ...subject, ...(etag && { etag }) });
  }

  async sendEvent(subject, { eventType, properties }) {
    const event = { id: newId(), eventType, timestamp: new Date().toISOString(), properties, ...subject };
    const { rejected = [] } = await this.#deliver("events/batch", { events: [event] });
    if (rejected.length) throw new EdgeError(rejected[0].message, { status: 422, code: rejected[0].code });
  }

  // action: "impressions" | "clicks" | "dismissals"
  async record(action, messageId, subject) {
    const path = `in-app-messages/${encodeURIComponent(messageId)}/${action}`;
    await this.#deliver(path, { ...subject, id: newId() });
  }

  // The event carries its own id, so sending it again after a lost answer counts once.
  async #deliver(path, body) {
    for (const delayMs of RETRY_DELAYS_MS) {
      try {
        return await this.#post(path, body, { keepalive: true });
      } catch (error) {
        if (!error.isTransient) throw error;
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
    return this.#post(path, body, { keepalive: true });
  }

  async #post(path, body, options) {
    const response = await fetch(this.#base + path, {
      method: "POST",
      headers: { "Content-Type": "text/plain" },
      body: JSON.stringify({ apiKey: this.#apiKey, ...body }),
      credentials: "omit",
      ...options,
    }).catch(() => {
      throw new EdgeError(`No answer from ${this.#base}`);
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok || !answer.success) {
      const { message = `The edge answered ${response.status}`, code = "unreadable" } = answer.error ?? {};
      throw new EdgeError(message, { status: response.status, code });
    }
    return answer.data;
  }
}

// crypto.randomUUID is missing on plain http; random bytes are not.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
