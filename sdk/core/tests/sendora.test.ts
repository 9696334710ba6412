import assert from "node:assert/strict";
import { test } from "node:test";
import { App, message } from "./app.ts";
import { Device } from "./device.ts";

const PRICING = { url: { op: "ends_with", value: "/pricing" } };
const EXPORTED = { eventType: "report.exported", where: [{ property: "pages", op: "gte", value: 3 }] };
const begin = (messages: ReturnType<typeof message>[]) => new App().start(messages);

test("secret keys, and edges that are not reached over https, are refused", () => {
  assert.throws(() => new App({ apiKey: "sk_prod_x" }), { code: "invalid_api_key" });
  assert.throws(() => new App({ apiUrl: "http://edge.example.com" }), { code: "insecure_api_url" });
  assert.throws(() => new App({ apiUrl: "http://localhost.example.com" }), { code: "insecure_api_url" });
  for (const apiUrl of ["http://localhost:8701", "http://127.0.0.1:1/", "http://[::1]"]) new App({ apiUrl });
});

test("a message shows after one request, and its impression counts once", async () => {
  const app = await begin([message("a")]);
  assert.deepEqual(app.shown, ["a"]);
  assert.equal(app.device.edge.requests.length, 1);
  app.screen.get("a")!.seen();
  await app.sendora.messages.recordImpression("a");
  await app.device.pass(5_000);
  assert.deepEqual(app.device.edge.types(), ["in_app.impression"]);
});

test("an event shows what waits for it, with no further request", async () => {
  const app = await begin([message("a", { trigger: EXPORTED })]);
  app.sendora.track("report.exported", { pages: 2 });
  app.sendora.track("report.shared", { pages: 4 });
  assert.deepEqual(app.shown, []);
  app.sendora.track("report.exported", { pages: 4 });
  assert.deepEqual(app.shown, ["a"]);
  assert.equal(app.device.edge.fetches.length, 1);
});

test("an event that comes before the messages do is not lost to them", async () => {
  const app = new App();
  app.sendora.track("report.exported", { pages: 4 });
  await app.start([message("a", { trigger: EXPORTED })]);
  assert.deepEqual(app.shown, ["a"]);
});

test("a delay that ends on another page shows nothing, and begins anew on the way back", async () => {
  const app = await begin([message("a", { trigger: { ...PRICING, delaySeconds: 10 } })]);
  app.instance.go("https://app.example.com/pricing");
  await app.device.pass(9_000);
  app.instance.go("https://app.example.com/");
  await app.device.pass(60_000);
  assert.deepEqual(app.shown, []);
  app.instance.go("https://app.example.com/pricing");
  await app.device.pass(9_000);
  assert.deepEqual(app.shown, []);
  app.instance.go("https://app.example.com/");
  app.instance.go("https://app.example.com/pricing");
  await app.device.pass(9_000);
  assert.deepEqual(app.shown, []);
  await app.device.pass(1_000);
  assert.deepEqual(app.shown, ["a"]);
});

test("a message leaves with the page that it belongs to, and comes back with it", async () => {
  const app = await begin([message("a", { trigger: PRICING })]);
  app.instance.go("https://app.example.com/pricing");
  assert.deepEqual(app.shown, ["a"]);
  app.instance.go("https://app.example.com/");
  assert.deepEqual(app.shown, []);
  app.instance.go("https://app.example.com/pricing");
  assert.deepEqual(app.shown, ["a"]);
});

test("a screen shows what waits for it, and is an event", async () => {
  const app = await begin([message("a", { trigger: { screen: { op: "glob", value: "Check*" } } })]);
  app.sendora.screen("Checkout");
  assert.deepEqual(app.shown, ["a"]);
  await app.device.pass(2_000);
  assert.ok(app.device.edge.types().includes("screen.viewed"));
});

test("a slot shows one message, that of the highest rank first, and the others wait", async () => {
  const app = await begin([message("a", { slot: "s" }), message("b", { slot: "s" }), message("c", { slot: "t" })]);
  assert.deepEqual(app.shown, ["a", "c"]);
  assert.equal(app.sendora.messages.explain("b").reason, "outranked");
  app.screen.get("a")!.dismissed();
  assert.deepEqual(app.shown, ["c", "b"]);
  assert.equal(app.sendora.messages.explain("a").reason, "closed");
});

