export { SendoraError } from "./errors.ts";
export type { Answer } from "./feed.ts";
export type * from "./message.ts";
export type { Delivery } from "./outbox.ts";
export type * from "./platform.ts";
export type * from "./render.ts";
export { createSendora, type DisplayAction, type Explanation, type Options, type Sendora } from "./sendora.ts";
