/** Who draws a message, the app or a renderer, and who is told what is done with it. */

import type { Callback, DisplayAction, Unsubscribe } from "./api.ts";
import type { Attempt } from "./errors.ts";
import type { Message } from "./message.ts";
import type { Render, View } from "./render.ts";
import type { Act } from "./stage.ts";

export interface Drawing {
  /** null: it failed. */
  draw(message: Message, act: Act): View | null;
  onDisplay(callback: Callback<Message>): Unsubscribe;
  onAction(callback: Callback<DisplayAction>): Unsubscribe;
}

/** `render` null: the app draws everything. */
export function createDrawing(render: Render | null, attempt: Attempt): Drawing {
  const displayCallbacks = new Set<Callback<Message>>();
  const actionCallbacks = new Set<Callback<DisplayAction>>();

  function draw(message: Message, act: Act): View | null {
    const answers = tell(displayCallbacks, message);
    const removers = answers.filter((answer): answer is () => void => typeof answer === "function");
    if (!render || removers.length || answers.includes(false)) {
      return {
        remove() {
          for (const remove of removers) attempt("callback", remove);
        },
      };
    }
    const end = (type: DisplayAction["type"], url: string | null) =>
      !act(type) || !tell(actionCallbacks, { type, message, url }).includes(false);
    const handlers = {
      seen: () => act("impression"),
      clicked: () => end("click", message.cta?.url ?? null),
      dismissed: () => end("dismissal", null),
    };
    return attempt("drawing", () => render(message, handlers)) ?? null;
  }

  /** What they return. */
  const tell = <T>(callbacks: Set<Callback<T>>, value: T) =>
    [...callbacks].map((callback) => attempt("callback", () => callback(value)));

  return {
    draw,
    onDisplay: (callback) => subscribe(displayCallbacks, callback),
    onAction: (callback) => subscribe(actionCallbacks, callback),
  };
}

function subscribe<T>(callbacks: Set<T>, callback: T): Unsubscribe {
  callbacks.add(callback);
  return () => void callbacks.delete(callback);
}
