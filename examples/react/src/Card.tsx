import type { Message, Sendora } from "@sendora/web";
import { useEffect } from "react";

interface Props {
  message: Message;
  sendora: Sendora;
}

/** A message in the app's own looks. What somebody does with it counts like anywhere else. */
export function Card({ message, sendora }: Props) {
  const { id, title, body, cta } = message;
  const { recordImpression, recordClick, dismiss } = sendora.messages;

  // React runs this twice in development; it counts once.
  useEffect(() => void recordImpression(id), [id, recordImpression]);

  return (
    <section className="card">
      {title && <h2>{title}</h2>}
      <p>{body}</p>
      {cta?.url && (
        <a href={cta.url} onClick={() => void recordClick(id)}>
          {cta.text}
        </a>
      )}{" "}
      <button type="button" onClick={() => void dismiss(id)}>
        Close
      </button>
    </section>
  );
}
