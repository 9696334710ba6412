/** localStorage, which outlives the tab; where the browser forbids it, the page's memory. */

import type { Storage } from "@sendora/core";

export function storageFor(name: string): Storage {
  const prefix = `${name}:`;
  const memory = new Map<string, string>();
  const local = accessible();
  return {
    get: (key) => memory.get(key) ?? local?.getItem(prefix + key) ?? null,
    set(key, value) {
      try {
        if (!local) throw new Error();
        local.setItem(prefix + key, value);
        memory.delete(key);
      } catch {
        memory.set(key, value);
      }
    },
    remove(key) {
      memory.delete(key);
      local?.removeItem(prefix + key);
    },
    keys() {
      const stored = local ? Object.keys(local) : [];
      const ours = stored.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
      return [...new Set([...memory.keys(), ...ours])];
    },
  };
}

/** Reading the property alone throws where the user blocks storage. */
function accessible(): globalThis.Storage | null {
  try {
    return localStorage;
  } catch {
    return null;
  }
}
