/** Which messages are on the screen: triggers, delays, one message a slot. */

import type { Seen } from "./caps.ts";
import {
  fits,
  hasEnded,
  misplaced,
  type Occasion,
  type Verdict,
  verdict,
  type Whereabouts,
  winners,
} from "./decide.ts";
import type { Message } from "./message.ts";
import type { Platform } from "./platform.ts";
import type { View } from "./render.ts";
import type { Action } from "./seen.ts";
import { timer } from "./timing.ts";

/** What the stage asks and tells. */
export interface Backstage {
  nowMs(): number;
  whereabouts(): Whereabouts;
  /** Whether anything new may show now. */
  isLit(): boolean;
  seen(messageId: string): Seen;
  /** Who draws it says by `act` what is done with it. null: it failed. */
  draw(message: Message, act: Act): View | null;
  record(action: Action, messageId: string): void;
}

/** Somebody did something with a message on the screen. False: it is not there any more. */
export type Act = (action: Action) => boolean;

/** Why a message is not in sight now: besides the edge's codes those of a device. */
export type Reason = Verdict | "on_hold" | "closed" | "delayed" | "outranked" | "not_in_sight";

export interface Stage {
  /**
   * The messages that the present person may get, in their order of rank. `isWhole` false: some may be missing.
   * `countedMs`: impressions up to then are counted in.
   */
  give(messages: Message[], isWhole: boolean, countedMs: number): void;
  /** Something happened; null: somebody came to another place. */
  fire(event: Occasion | null): void;
  /** Shows a message whatever its trigger says. False: its slot is taken, or its cap or window forbids it. */
  show(id: string): boolean;
  /** Brings the screen in line: what has ended goes, then each free slot takes its best message. */
  settle(): void;
  /** Somebody did something with a message on the screen. False: it is not there. */
  act(id: string, action: Action): boolean;
  /** Nothing stays on the screen, and nothing that fired is remembered. */
  clear(): void;
  /** What is on the screen. */
  messages(): Message[];
  /** null: it is in sight. */
  reason(message: Message): Reason | null;
}

/** A message on the screen. */
interface Shown {
  message: Message;
  view: View | null;
  /** When it came in sight; Infinity: not yet. */
  seenMs: number;
  /** It was given again with its impression counted in, so that one did not use up its cap. */
  isCounted: boolean;
}

const MOST_EARLY = 20;
const NOT_BEFORE = { seenMs: Infinity, isCounted: false };

