/** What an app calls, hands over and gets back. */

import type { Properties } from "./decide.ts";
import type { Answer } from "./feed.ts";
import type { Message } from "./message.ts";
import type { Delivery } from "./outbox.ts";
import type { Skipped } from "./read.ts";
import type { Reason } from "./stage.ts";

export interface Options {
  /** A public key, `pk_…`. */
  apiKey: string;
  /** Where the edge is: https, or http on this machine. */
  apiUrl: string;
  /** The app draws messages itself: nothing is rendered. */
  headless?: boolean;
  /** false: nothing is stored or sent before `consent.grant()`. */
  consent?: boolean;
}

/** What somebody did with a message. `url`: where its call to action leads. */
export interface DisplayAction {
  type: "click" | "dismissal";
  message: Message;
  url: string | null;
}

/** Why a message is or is not in sight; codes in docs/sdk.md. `not_listed`: the edge does not give it to this person. */
export interface Explanation {
  id: string;
  shown: boolean;
  reason: Reason | Skipped["reason"] | "not_listed" | null;
}

export type Callback<T> = (value: T) => unknown;
export type Unsubscribe = () => void;

/** Actions settle when they are stored; they are sent soon after, and count once. */
export interface Sendora {
  /** Says who uses the app, and what is known of them. Another user than before begins anew, as after `reset`. */
  identify(userId: string, traits?: Properties, options?: { identityToken?: string }): void;
  /** Something happened: it is counted, and messages that wait for it show. */
  track(type: string, properties?: Properties): void;
  /** Somebody is at another screen of the app. */
  screen(name: string): void;
  /** Somebody else uses the app from now on: a new visitor. What waits to be sent still is. */
  reset(): void;
  /** Sends what waits, now. */
  flush(): Promise<Delivery>;
  /** How many events wait to be sent, and how many never will be, by reason. */
  delivery(): Delivery;
  /** Ends everything; what waits is sent now or, failing that, by the next `init`. */
  destroy(): void;
  consent: {
    /** Begins to store and send, with what was asked meanwhile. */
    grant(): void;
    /** Ends it, and forgets what this device knows of the person, events that were not sent included. */
    revoke(): void;
  };
  inApp: {
    /** The messages that the present person may get, highest rank first. Rejects with SendoraError. */
    fetch(): Promise<Answer>;
    trackImpression(id: string): Promise<void>;
    trackClick(id: string): Promise<void>;
  };
  messages: {
    fetchActive(): Promise<Message[]>;
    recordImpression(id: string): Promise<void>;
    recordClick(id: string): Promise<void>;
    /** From now on messages show when their triggers say so. */
    start(): void;
    /** Takes away what is shown, without counting it as dismissed, and shows nothing more. */
    stop(): void;
    /** Nothing new shows; what is shown stays. */
    pause(): void;
    /** What became due meanwhile shows. */
    resume(): void;
    /**
     * Before a message shows. Who returns false or a function draws it, and reports by `recordImpression`,
     * `recordClick`, `dismiss`; the function is called when it has to go.
     */
    onDisplay(callback: Callback<Message>): Unsubscribe;
    /** At a click or dismissal; who returns false for a click takes care of its link. */
    onAction(callback: Callback<DisplayAction>): Unsubscribe;
    /** Shows a message whatever its trigger says. False: its slot is taken, or its cap or window forbids it. */
    show(id: string): boolean;
    /** Closes a message as somebody would. */
    dismiss(id: string): Promise<void>;
    explain(): Explanation[];
    explain(id: string): Explanation;
  };
}
