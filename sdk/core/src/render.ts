/** What draws messages, where the app does not do so itself. */

import type { Message } from "./message.ts";

/**
 * What a renderer reports. At `clicked` or `dismissed` the message is taken away by `View.remove`; what is reported
 * after that changes nothing.
 */
export interface Handlers {
  /** It is in sight for the first time. Calls after the first change nothing. */
  seen(): void;
  /** Somebody followed its call to action. False: the app took care of it, so the link must not be followed. */
  clicked(): boolean;
  /** Somebody closed it. */
  dismissed(): void;
}

/** A message on the screen. */
export interface View {
  /** Takes it away. */
  remove(): void;
}

export type Render = (message: Message, handlers: Handlers) => View;