export function createStage(platform: Platform, { nowMs, whereabouts, isLit, seen, draw, record }: Backstage): Stage {
  const wake = timer(platform, settle);
  /** null: nobody knows yet. */
  let given: Message[] | null = null;
  /** What happened before it was known who waits for it. */
  let early: Occasion[] = [];
  /** Of messages whose trigger has fired, by id, when their delay ends; Infinity: they were closed. */
  const fired = new Map<string, number>();
  /** By slot. */
  const shown = new Map<string, Shown>();

  const onScreen = () => [...shown.values()];
  const isShown = (each: Shown) => shown.get(each.message.slot) === each;
  const find = (id: string) => onScreen().find(({ message }) => message.id === id);

  function give(messages: Message[], isWhole: boolean, countedMs: number): void {
    given = messages;
    const ids = given.map(({ id }) => id);
    for (const id of fired.keys()) if (isWhole && !ids.includes(id)) fired.delete(id);
    for (const each of onScreen()) reconcile(each, isWhole, countedMs);
    fire(null);
    for (const event of early.splice(0)) fire(event);
  }

  function fire(event: Occasion | null): void {
    if (!given && event) early = [...early, event].slice(-MOST_EARLY);
    for (const each of onScreen()) if (misplaced(each.message, whereabouts())) hide(each);
    for (const message of given ?? []) {
      const { id } = message;
      if (misplaced(message, whereabouts())) fired.delete(id);
      else if (fits(message, event) && !fired.has(id) && !find(id)) {
        fired.set(id, nowMs() + (message.trigger?.delaySeconds ?? 0) * 1000);
      }
    }
    settle();
  }

  function settle(): void {
    for (const each of onScreen()) if (hasEnded(each.message, nowMs())) hide(each);
    // One after the other: the app is told of each, and may do anything.
    while (isLit()) {
      const [message] = winners((given ?? []).filter(isStillDue), shown.keys());
      if (!message) break;
      display(message);
    }
    const moments = [...fired.values(), ...onScreen().map(({ message }) => Date.parse(message.endsAt ?? ""))];
    const nextMs = Math.min(...moments.filter((ms) => ms > nowMs()));
    if (nextMs < Infinity) wake.set(nextMs - nowMs());
  }

  /** Looks at everything again once the delay has ended. An event that comes to nothing then is over. */
  function isStillDue(message: Message): boolean {
    if (!(fired.get(message.id)! <= nowMs())) return false;
    const isFit = !unfit(message, true);
    if (!isFit && message.trigger?.eventType) fired.delete(message.id);
    return isFit;
  }

  function unfit(message: Message, hasFired: boolean): Verdict | null {
    return verdict(message, whereabouts(), hasFired ? "any" : null, seen(message.id), nowMs());
  }

  function display(message: Message, { seenMs, isCounted } = NOT_BEFORE): void {
    const each: Shown = { message, view: null, seenMs, isCounted };
    fired.delete(message.id);
    shown.set(message.slot, each);
    each.view = draw(message, (action) => perform(each, action));
    // It could not be drawn, or the app has closed it already.
    if (!each.view || !isShown(each)) hide(each);
  }

  function perform(each: Shown, action: Action): boolean {
    if (!isShown(each)) return false;
    const { message, seenMs } = each;
    if (action !== "impression" || seenMs === Infinity) record(action, message.id);
    each.seenMs = Math.min(seenMs, nowMs());
    if (action !== "impression") {
      hide(each);
      if (!message.trigger?.eventType) fired.set(message.id, Infinity);
      settle();
    }
    return true;
  }

  function hide(each: Shown): void {
    if (isShown(each)) shown.delete(each.message.slot);
    each.view?.remove();
  }

  /** What is shown and not given again was paused or has ended, unless its own impression may have used up its cap. */
  function reconcile(each: Shown, isWhole: boolean, countedMs: number): void {
    const { message, seenMs, isCounted } = each;
    const latest = given?.find(({ id }) => id === message.id);
    if (!latest) {
      if (isWhole && !(message.frequencyCap && seenMs < Infinity && !isCounted)) hide(each);
      return;
    }
    each.isCounted ||= seenMs <= countedMs;
    if (latest.version === message.version) return;
    hide(each);
    if (!shown.has(latest.slot)) display(latest, each);
  }

  return {
    give,
    fire,
    settle,
    show(id) {
      const message = given?.find((each) => each.id === id);
      if (message && !shown.has(message.slot)) {
        const anywhere = { ...message, trigger: { ...message.trigger, url: null, screen: null } };
        if (!unfit(anywhere, true)) display(anywhere);
      }
      return !!find(id);
    },
    act(id, action) {
      const each = find(id);
      return !!each && perform(each, action);
    },
    clear() {
      onScreen().forEach(hide);
      given = null;
      early = [];
      fired.clear();
      wake.clear();
    },
    messages: () => onScreen().map(({ message }) => message),
    reason(message) {
      const each = find(message.id);
      if (each) return each.seenMs < Infinity ? null : "not_in_sight";
      const dueMs = fired.get(message.id);
      const why = unfit(message, dueMs !== undefined);
      if (why) return why;
      if (dueMs! > nowMs()) return dueMs! < Infinity ? "delayed" : "closed";
      return shown.has(message.slot) ? "outranked" : "on_hold";
    },
  };
}
