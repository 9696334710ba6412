import { createSendora, type Options, type Render, type Sendora } from "@sendora/core";
import { browserPlatform } from "./platform.ts";

/** Environment and org, with which a key's text begins, outlive the key. */
const ORG = /^pk_[a-z]+_\w{22}/;

export function connect(options: Options, render: Render | null): Sendora {
  const [org] = ORG.exec(options.apiKey) ?? [options.apiKey];
  return createSendora(options, browserPlatform(`sendora:${org}`), render);
}
