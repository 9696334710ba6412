/** null for nothing, and for what is no JSON. */
export function fromJson<T>(text: string | null): T | null {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}
