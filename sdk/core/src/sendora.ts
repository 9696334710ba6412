/** The SDK: whose it is, what they agreed to, and which part does what when. */

import type { Explanation, Options, Sendora } from "./api.ts";
import type { Properties } from "./decide.ts";
import { createDrawing } from "./drawing.ts";
import { edgeAt } from "./edge.ts";
import { attempter, SendoraError } from "./errors.ts";
import { type Answer, createFeed } from "./feed.ts";
import { fromJson } from "./json.ts";
import { createOutbox, IDENTIFIED } from "./outbox.ts";
import type { Platform } from "./platform.ts";
import type { Render } from "./render.ts";
import { type Action, seenLog } from "./seen.ts";
import { createStage } from "./stage.ts";

/** `anonymousId`: of this device's making. */
interface Person {
  anonymousId: string;
  userId?: string;
  identityToken?: string | undefined;
}

const PERSON = "person";
const MOST_HELD = 100;
/** What one edge was told, all of them know after so long. */
const KNOWN_EVERYWHERE_MS = 60_000;
const EVENTS: Record<Action, string> = {
  impression: "in_app.impression",
  click: "in_app.clicked",
  dismissal: "in_app.dismissed",
};

/** Raises SendoraError. `render` null: the app draws. */
export function createSendora(options: Options, platform: Platform, render: Render | null): Sendora {
  check(options);
  const { storage } = platform;
  const attempt = attempter(platform.warn);
  const { draw, onDisplay, onAction } = createDrawing(options.headless ? null : render, attempt);
  const edge = edgeAt(options.apiUrl, options.apiKey, platform);
  const outbox = createOutbox(platform, edge, acknowledged);
  const seen = seenLog(storage);
  const feed = createFeed(platform, edge, asks, isLooking, taken);
  const stage = createStage(platform, {
    nowMs: edge.serverMs,
    whereabouts: () => ({ url: platform.url(), screen }),
    isLit: () => isLooking() && !isPaused,
    seen: (id) => seen.of(id, countedMs),
    draw,
    record,
  });
  /** What was asked before consent, in order. */
  const held: (() => void)[] = [];
  /** null: without consent there is nobody. */
  let person: Person | null = null;
  /** On their way: until the edge has acknowledged all events, every fetch says them too. */
  let traits: Properties | undefined;
  /** When the edge was last asked while nothing waited to be sent. */
  let askedMs = 0;
  /** What was done before, the edge has counted into its last answer. */
  let countedMs = 0;
  let screen: string | null = null;
  let isStarted = false;
  let isPaused = false;

  const unlisten = platform.listen({
    awake() {
      void outbox.flush();
      wakeUp();
    },
    hidden: () => void outbox.flush(),
    leaving: outbox.leave,
    moved: () => stage.fire(null),
  });

  /** Who asks, as a fetch says it. */
  function asks(): object {
    if (!person) throw new SendoraError("consent_missing", "Call consent.grant() first.");
    if (!outbox.delivery().waiting) askedMs = platform.now();
    return { ...person, traits };
  }

  const newId = () => platform.randomHex(16);

  function isLooking(): boolean {
    return isStarted && person !== null && platform.isVisible();
  }

  function wakeUp(): void {
    if (isLooking()) feed.freshen();
    stage.settle();
  }

  function become(next: Person): void {
    person = next;
    storage.set(PERSON, JSON.stringify(person));
    feed.forget();
  }

  function forget(): void {
    traits = undefined;
    // The app is told, and may report something.
    stage.clear();
    seen.clear();
  }

  function reset(): void {
    forget();
    become({ anonymousId: newId() });
    wakeUp();
  }

  function grant(): void {
    if (person) return;
    const stored = fromJson<Person>(storage.get(PERSON));
    become(stored?.anonymousId ? stored : { anonymousId: newId() });
    outbox.open();
    for (const run of held.splice(0)) run();
    wakeUp();
  }

  function revoke(): void {
    outbox.close();
    feed.forget();
    forget();
    outbox.clear();
    storage.remove(PERSON);
    person = null;
  }

  function whenGranted(run: () => void): void {
    if (person) run();
    else if (held.push(run) > MOST_HELD) held.shift();
  }

  function start(): void {
    isStarted = true;
    const answer = feed.answer();
    if (answer) taken(answer);
    wakeUp();
  }

  function stop(): void {
    isStarted = false;
    stage.clear();
  }

  function send(eventType: string, properties: Properties): void {
    outbox.add({ eventType, properties, ...person });
  }

  function track(type: string, given: Properties = {}): void {
    const properties = asSent(given);
    whenGranted(() => {
      send(type, properties);
      stage.fire({ type, properties });
    });
  }

  /** As the edge will see them: dates are texts there. What is no JSON at all is left out. */
  const asSent = (given: Properties): Properties =>
    attempt("properties", () => JSON.parse(JSON.stringify(given))) ?? {};

  function record(action: Action, messageId: string): void {
    seen.add(messageId, action, edge.serverMs());
    send(EVENTS[action], { messageId });
    // A click mostly leads to another page.
    if (action === "click") void outbox.flush();
  }

  async function act(id: string, action: Action): Promise<void> {
    whenGranted(() => stage.act(id, action) || record(action, id));
  }
  const impression = (id: string) => act(id, "impression");
  const click = (id: string) => act(id, "click");
  const dismissal = (id: string) => act(id, "dismissal");

  function acknowledged(): void {
    if (!outbox.delivery().waiting) traits = undefined;
    if (isLooking()) feed.freshen();
  }

  function taken({ messages, degraded }: Answer): void {
    if (!isStarted) return;
    const knownMs = edge.serverMs(askedMs);
    if (!degraded) countedMs = knownMs - KNOWN_EVERYWHERE_MS;
    stage.give(messages, !degraded, knownMs);
  }

  function explain(): Explanation[];
  function explain(id: string): Explanation;
  function explain(id?: string): Explanation | Explanation[] {
    const known = new Map([...stage.messages(), ...feed.listed()].map((each) => [each.id, each]));
    const all = [...known.values()].map((each) =>
      explanation(each.id, "body" in each ? stage.reason(each) : each.reason),
    );
    return id ? (all.find((each) => each.id === id) ?? explanation(id, "not_listed")) : all;
  }

  if (options.consent ?? true) grant();

  return {
    identify(userId, given = {}, also) {
      const values = asSent(given);
      const identityToken = also?.identityToken;
      whenGranted(() => {
        const isOther = (person!.userId ?? userId) !== userId;
        if (isOther) forget();
        become({ anonymousId: isOther ? newId() : person!.anonymousId, userId, identityToken });
        traits = { ...traits, ...values };
        send(IDENTIFIED, values);
        wakeUp();
      });
    },
    track,
    screen(name) {
      screen = name;
      stage.fire(null);
      track("screen.viewed", { screen: name });
    },
    reset: () => whenGranted(reset),
    flush: () => outbox.flush().then(outbox.delivery),
    delivery: outbox.delivery,
    destroy() {
      stop();
      unlisten();
      void outbox.flush().then(outbox.close);
    },
    consent: { grant, revoke },
    inApp: { fetch: feed.fetch, trackImpression: impression, trackClick: click },
    messages: {
      fetchActive: async () => (await feed.fetch()).messages,
      recordImpression: impression,
      recordClick: click,
      start,
      stop,
      pause() {
        isPaused = true;
      },
      resume() {
        isPaused = false;
        stage.settle();
      },
      onDisplay,
      onAction,
      show: stage.show,
      dismiss: dismissal,
      explain,
    },
  };
}

const explanation = (id: string, reason: Explanation["reason"]): Explanation => ({ id, shown: !reason, reason });

function check({ apiKey, apiUrl }: Options): void {
  if (!/^pk_/.test(apiKey)) {
    throw new SendoraError("invalid_api_key", "apiKey must be public, pk_…");
  }
  if (!/^https:|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:|\/|$)/.test(apiUrl)) {
    throw new SendoraError("insecure_api_url", "apiUrl must be https.");
  }
}
