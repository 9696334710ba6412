// Which of the fetched messages are on the page now: triggers, delays, and one message per slot.

import { eventMatches, needsEvent, placeMatches } from "./triggers.js";

export class Display {
  #messages = [];
  #dueMs = new Map(); // fired messages: id -> when they may show
  #showing = new Map(); // slot -> {message, view, counted}
  #closed = new Set(); // id@version of messages without an event, closed on this page
  #timer = 0;
  #placeNow;
  #render;
  #record;
  #changed;

  // placeNow() -> {url, screen}; render(message, handlers) -> {remove()}; record(action, message); changed()
  constructor({ placeNow, render, record, changed }) {
    this.#placeNow = placeNow;
    this.#render = render;
    this.#record = record;
    this.#changed = changed;
  }

  setMessages(messages) {
    this.#messages = messages;
    for (const shown of [...this.#showing.values()]) this.#reconcile(shown);
    this.fire(null);
  }

  // event: {eventType, properties}, or null when only the place or the list changed
  fire(event) {
    const place = this.#placeNow();
    for (const message of this.#messages) {
      const { id, trigger } = message;
      if (this.#dueMs.has(id) || this.#closed.has(versionOf(message))) continue;
      if (!placeMatches(trigger, place) || !eventMatches(trigger, event)) continue;
      this.#dueMs.set(id, Date.now() + (trigger?.delaySeconds ?? 0) * 1000);
    }
    this.#settle();
  }

  // Another person looks at the page now: nothing of the last one stays.
  reset() {
    for (const shown of [...this.#showing.values()]) this.#hide(shown);
    this.#messages = [];
    this.#dueMs.clear();
    this.#closed.clear();
    this.#settle();
  }

  replayClosed() {
    this.#closed.clear();
    this.fire(null);
  }

  // "showing" | "delayed" | "queued" | "closed" | "waiting"
  stateOf(message) {
    if (this.#showing.get(message.slot)?.message.id === message.id) return "showing";
    if (this.#dueMs.has(message.id)) return this.#dueMs.get(message.id) > Date.now() ? "delayed" : "queued";
    return this.#closed.has(versionOf(message)) ? "closed" : "waiting";
  }

  // Brings the page in line: what no longer fits goes, then each free slot takes its best message.
  #settle() {
    const place = this.#placeNow();
    for (const shown of [...this.#showing.values()]) {
      if (!placeMatches(shown.message.trigger, place)) this.#hide(shown);
    }
    const fired = this.#messages.filter(({ id }) => this.#dueMs.has(id));
    const fitting = fired.filter(({ trigger }) => placeMatches(trigger, place));
    this.#keepFired([...fitting, ...[...this.#showing.values()].map(({ message }) => message)]);

    const now = Date.now();
    const due = fitting.filter(({ id }) => this.#dueMs.get(id) <= now);
    for (const message of due.sort((a, b) => b.priority - a.priority)) {
      if (!this.#showing.has(message.slot)) this.#show(message);
    }
    this.#wakeAtNextDue(now);
    this.#changed();
  }

  #keepFired(messages) {
    const ids = new Set(messages.map(({ id }) => id));
    for (const id of this.#dueMs.keys()) if (!ids.has(id)) this.#dueMs.delete(id);
  }

  #wakeAtNextDue(now) {
    clearTimeout(this.#timer);
    const next = Math.min(...[...this.#dueMs.values()].filter((dueMs) => dueMs > now));
    if (Number.isFinite(next)) this.#timer = setTimeout(() => this.#settle(), next - now);
  }

  #show(message, counted = false) {
    const shown = { message, counted, view: null };
    this.#showing.set(message.slot, shown);
    shown.view = this.#render(message, {
      visible: () => {
        if (!shown.counted) this.#record("impressions", message);
        shown.counted = true;
      },
      clicked: () => this.#close(shown, "clicks"),
      dismissed: () => this.#close(shown, "dismissals"),
    });
  }

  #close(shown, action) {
    this.#record(action, shown.message);
    if (!needsEvent(shown.message.trigger)) this.#closed.add(versionOf(shown.message));
    this.#hide(shown);
    this.#settle();
  }

  #hide({ message, view }) {
    view.remove();
    this.#showing.delete(message.slot);
    this.#dueMs.delete(message.id);
  }

  // A shown message that the edge stopped listing was paused or has ended, unless its own impression used up its cap.
  #reconcile(shown) {
    const { message, counted } = shown;
    const latest = this.#messages.find(({ id }) => id === message.id);
    const hasEnded = message.endsAt && Date.parse(message.endsAt) <= Date.now();
    if (!latest && (hasEnded || !(counted && message.frequencyCap))) this.#hide(shown);
    if (latest && versionOf(latest) !== versionOf(message)) this.#replace(shown, latest);
  }

  #replace(shown, latest) {
    const dueMs = this.#dueMs.get(latest.id);
    this.#hide(shown);
    if (this.#showing.has(latest.slot)) return;
    this.#dueMs.set(latest.id, dueMs);
    this.#show(latest, shown.counted);
  }
}

const versionOf = ({ id, version }) => `${id}@${version}`;
