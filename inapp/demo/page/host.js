// The host page: who looks at it, what they do, and how the SDK is told. The console beside it shows what follows.

import { byId, element } from "./dom.js";
import { log, showAnswer, showDelivery, showError, showMessages, showVisitor } from "./panel.js";
import { startPlaces } from "./places.js";

const ASK_MS = 5_000;
const LOOK_MS = 500;
const COPIED_MS = 3_000;
const ANONYMOUS = "";

const config = await (await fetch("/config.json")).json();
const sendora = SendoraCloud.init({ apiKey: config.publicKey, apiUrl: config.edgeUrl });

let messages = new Map(); // by id, as the edge last gave them
let listed = ""; // their ids

async function ask() {
  try {
    const answer = await sendora.inApp.fetch();
    messages = new Map(answer.messages.map((message) => [message.id, message]));
    listed = idsOf(sendora.messages.explain());
    showAnswer(answer);
    showError("");
  } catch (error) {
    showError(`${error.message} (${error.code})`);
  }
  look();
}

function look() {
  const explanations = sendora.messages.explain();
  showMessages(explanations, messages, sendora.messages.show);
  showDelivery(sendora.delivery());
  // The SDK asks the edge by itself too.
  if (idsOf(explanations) === listed) return;
  listed = idsOf(explanations);
  ask();
}

const idsOf = (explanations) => explanations.map(({ id }) => id).join();

function become(userId) {
  const user = config.users.find((candidate) => candidate.userId === userId);
  if (user) {
    sendora.identify(user.userId, user.traits);
    log("identify", user.userId, "waiting");
  }
  localStorage.setItem("customer", user?.userId ?? ANONYMOUS);
  byId("customer-select").value = user?.userId ?? ANONYMOUS;
  byId("greeting-name").textContent = user?.label ?? "visitor";
  for (const plan of document.querySelectorAll("[data-plan]")) {
    plan.classList.toggle("current", plan.dataset.plan === user?.traits.plan);
  }
  showVisitor(user);
}

function becomeNewVisitor() {
  sendora.reset();
  log("reset", "a new visitor");
  become(ANONYMOUS);
}

function track(type, properties) {
  sendora.track(type, properties);
  log("track", `${type} ${JSON.stringify(properties)}`, "waiting");
}

function arrive(screen) {
  sendora.screen(screen);
  log("screen", screen, "waiting");
}

function submitEvent(event) {
  event.preventDefault();
  const properties = byId("event-properties");
  try {
    track(byId("event-type").value, JSON.parse(properties.value || "{}"));
  } catch (error) {
    properties.setCustomValidity(error.message);
    properties.reportValidity();
  }
}

// The keyboard meets console and product in the order in which the style sheet shows them.
function orderByWidth() {
  const wide = matchMedia("(width >= 1000px)");
  const place = () => byId("product")[wide.matches ? "before" : "after"](byId("console"));
  wide.addEventListener("change", place);
  place();
}

function showConfig() {
  const options = config.users.map(({ userId, label }) => element("option", { value: userId, textContent: label }));
  byId("customer-select").append(...options, element("option", { value: ANONYMOUS, textContent: "Anonymous visitor" }));
  const stats = `${config.adminUrl}/api/v1/orgs/${config.orgId}/in-app-messages/stats`;
  byId("stats-curl").textContent = `curl ${stats} \\\n  -H "X-API-Key: $SECRET"`;
  byId("admin-docs").href = `${config.adminUrl}/docs`;
}

async function copyStats() {
  const status = byId("copy-status");
  const copying = navigator.clipboard.writeText(byId("stats-curl").textContent);
  status.textContent = await copying.then(
    () => "Copied",
    () => "The browser forbids it",
  );
  setTimeout(() => status.replaceChildren(), COPIED_MS);
}

function listen() {
  const on = (id, type, handle) => byId(id).addEventListener(type, handle);
  for (const button of document.querySelectorAll("[data-event]")) {
    const { event, properties } = button.dataset;
    button.addEventListener("click", () => track(event, JSON.parse(properties)));
  }
  on("export-button", "click", () => {
    track("report.exported", { pages: byId("export-pages").valueAsNumber || 1, format: "pdf" });
  });
  on("event-form", "submit", submitEvent);
  on("event-properties", "input", ({ target }) => target.setCustomValidity(""));
  on("customer-select", "change", ({ target: { value } }) => (value ? become(value) : becomeNewVisitor()));
  on("new-visitor", "click", becomeNewVisitor);
  on("theme-select", "change", ({ target }) => {
    document.documentElement.style.colorScheme = target.value;
  });
  on("refresh-button", "click", ask);
  on("pause-toggle", "change", ({ target }) => (target.checked ? sendora.messages.pause() : sendora.messages.resume()));
  on("copy-stats", "click", copyStats);
}

function listenToMessages(follow) {
  sendora.messages.onDisplay(({ id, version, title, body }) => {
    log("onDisplay", title || body);
    // It was edited, and came when the SDK asked by itself.
    if (messages.get(id)?.version !== version) ask();
  });
  sendora.messages.onAction(({ type, message: { title, body }, url }) => {
    log("onAction", `${type} ${title || body}`, "waiting");
    return !(type === "click" && url && follow(url));
  });
}

orderByWidth();
showConfig();
listen();
become(localStorage.getItem("customer") ?? config.users[0]?.userId);
listenToMessages(startPlaces(arrive));
sendora.messages.start();
await ask();
setInterval(look, LOOK_MS);
setInterval(() => {
  if (byId("poll-toggle").checked && !document.hidden) ask();
}, ASK_MS);
document.documentElement.dataset.ready = "true";
