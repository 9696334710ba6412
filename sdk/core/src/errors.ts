/** `code`: the edge's (docs/errors.md), or one of this SDK's (docs/sdk.md). `status`: HTTP, 0 without an answer. */
export class SendoraError extends Error {
  override readonly name = "SendoraError";
  readonly code: string;
  readonly status: number;
  readonly retryAfterMs: number;

  constructor(code: string, message: string, status = 0, retryAfterMs = 0) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether asking the same again would end the same. */
  get isFinal(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 429;
  }
}