test("a cap counts at once, after a reload, and in the next tab", async () => {
  const capped = message("a", { trigger: { eventType: "e" }, frequencyCap: { maxImpressions: 2 } });
  const app = await begin([capped]);
  app.device.edge.weather = "offline";
  for (const _ of [1, 2, 3]) {
    app.sendora.track("e");
    await app.device.pass(10);
    app.screen.get("a")?.dismissed();
  }
  assert.equal(app.bodies.length, 2);
  app.instance.kill();
  app.device.edge.weather = "fine";
  const next = await new App({}, app.device).start([capped]);
  next.sendora.track("e");
  assert.deepEqual(next.shown, []);
});

test("a cap within a time counts each impression in it", async () => {
  const app = await begin([
    message("a", { trigger: { eventType: "e" }, frequencyCap: { maxImpressions: 2, perSeconds: 3600 } }),
  ]);
  for (const _ of [1, 2, 3]) {
    app.sendora.track("e");
    await app.device.pass(100);
    app.screen.get("a")?.dismissed();
  }
  assert.equal(app.bodies.length, 2);
});

test("where the device remembers otherwise, what the edge says holds once it knows all that was done here", async () => {
  const once = message("a", { trigger: { eventType: "e" }, frequencyCap: { maxImpressions: 1 } });
  const app = await begin([once]);
  app.sendora.track("e");
  await app.device.pass(10);
  app.screen.get("a")!.dismissed();
  await app.device.pass(10_000);
  app.sendora.track("e");
  assert.deepEqual(app.shown, []);
  await app.device.pass(60_000);
  app.sendora.track("f");
  await app.device.pass(10_000);
  app.sendora.track("e");
  assert.deepEqual(app.shown, ["a"]);
});

test("traits travel with every fetch until the edge has acknowledged them", async () => {
  const app = await begin([]);
  app.sendora.identify("ada", { plan: "free" }, { identityToken: "token" });
  await app.device.pass(500);
  const { traits, userId, identityToken, anonymousId } = app.device.edge.fetches.at(-1)!.body;
  assert.deepEqual([traits, userId, identityToken], [{ plan: "free" }, "ada", "token"]);
  assert.ok(anonymousId);
  await app.device.pass(10_000);
  assert.equal(app.device.edge.fetches.at(-1)!.body.traits, undefined);
  assert.deepEqual(app.device.edge.types(), ["user.identified"]);
});

test("traits travel on while any of them waits", async () => {
  const app = await begin([]);
  app.device.edge.rejects = () => {
    app.device.edge.weather = "busy";
    return null;
  };
  app.sendora.identify("ada", { plan: "free" });
  app.sendora.identify("ada", { seats: 3 });
  await app.device.pass(10_000);
  assert.equal(app.device.edge.ledger.size, 1);
  assert.deepEqual(app.device.edge.fetches.at(-1)!.body.traits, { plan: "free", seats: 3 });
});

test("nothing of one user is shown to another, and no late answer about the one reaches the other", async () => {
  const app = new App();
  app.sendora.identify("ada");
  await app.start([message("for-ada")]);
  const visitor = app.device.edge.fetches.at(-1)!.body.anonymousId;
  const late = app.sendora.messages.fetchActive();
  await app.device.pass(30);
  app.give([message("for-bob")]);
  app.sendora.identify("bob");
  assert.deepEqual(app.shown, []);
  await app.device.pass(5_000);
  assert.deepEqual(
    (await late).map(({ id }) => id),
    ["for-bob"],
  );
  assert.deepEqual([app.shown, app.bodies], [["for-bob"], ["for-ada", "for-bob"]]);
  assert.notEqual(app.device.edge.fetches.at(-1)!.body.anonymousId, visitor);
});

test("another user than before is one fetch, in that user's name, with the traits as they were handed over", async () => {
  const app = await begin([]);
  app.sendora.identify("ada");
  await app.device.pass(10_000);
  const before = app.device.edge.fetches.length;
  const traits = { plan: "free" };
  app.sendora.identify("bob", traits);
  traits.plan = "pro";
  await app.device.pass(500);
  const [fetched, ...more] = app.device.edge.fetches.slice(before);
  assert.deepEqual([fetched!.body.userId, fetched!.body.traits, more.length], ["bob", { plan: "free" }, 0]);
  assert.equal(fetched!.body.etag, undefined);
});

