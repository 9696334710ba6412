export type { DisplayAction, Explanation, Options, Sendora } from "./api.ts";
export { SendoraError } from "./errors.ts";
export type { Answer } from "./feed.ts";
export * from "./message.ts";
export type { Delivery } from "./outbox.ts";
export type * from "./platform.ts";
export type * from "./render.ts";
export { createSendora } from "./sendora.ts";
