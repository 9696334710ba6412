/** The SDK's face: what an app calls. */

import type { Properties } from "./decide.ts";
import { edgeAt, fromJson } from "./edge.ts";
import { SendoraError } from "./errors.ts";
import { type Answer, createFeed } from "./feed.ts";
import type { Message } from "./message.ts";
import { createOutbox, type Delivery, IDENTIFIED } from "./outbox.ts";
import type { Platform } from "./platform.ts";
import type { Skipped } from "./read.ts";
import type { Render, View } from "./render.ts";
import { type Action, seenLog } from "./seen.ts";
import { type Act, createStage, type Reason } from "./stage.ts";

export interface Options {
  /** A public key, `pk_…`. */
  apiKey: string;
  /** Where the edge is: https, or http on this machine. */
  apiUrl: string;
  /** The app draws messages itself: nothing is rendered. */
  headless?: boolean;
  /** false: nothing is stored or sent before `consent.grant()`. */
  consent?: boolean;
}

/** What somebody did with a message. `url`: where its call to action leads. */
export interface DisplayAction {
  type: "click" | "dismissal";
  message: Message;
  url: string | null;
}

/** Why a message is or is not in sight; codes in docs/sdk.md. `not_listed`: the edge does not give it to this person. */
export interface Explanation {
  id: string;
  shown: boolean;
  reason: Reason | Skipped["reason"] | "not_listed" | null;
}

type Callback<T> = (value: T) => unknown;
type Unsubscribe = () => void;

