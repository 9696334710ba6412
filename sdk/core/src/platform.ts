/** What the core needs of the device. All moments are in ms since the epoch by the device's clock. */

/** An answer of the edge. `header`: null where it is not there, or not for apps. */
export interface Reply {
  status: number;
  body: string;
  header(name: string): string | null;
}

/** Keeps texts over restarts, for all instances of the app on this device. Never throws. */
export interface Storage {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
  keys(): string[];
}

export interface Listener {
  /** The app came to the front, or the network is back. */
  awake(): void;
  /** The app went to the back; it may never come again. */
  hidden(): void;
  /** The app is about to end. */
  leaving(): void;
  /** Somebody is at another URL. */
  moved(): void;
}

export interface Platform {
  /** Name and version of the SDK. */
  sdk: string;
  storage: Storage;
  now(): number;
  randomHex(bytes: number): string;
  /** Runs something later; returns what cancels it. */
  after(ms: number, run: () => void): () => void;
  /** Rejects when there is no answer. */
  post(url: string, body: string): Promise<Reply>;
  /** Sends without an answer, for an app that is about to end. */
  beacon(url: string, body: string): void;
  /** Runs `work` while no other instance does; not at all, and false, when another does. */
  alone(work: () => Promise<void>): Promise<boolean>;
  isVisible(): boolean;
  url(): string | null;
  /** Returns what stops listening. */
  listen(listener: Listener): () => void;
  /** Tells a developer what went wrong in the app's own code, or why nothing happens. */
  warn(text: string, cause?: unknown): void;
}
