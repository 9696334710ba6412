/** localStorage, which outlives the tab; where the browser forbids it or it is full, the page's memory. */

import type { Storage } from "@sendora/core";

export function storageFor(name: string): Storage {
  const prefix = `${name}:`;
  let kept = accessible();
  return {
    get: (key) => kept[prefix + key] ?? null,
    set(key, value) {
      try {
        kept[prefix + key] = value;
      } catch {
        kept = { ...kept, [prefix + key]: value };
      }
    },
    remove(key) {
      delete kept[prefix + key];
    },
    keys: () => Object.keys(kept).flatMap((key) => (key.startsWith(prefix) ? key.slice(prefix.length) : [])),
  };
}

/** Reading the property alone throws where the user blocks storage. */
function accessible(): Record<string, string> {
  try {
    return localStorage;
  } catch {
    return {};
  }
}