test("a reset begins a new visitor, and still sends what was done before", async () => {
  const app = new App();
  app.sendora.identify("ada");
  app.sendora.track("e");
  app.sendora.reset();
  app.sendora.track("f");
  await app.device.pass(5_000);
  const sent = [...app.device.edge.ledger.values()];
  assert.deepEqual(
    sent.map(({ eventType, userId }) => [eventType, userId]),
    [
      ["user.identified", "ada"],
      ["e", "ada"],
      ["f", undefined],
    ],
  );
  assert.notEqual(sent[1]!.anonymousId, sent[2]!.anonymousId);
});

test("who uses the app is known after a reload", async () => {
  const app = new App();
  app.sendora.identify("ada", {}, { identityToken: "token" });
  app.instance.kill();
  const next = await new App({}, app.device).start([]);
  const { userId, identityToken } = next.device.edge.fetches.at(-1)!.body;
  assert.deepEqual([userId, identityToken], ["ada", "token"]);
});

test("without consent nothing is stored, sent or shown; once it is given, what was asked happens", async () => {
  const app = new App({ consent: false });
  app.sendora.identify("ada");
  app.sendora.track("e");
  await app.start([message("a")]);
  await assert.rejects(app.sendora.inApp.fetch(), { code: "consent_missing" });
  await app.device.pass(60_000);
  assert.equal(app.device.stored.size + app.device.edge.requests.length + app.shown.length, 0);
  app.sendora.consent.grant();
  await app.device.pass(5_000);
  assert.deepEqual(app.device.edge.types(), ["user.identified", "e", "in_app.impression"]);
  assert.deepEqual(app.shown, ["a"]);
});

test("consent that is taken back leaves nothing on the device or the screen", async () => {
  const app = await begin([message("a")]);
  app.sendora.identify("ada", { plan: "pro" });
  app.sendora.track("e");
  app.sendora.consent.revoke();
  const requests = app.device.edge.requests.length;
  await app.device.pass(600_000);
  assert.equal(app.device.stored.size + app.shown.length, 0);
  assert.ok(app.device.edge.requests.length <= requests + 1);
  assert.ok(app.sendora.delivery().dropped.consent_revoked! >= 2);
  app.sendora.consent.grant();
  await app.device.pass(100);
  const { userId, traits } = app.device.edge.fetches.at(-1)!.body;
  assert.deepEqual([userId, traits], [undefined, undefined]);
});

test("messages are asked for again when they may have changed, and otherwise nothing is waited for", async () => {
  const app = new App();
  app.give([], { validUntil: new Date(app.device.nowMs + 60_000).toISOString() });
  app.sendora.messages.start();
  await app.device.pass(100);
  assert.equal(app.device.timers, 1);
  await app.device.pass(59_000);
  assert.equal(app.device.edge.fetches.length, 1);
  app.give([message("a")], { validUntil: "2100-01-01T00:00:00Z" });
  await app.device.pass(2_000);
  assert.deepEqual(app.shown, ["a"]);
  assert.equal(app.device.edge.fetches.length, 2);
});

test("who does not look asks nothing, and is shown nothing; who looks again asks", async () => {
  const app = new App();
  app.give([message("a")], { validUntil: new Date(app.device.nowMs + 60_000).toISOString() });
  app.instance.isVisible = false;
  app.sendora.messages.start();
  await app.device.pass(3_600_000);
  assert.equal(app.device.edge.requests.length, 0);
  app.instance.show();
  await app.device.pass(100);
  assert.deepEqual(app.shown, ["a"]);
});

test("an edge that is busy is asked again, one that refuses is not", async () => {
  const app = new App();
  app.device.edge.weather = "busy";
  app.sendora.messages.start();
  await app.device.pass(1_000);
  app.device.edge.weather = "fine";
  app.give([message("a")]);
  await app.device.pass(10_000);
  assert.deepEqual(app.shown, ["a"]);
  const refused = new App();
  refused.device.edge.status = 401;
  refused.sendora.messages.start();
  await refused.device.pass(3_600_000);
  assert.equal(refused.device.edge.requests.length, 1);
  assert.equal(refused.instance.warnings.length, 1);
});

test("a device whose clock is wrong follows the server's windows, and does not ask all the time", async () => {
  const app = new App();
  const edge = app.device.edge;
  edge.aheadMs = -5 * 3_600_000;
  const serverMs = () => app.device.nowMs + edge.aheadMs;
  app.give([message("a", { endsAt: new Date(serverMs() + 60_000).toISOString() })], {
    validUntil: new Date(serverMs() + 60_000).toISOString(),
  });
  app.sendora.messages.start();
  await app.device.pass(50_000);
  assert.deepEqual(app.shown, ["a"]);
  assert.ok(edge.fetches.length <= 3, String(edge.fetches.length));
  edge.weather = "offline";
  await app.device.pass(12_000);
  assert.deepEqual(app.shown, []);
});

