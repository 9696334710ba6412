/** localStorage, which outlives the tab; what it has no room for, or all where it is forbidden, in the page's memory. */

import type { Storage } from "@sendora/core";

export function storageFor(name: string): Storage {
  const prefix = `${name}:`;
  const kept = accessible();
  const rest: Record<string, string> = {};
  function remove(key: string): void {
    delete kept[prefix + key];
    delete rest[prefix + key];
  }
  return {
    get: (key) => rest[prefix + key] ?? kept[prefix + key] ?? null,
    set(key, value) {
      remove(key);
      try {
        kept[prefix + key] = value;
      } catch {
        rest[prefix + key] = value;
      }
    },
    remove,
    keys: () =>
      [kept, rest].flatMap(Object.keys).flatMap((key) => (key.startsWith(prefix) ? key.slice(prefix.length) : [])),
  };
}

/** Reading the property alone throws where the user blocks storage; some web views have none. */
function accessible(): Record<string, string> {
  try {
    return localStorage ?? {};
  } catch {
    return {};
  }
}
