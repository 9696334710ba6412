import { type Message, type Options, type Sendora, SendoraCloud } from "@sendora/web";
import { useEffect, useState } from "react";

/**
 * Runs the SDK as long as the component is there. `card`: the message that the app draws itself, when one is due.
 * Both arguments must stay the same from one rendering to the next.
 */
export function useMessages(options: Options, isCard: (message: Message) => boolean) {
  const [sendora, setSendora] = useState<Sendora | null>(null);
  const [card, setCard] = useState<Message | null>(null);

  useEffect(() => {
    const started = SendoraCloud.init(options);
    started.messages.onDisplay((message) => {
      if (!isCard(message)) return;
      setCard(message);
      return () => setCard(null);
    });
    started.messages.start();
    setSendora(started);
    return () => started.destroy();
  }, [options, isCard]);

  return { sendora, card };
}