test("what is edited changes on the screen without another impression, and what is paused goes", async () => {
  const app = await begin([message("a")]);
  await app.device.pass(5_000);
  app.give([message("a", { version: 2, content: { body: "edited" } })]);
  app.instance.hide();
  app.instance.show();
  await app.device.pass(5_000);
  assert.deepEqual(app.bodies, ["a", "edited"]);
  assert.deepEqual(app.device.edge.types(), ["in_app.impression"]);
  app.give([]);
  app.instance.hide();
  app.instance.show();
  await app.device.pass(5_000);
  assert.deepEqual(app.shown, []);
});

test("a message whose own impression used up its cap stays until it is closed", async () => {
  const app = await begin([message("a", { frequencyCap: { maxImpressions: 1 } })]);
  await app.device.pass(10);
  app.give([]);
  await app.device.pass(10_000);
  assert.deepEqual(app.shown, ["a"]);
});

test("a capped message goes when it is paused, once the edge has given it with its impression counted in", async () => {
  const app = await begin([message("a", { frequencyCap: { maxImpressions: 5 } })]);
  await app.device.pass(10_000);
  assert.deepEqual(app.device.edge.types(), ["in_app.impression"]);
  app.give([]);
  void app.sendora.inApp.fetch();
  await app.device.pass(100);
  assert.deepEqual(app.shown, []);
});

test("what is on the screen is explained as such, also when the edge gives it no longer", async () => {
  const app = await begin([message("a", { frequencyCap: { maxImpressions: 1 } })]);
  await app.device.pass(10);
  // Asked before the edge was told of the impression.
  void app.sendora.inApp.fetch();
  await app.device.pass(100);
  app.give([]);
  await app.device.pass(10_000);
  assert.deepEqual(app.shown, ["a"]);
  assert.equal(app.sendora.messages.explain("a").reason, null);
});

test("a message that was shown too soon before says so, and comes back once it may", async () => {
  const capped = message("a", { frequencyCap: { minIntervalSeconds: 60 } });
  const first = await begin([capped]);
  await first.device.pass(10);
  first.instance.kill();
  const app = await new App({}, first.device).start([capped]);
  app.device.edge.weather = "offline";
  assert.equal(app.sendora.messages.explain("a").reason, "too_soon");
  await app.device.pass(61_000);
  assert.deepEqual(app.shown, []);
  app.instance.hide();
  app.instance.show();
  assert.deepEqual(app.shown, ["a"]);
});

test("an answer from which messages may be missing takes nothing away", async () => {
  const app = await begin([message("a")]);
  app.give([], { degraded: true });
  await app.device.pass(10_000);
  assert.deepEqual(app.shown, ["a"]);
});

test("while paused nothing new shows, and what became due shows afterwards", async () => {
  const app = await begin([]);
  app.sendora.messages.pause();
  app.give([message("a")]);
  app.instance.show();
  await app.device.pass(10_000);
  assert.deepEqual(app.shown, []);
  assert.equal(app.sendora.messages.explain("a").reason, "on_hold");
  app.sendora.messages.resume();
  assert.deepEqual(app.shown, ["a"]);
});

test("stopping takes messages away without a dismissal, and starting brings them back", async () => {
  const app = await begin([message("a")]);
  await app.device.pass(10);
  app.sendora.messages.stop();
  assert.deepEqual(app.shown, []);
  await app.start([message("a")]);
  assert.deepEqual(app.shown, ["a"]);
  await app.device.pass(5_000);
  assert.deepEqual(app.device.edge.types(), ["in_app.impression", "in_app.impression"]);
});

test("an app that draws by itself says what happens, and the slot is free once it is over", async () => {
  const app = new App();
  const drawn: string[] = [];
  app.sendora.messages.onDisplay(({ id }) => {
    drawn.push(id);
    return false;
  });
  await app.start([message("a", { slot: "s" }), message("b", { slot: "s" })]);
  assert.deepEqual([drawn, app.shown], [["a"], []]);
  assert.equal(app.sendora.messages.explain("a").reason, "not_in_sight");
  for (const _ of [1, 2]) await app.sendora.messages.recordImpression("a");
  assert.equal(app.sendora.messages.explain("a").shown, true);
  await app.sendora.messages.dismiss("a");
  assert.deepEqual(drawn, ["a", "b"]);
  await app.sendora.messages.recordClick("b");
  await app.device.pass(5_000);
  assert.deepEqual(app.device.edge.types().sort(), ["in_app.clicked", "in_app.dismissed", "in_app.impression"]);
});

