import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { storageFor } from "../src/storage.ts";

/** As `localStorage` is: its entries are its own properties, and it takes only so much. */
function room(characters: number): Record<string, string> {
  return new Proxy<Record<string, string>>(
    {},
    {
      set(entries, key: string, value: string) {
        const others = Object.entries(entries).filter(([name]) => name !== key);
        if ([...others, [key, value]].join().length > characters) throw new Error("QuotaExceededError");
        return Reflect.set(entries, key, value);
      },
    },
  );
}

function have(localStorage: unknown): void {
  Object.defineProperty(globalThis, "localStorage", { value: localStorage, configurable: true });
}

afterEach(() => {
  Reflect.deleteProperty(globalThis, "localStorage");
});

test("what is kept is the app's own, and outlives the page", () => {
  have(room(1_000));
  localStorage.other = "the host's";
  storageFor("sendora:a").set("person", "ada");
  storageFor("sendora:ab").set("person", "bob");
  const { get, keys } = storageFor("sendora:a");
  assert.deepEqual([get("person"), get("other"), keys()], ["ada", null, ["person"]]);
});

test("what there is no room for lives as long as the page, and everything else goes on as before", () => {
  have(room(60));
  const { get, set, remove, keys } = storageFor("s");
  set("person", "ada");
  set("event", "x".repeat(100));
  assert.deepEqual([get("event")?.length, keys().sort()], [100, ["event", "person"]]);
  set("person", "bob");
  assert.deepEqual({ ...localStorage }, { "s:person": "bob" });
  set("person", "y".repeat(100));
  assert.deepEqual([get("person")?.length, { ...localStorage }], [100, {}]);
  set("person", "eve");
  for (const key of keys()) remove(key);
  assert.deepEqual([get("person"), keys(), { ...localStorage }], [null, [], {}]);
});

test("where there is no storage, or it is forbidden, the page's memory is it", () => {
  const forbidden = {
    get() {
      throw new Error("SecurityError");
    },
  };
  for (const property of [{ value: null }, { value: undefined }, forbidden]) {
    Object.defineProperty(globalThis, "localStorage", { ...property, configurable: true });
    const { get, set, keys } = storageFor("s");
    set("person", "ada");
    assert.deepEqual([get("person"), keys()], ["ada", ["person"]]);
  }
});