/** Actions settle when they are stored; they are sent soon after, and count once. */
export interface Sendora {
  /** Says who uses the app, and what is known of them. Another user than before begins anew, as after `reset`. */
  identify(userId: string, traits?: Properties, options?: { identityToken?: string }): void;
  /** Something happened: it is counted, and messages that wait for it show. */
  track(type: string, properties?: Properties): void;
  /** Somebody is at another screen of the app. */
  screen(name: string): void;
  /** Somebody else uses the app from now on: a new visitor. What waits to be sent still is. */
  reset(): void;
  /** Sends what waits, now. */
  flush(): Promise<Delivery>;
  /** How many events wait to be sent, and how many never will be, by reason. */
  delivery(): Delivery;
  /** Ends everything; what waits is sent now or, failing that, by the next `init`. */
  destroy(): void;
  consent: {
    /** Begins to store and send, with what was asked meanwhile. */
    grant(): void;
    /** Ends it, and forgets what this device knows of the person, events that were not sent included. */
    revoke(): void;
  };
  inApp: {
    /** The messages that the present person may get, highest rank first. Rejects with SendoraError. */
    fetch(): Promise<Answer>;
    trackImpression(id: string): Promise<void>;
    trackClick(id: string): Promise<void>;
  };
  messages: {
    fetchActive(): Promise<Message[]>;
    recordImpression(id: string): Promise<void>;
    recordClick(id: string): Promise<void>;
    /** From now on messages show when their triggers say so. */
    start(): void;
    /** Takes away what is shown, without counting it as dismissed, and shows nothing more. */
    stop(): void;
    /** Nothing new shows; what is shown stays. */
    pause(): void;
    /** What became due meanwhile shows. */
    resume(): void;
    /**
     * Before a message shows. Who returns false or a function draws it, and reports by `recordImpression`,
     * `recordClick`, `dismiss`; the function is called when it has to go.
     */
    onDisplay(callback: Callback<Message>): Unsubscribe;
    /** At a click or dismissal; who returns false for a click takes care of its link. */
    onAction(callback: Callback<DisplayAction>): Unsubscribe;
    /** Shows a message whatever its trigger says. False: its slot is taken, or its cap or window forbids it. */
    show(id: string): boolean;
    /** Closes a message as somebody would. */
    dismiss(id: string): Promise<void>;
    explain(): Explanation[];
    explain(id: string): Explanation;
  };
}

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
  const { storage, warn } = platform;
  const edge = edgeAt(options.apiUrl, options.apiKey, platform);
  const outbox = createOutbox(platform, edge, acknowledged);
  const seen = seenLog(storage);
  const feed = createFeed(platform, edge, asks, isLooking, taken);
  const stage = createStage(platform, {
    nowMs: edge.serverMs,
    place: () => ({ url: platform.url(), screen }),
    isLit: () => isLooking() && !isPaused,
    seen: (id) => seen.of(id, countedMs),
    draw,
    record,
  });
  const onDisplay = new Set<Callback<Message>>();
  const onAction = new Set<Callback<DisplayAction>>();
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
    feed.forget();
    // The app is told, and may report something.
    stage.clear();
    seen.clear();
  }

  function reset(): void {
    forget();
    become({ anonymousId: platform.randomHex(16) });
    wakeUp();
  }

  function grant(): void {
    if (person) return;
    const stored = fromJson<Person>(storage.get(PERSON));
    become(stored?.anonymousId ? stored : { anonymousId: platform.randomHex(16) });
    outbox.open();
    for (const run of held.splice(0)) run();
    wakeUp();
  }

  function revoke(): void {
    outbox.close();
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
  const asSent = (given: Properties): Properties => attempt(() => JSON.parse(JSON.stringify(given))) ?? {};

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
    if (!degraded) countedMs = edge.serverMs(askedMs) - KNOWN_EVERYWHERE_MS;
    stage.give(messages, !degraded);
  }

  function draw(message: Message, act: Act): View | null {
    const answers = tell(onDisplay, message);
    const removers = answers.filter((answer): answer is () => void => typeof answer === "function");
    if (!render || options.headless || removers.length || answers.includes(false)) {
      return { remove: () => removers.forEach(attempt) };
    }
    const end = (type: DisplayAction["type"], url: string | null) =>
      !act(type) || !tell(onAction, { type, message, url }).includes(false);
    const handlers = {
      shown: () => act("impression"),
      clicked: () => end("click", message.cta?.url ?? null),
      dismissed: () => end("dismissal", null),
    };
    return attempt(() => render(message, handlers)) ?? null;
  }

  /** What they return. */
  const tell = <T>(callbacks: Set<Callback<T>>, value: T) =>
    [...callbacks].map((callback) => attempt(() => callback(value)));

  /** What is not ours to get right must not stop us. */
  function attempt<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      warn("Failed:", error);
      return undefined;
    }
  }

  function explain(): Explanation[];
  function explain(id: string): Explanation;
  function explain(id?: string): Explanation | Explanation[] {
    const all = feed.listed().map((each) => explanation(each.id, "body" in each ? stage.reason(each) : each.reason));
    return id ? (all.find((each) => each.id === id) ?? explanation(id, "not_listed")) : all;
  }

  if (options.consent ?? true) grant();

  return {
    identify(userId, values = {}, given) {
      const identityToken = given?.identityToken;
      whenGranted(() => {
        if ((person?.userId ?? userId) !== userId) reset();
        become({ anonymousId: person!.anonymousId, userId, identityToken });
        traits = { ...traits, ...asSent(values) };
        send(IDENTIFIED, asSent(values));
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
      onDisplay: (callback) => subscribe(onDisplay, callback),
      onAction: (callback) => subscribe(onAction, callback),
      show: stage.show,
      dismiss: dismissal,
      explain,
    },
  };
}

const explanation = (id: string, reason: Explanation["reason"]): Explanation => ({ id, shown: !reason, reason });

function subscribe<T>(callbacks: Set<T>, callback: T): Unsubscribe {
  callbacks.add(callback);
  return () => void callbacks.delete(callback);
}

function check({ apiKey, apiUrl }: Options): void {
  if (!/^pk_/.test(apiKey)) {
    throw new SendoraError("invalid_api_key", "apiKey must be public, pk_…");
  }
  if (!/^https:|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:|\/|$)/.test(apiUrl)) {
    throw new SendoraError("insecure_api_url", "apiUrl must be https.");
  }
}