test("an app that draws by itself is told when a message has to go, and why it went does not matter", async () => {
  const app = new App();
  const screen = new Set<string>();
  app.sendora.messages.onDisplay(({ id }) => {
    screen.add(id);
    return () => screen.delete(id);
  });
  const ending = { endsAt: new Date(app.device.nowMs + 60_000).toISOString() };
  await app.start([message("a"), message("b", ending), message("c"), message("d", { trigger: PRICING }), message("e")]);
  app.instance.go("https://app.example.com/pricing");
  assert.deepEqual([[...screen], app.shown], [["a", "b", "c", "e", "d"], []]);
  await app.sendora.messages.dismiss("a");
  assert.deepEqual([...screen], ["b", "c", "e", "d"]);
  app.instance.go("https://app.example.com/elsewhere");
  assert.deepEqual([...screen], ["b", "c", "e"]);
  app.give([message("b", ending), message("e")]);
  void app.sendora.inApp.fetch();
  await app.device.pass(100);
  assert.deepEqual([...screen], ["b", "e"]);
  await app.device.pass(60_000);
  assert.deepEqual([...screen], ["e"]);
  app.sendora.messages.stop();
  assert.deepEqual([...screen], []);
});

test("a callback says whether a link is followed, and one that fails harms nothing", async () => {
  const app = await begin([message("a"), message("b")]);
  const actions: unknown[] = [];
  const stop = app.sendora.messages.onAction(({ type, message: { id }, url }) => {
    actions.push([type, id, url]);
    return false;
  });
  assert.equal(app.screen.get("a")!.clicked(), false);
  stop();
  app.sendora.messages.onAction(() => {
    throw new Error("the app's own");
  });
  app.screen.get("b")!.dismissed();
  assert.deepEqual(actions, [["click", "a", "https://example.com/"]]);
  assert.deepEqual(app.shown, []);
  assert.equal(app.instance.warnings.length, 1);
});

test("what is reported of a message after its end changes nothing, also when it shows anew", async () => {
  const app = await begin([message("a")]);
  await app.device.pass(10);
  const first = app.screen.get("a")!;
  app.give([message("a", { version: 2 })]);
  void app.sendora.inApp.fetch();
  await app.device.pass(100);
  assert.notEqual(app.screen.get("a"), first);
  first.dismissed();
  assert.equal(first.clicked(), true);
  assert.deepEqual(app.shown, ["a"]);
  await app.device.pass(5_000);
  assert.deepEqual(app.device.edge.types(), ["in_app.impression"]);
});

test("a message that the app closes as it is told of it leaves nothing on the screen", async () => {
  const app = new App();
  app.sendora.messages.onDisplay(({ id }) => void app.sendora.messages.dismiss(id));
  await app.start([message("a")]);
  assert.deepEqual([app.bodies, app.shown], [["a"], []]);
});

test("a message can be shown without its trigger, but not against its cap", async () => {
  const cap = { frequencyCap: { maxImpressions: 1 } };
  const app = await begin([message("a", { trigger: { ...EXPORTED, ...PRICING, delaySeconds: 300 }, ...cap })]);
  assert.equal(app.sendora.messages.show("nobody"), false);
  assert.equal(app.sendora.messages.show("a"), true);
  await app.device.pass(10);
  app.instance.go("https://app.example.com/elsewhere");
  assert.deepEqual(app.shown, ["a"]);
  app.screen.get("a")!.dismissed();
  assert.equal(app.sendora.messages.show("a"), false);
});

test("a message that was shown without its trigger still waits for it afterwards", async () => {
  const app = await begin([message("a", { trigger: EXPORTED })]);
  app.sendora.messages.show("a");
  app.screen.get("a")!.dismissed();
  app.sendora.track("report.exported", { pages: 4 });
  assert.deepEqual(app.shown, ["a"]);
});

test("a fetch of the app's own changes nothing about when messages are asked for again", async () => {
  const app = new App();
  app.give([], { validUntil: new Date(app.device.nowMs + 60_000).toISOString() });
  app.sendora.messages.start();
  await app.device.pass(10_000);
  void app.sendora.inApp.fetch();
  await app.device.pass(10_000);
  app.give([message("a")]);
  await app.device.pass(100_000);
  assert.deepEqual(app.shown, ["a"]);
  app.give([message("a"), message("b")]);
  app.device.edge.weather = "offline";
  void app.sendora.inApp.fetch().catch(() => {});
  await app.device.pass(100);
  app.device.edge.weather = "fine";
  await app.device.pass(10_000);
  assert.deepEqual(app.shown, ["a", "b"]);
});

