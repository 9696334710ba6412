// The demo console: what the edge said, and what was sent to it.

import { element } from "./dom.js";
import { describeTrigger, needsEvent } from "./triggers.js";

const LOG_LENGTH = 40;
const ACTIONS = { impressions: "impression", clicks: "click", dismissals: "dismissal" };
const byId = (id) => document.getElementById(id);
const timeOf = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// answer: the last fetch's {messages, revision, validUntil, degraded, askedAt}; stateOf(message) as Display tells it
export function showAnswer({ messages, revision, validUntil, degraded, askedAt }, stateOf) {
  byId("edge-revision").textContent = revision ?? "–";
  byId("edge-valid-until").textContent = validUntil ? formatUntil(new Date(validUntil)) : "no change planned";
  byId("edge-degraded").textContent = degraded ? "yes, some messages withheld" : "no";
  byId("edge-asked-at").textContent = timeOf(askedAt);
  byId("message-list").replaceChildren(...messages.map((message) => messageRow(message, stateOf(message))));
}

export function showError(text) {
  const error = byId("edge-error");
  error.hidden = !text;
  if (error.textContent !== text) error.textContent = text;
}

function formatUntil(date) {
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? timeOf(date) : date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

function messageRow(message, state) {
  const { id, type, slot, priority, content, trigger } = message;
  return element(
    "li",
    { dataset: { testid: "message-row", messageId: id, state } },
    element("strong", { dir: "auto", textContent: content.title || content.body }),
    element("span", { className: "state", textContent: describeState(state, trigger) }),
    element("span", { className: "facts", textContent: `${type} in ${slot}, priority ${priority}` }),
    element("span", { className: "facts", textContent: describeTrigger(trigger) }),
  );
}

function describeState(state, trigger) {
  if (state === "waiting") return needsEvent(trigger) ? "waits for event" : "other page";
  return { showing: "on the page", delayed: "soon", queued: "slot taken", closed: "closed" }[state];
}

// Adds a line for something on its way to the edge; returns a function that says how it went.
export function logSending(action, subjectText, messageId = "") {
  const kind = ACTIONS[action] ?? "event";
  const outcome = element("span", { className: "outcome", textContent: "sending" });
  const row = element(
    "li",
    { dataset: { testid: "activity-entry", kind, messageId, status: "pending" } },
    element("time", { textContent: timeOf(new Date()) }),
    element("span", { className: "what" }, element("b", { textContent: kind }), ` ${subjectText}`),
    outcome,
  );
  const log = byId("activity-log");
  log.prepend(row);
  while (log.children.length > LOG_LENGTH) log.lastElementChild.remove();
  return (status, text) => {
    row.dataset.status = status;
    outcome.textContent = text;
  };
}

export function showTraits(traits) {
  const texts = Object.entries(traits).map(([name, value]) => `${name}: ${formatTrait(value)}`);
  byId("customer-traits").replaceChildren(...texts.map((textContent) => element("li", { textContent })));
}

const formatTrait = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
