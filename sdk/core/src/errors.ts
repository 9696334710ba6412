/** `code`: the edge's (docs/errors.md), or one of this SDK's (docs/sdk.md). `status`: HTTP, 0 without an answer. */
export class SendoraError extends Error {
  declare readonly code: string;
  declare readonly status: number;

  constructor(code: string, message: string, status = 0) {
    super(message);
    Object.assign(this, { name: "SendoraError", code, status });
  }
}

/** Whether asking the same again would end the same. */
export function isFinal({ status }: SendoraError): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

/** What the work returns; undefined when it failed, which a developer is told. */
export type Attempt = <T>(what: string, work: () => T) => T | undefined;

/** What is not ours to get right must not stop us. */
export function attempter(warn: (text: string, cause: unknown) => void): Attempt {
  return (what, work) => {
    try {
      return work();
    } catch (error) {
      warn(`Failed: ${what}.`, error);
      return undefined;
    }
  };
}