test("for each message there is a reason why it is not shown", async () => {
  const app = await begin([
    message("shown"),
    message("late", { trigger: { delaySeconds: 9 } }),
    message("elsewhere", { trigger: PRICING }),
    message("other-screen", { trigger: { screen: { op: "eq", value: "x" } } }),
    message("no-event", { trigger: EXPORTED }),
    message("over", { endsAt: "2020-01-01T00:00:00Z" }),
    message("to-come", { startsAt: "2090-01-01T00:00:00Z" }),
    message("new-type", { type: "hologram" }),
    message("new-op", { trigger: { url: { op: "regex", value: "x" } } }),
    message("odd", { content: null }),
  ]);
  await app.device.pass(10);
  assert.deepEqual(Object.fromEntries(app.sendora.messages.explain().map(({ id, reason }) => [id, reason])), {
    shown: null,
    late: "delayed",
    elsewhere: "url_mismatch",
    "other-screen": "screen_mismatch",
    "no-event": "event_mismatch",
    over: "ended",
    "to-come": "not_started",
    "new-type": "unknown_type",
    "new-op": "unknown_operator",
    odd: "unreadable",
  });
  assert.equal(app.sendora.messages.explain("gone").reason, "not_listed");
});

test("properties that are no JSON are told to the developer and break nothing", async () => {
  const app = await begin([message("a", { trigger: EXPORTED })]);
  app.sendora.track("report.exported", { big: 1n });
  app.sendora.track("report.exported", null as unknown as Record<string, unknown>);
  assert.equal(app.instance.warnings.length, 1);
  assert.equal(app.sendora.delivery().waiting, 2);
});

test("a device judges properties as the edge will see them", async () => {
  const after = { property: "at", op: "after", value: "2026-01-01T00:00:00Z" };
  const app = await begin([message("a", { trigger: { eventType: "e", where: [after] } })]);
  app.sendora.track("e", { at: new Date("2026-06-01T00:00:00Z") });
  assert.deepEqual(app.shown, ["a"]);
});

test("an unchanged answer keeps the messages", async () => {
  const app = new App();
  app.give([message("a")], { etag: "one" });
  const first = await Promise.all([app.sendora.messages.fetchActive(), app.device.pass(100)]);
  app.device.edge.messages = () => ({ unchanged: true, revision: 2, validUntil: "2100-01-01T00:00:00Z", etag: "one" });
  const [again] = await Promise.all([app.sendora.inApp.fetch(), app.device.pass(100)]);
  assert.equal(app.device.edge.fetches.at(-1)!.body.etag, "one");
  assert.deepEqual(again.messages, first[0]);
  assert.deepEqual(again.messages[0]!.cta, { text: "Go", url: "https://example.com/" });
});

test("fetches at the same time are one request", async () => {
  const app = new App();
  app.give([message("a")]);
  const both = Promise.all([app.sendora.inApp.fetch(), app.sendora.messages.fetchActive()]);
  await app.device.pass(100);
  assert.deepEqual((await both)[1], (await both)[0].messages);
  assert.equal(app.device.edge.fetches.length, 1);
});

test("an app that ends reacts to nothing more", async () => {
  const app = await begin([message("a", { trigger: PRICING })]);
  app.sendora.destroy();
  await app.device.pass(10_000);
  const requests = app.device.edge.requests.length;
  app.instance.go("https://app.example.com/pricing");
  app.instance.hide();
  app.instance.show();
  app.sendora.track("late");
  await app.device.pass(3_600_000);
  assert.equal(app.instance.tell, null);
  assert.deepEqual([app.shown, app.device.edge.requests.length, app.device.timers], [[], requests, 0]);
});

test("an app that ends sends what waits", async () => {
  const app = new App({}, new Device());
  app.sendora.track("e");
  app.instance.tell.leaving();
  assert.deepEqual(app.device.edge.types(), ["e"]);
  app.sendora.track("f");
  app.sendora.destroy();
  await app.device.pass(100);
  assert.deepEqual(app.device.edge.types(), ["e", "f"]);
  assert.equal(app.sendora.delivery().waiting, 0);
});
