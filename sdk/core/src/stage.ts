/** Which messages are on the screen: triggers, delays, one message a slot. */

import type { Seen } from "./caps.ts";
import { fits, misplaced, type Occasion, type Place, type Verdict, verdict, winners } from "./decide.ts";
import type { Message } from "./message.ts";
import type { Platform } from "./platform.ts";
import type { Prepared } from "./prepare.ts";
import type { View } from "./render.ts";
import type { Action } from "./seen.ts";
import { timer } from "./timing.ts";

/** What the stage asks and tells. */
export interface Backstage {
  nowMs(): number;
  place(): Place;
  /** Whether anything new may show now. */
  isLit(): boolean;
  seen(messageId: string): Seen;
  /** null: the app draws it itself, and says what happens by `Stage.act`. */
  draw(message: Message): View | null;
  record(action: Action, messageId: string): void;
}

/** Why a message is not in sight now: besides the edge's codes those of a device. */
export type Reason = Verdict | "on_hold" | "closed" | "delayed" | "outranked" | "not_in_sight";

export interface Stage {
  /** The messages that the present person may get, in their order of rank. `isWhole` false: some may be missing. */
  give(messages: Prepared[], isWhole: boolean): void;
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
  /** null: it is in sight. */
  reason(message: Prepared): Reason | null;
}

interface Shown {
  prepared: Prepared;
  view: View | null;
  wasSeen: boolean;
}

const MOST_EARLY = 20;

export function createStage(platform: Platform, { nowMs, place, isLit, seen, draw, record }: Backstage): Stage {
  const wake = timer(platform, settle);
  /** null: nobody knows yet. */
  let given: Prepared[] | null = null;
  /** What happened before it was known who waits for it. */
  let early: Occasion[] = [];
  /** Messages whose trigger has fired, and when their delay ends. By version, as those that were closed. */
  const dueMs = new Map<string, number>();
  /** Messages without an event that were closed, until their trigger holds anew. */
  const closed = new Set<string>();
  /** By slot. */
  const shown = new Map<string, Shown>();

  const find = (id: string) => [...shown.values()].find(({ prepared }) => prepared.message.id === id);

  function give(messages: Prepared[], isWhole: boolean): void {
    given = messages;
    const versions = new Set(given.map(versionOf));
    for (const known of [closed, dueMs]) {
      for (const version of known.keys()) if (!versions.has(version)) known.delete(version);
    }
    for (const each of [...shown.values()]) reconcile(each, isWhole);
    fire(null);
    for (const event of early.splice(0)) fire(event);
  }

  function fire(event: Occasion | null): void {
    if (!given && event) early = [...early, event].slice(-MOST_EARLY);
    for (const each of [...shown.values()]) if (misplaced(each.prepared, place())) hide(each);
    for (const prepared of given ?? []) {
      const version = versionOf(prepared);
      if (misplaced(prepared, place())) {
        dueMs.delete(version);
        closed.delete(version);
      } else if (fits(prepared, event) && !dueMs.has(version) && !closed.has(version) && !find(prepared.message.id)) {
        dueMs.set(version, nowMs() + prepared.delayMs);
      }
    }
    settle();
  }

  function settle(): void {
    for (const each of [...shown.values()]) if ((each.prepared.endsMs ?? Infinity) <= nowMs()) hide(each);
    if (isLit()) for (const prepared of winners((given ?? []).filter(isDue), shown.keys())) display(prepared);
    const moments = [...dueMs.values(), ...[...shown.values()].map(({ prepared }) => prepared.endsMs ?? 0)];
    const nextMs = Math.min(...moments.filter((ms) => ms > nowMs()));
    if (nextMs < Infinity) wake.set(nextMs - nowMs());
    else wake.clear();
  }

  /** Looks at everything again once the delay has ended. */
  function isDue(prepared: Prepared): boolean {
    const version = versionOf(prepared);
    if (!((dueMs.get(version) ?? Infinity) <= nowMs())) return false;
    const isFit = !unfit(prepared, true);
    if (!isFit) dueMs.delete(version);
    return isFit;
  }

  function unfit(prepared: Prepared, hasFired: boolean): Verdict | null {
    return verdict(prepared, place(), hasFired ? "any" : null, seen(prepared.message.id), nowMs());
  }

  function display(prepared: Prepared, wasSeen = false): void {
    const each: Shown = { prepared, view: null, wasSeen };
    dueMs.delete(versionOf(prepared));
    shown.set(prepared.message.slot, each);
    each.view = draw(prepared.message);
  }

  function hide({ prepared, view }: Shown): void {
    shown.delete(prepared.message.slot);
    view?.remove();
  }

  /** What is shown and not given again was paused or has ended, unless its own impression has used up its cap. */
  function reconcile(each: Shown, isWhole: boolean): void {
    const { prepared, wasSeen } = each;
    const latest = given?.find(({ message }) => message.id === prepared.message.id);
    if (!latest) {
      if (isWhole && !(wasSeen && prepared.cap)) hide(each);
    } else if (versionOf(latest) !== versionOf(prepared)) {
      hide(each);
      if (!shown.has(latest.message.slot)) display(latest, wasSeen);
    }
  }

  return {
    give,
    fire,
    settle,
    show(id) {
      const prepared = given?.find(({ message }) => message.id === id);
      if (prepared && !find(id) && !shown.has(prepared.message.slot)) {
        const anywhere = { ...prepared, url: null, screen: null };
        if (!unfit(anywhere, true)) display(anywhere);
      }
      return !!find(id);
    },
    act(id, action) {
      const each = find(id);
      if (!each) return false;
      if (action !== "impression" || !each.wasSeen) record(action, id);
      each.wasSeen = true;
      if (action !== "impression") {
        if (!each.prepared.eventType) closed.add(versionOf(each.prepared));
        hide(each);
        settle();
      }
      return true;
    },
    clear() {
      [...shown.values()].forEach(hide);
      given = null;
      early = [];
      dueMs.clear();
      closed.clear();
      wake.clear();
    },
    reason(prepared) {
      const each = find(prepared.message.id);
      if (each) return each.wasSeen ? null : "not_in_sight";
      const version = versionOf(prepared);
      const due = dueMs.get(version);
      const why = unfit(prepared, due !== undefined);
      if (why) return why;
      if (closed.has(version)) return "closed";
      if (due && due > nowMs()) return "delayed";
      return shown.has(prepared.message.slot) ? "outranked" : "on_hold";
    },
  };
}

const versionOf = ({ message }: Prepared) => `${message.id}@${message.version}`;
