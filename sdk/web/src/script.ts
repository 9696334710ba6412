/** The one file for a script tag: `SendoraCloud` becomes a global. */

import { SendoraCloud } from "./index.ts";

Object.assign(globalThis, { SendoraCloud });
