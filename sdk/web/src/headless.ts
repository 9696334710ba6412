/** `@sendora/web/headless`: the same without the renderer, for apps that draw messages themselves. */

import type { Options, Sendora } from "@sendora/core";
import { connect } from "./connect.ts";

export type * from "@sendora/core";
export { SendoraError } from "@sendora/core";

export const SendoraCloud = {
  /** Raises SendoraError for a secret key, or an edge that is not reached over https. */
  init: (options: Options): Sendora => connect(options, null),
};
