import type { Message } from "@sendora/web";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Card } from "./Card.tsx";
import { useMessages } from "./useMessages.ts";

// A real app has these written down: neither is a secret.
const { key = "", edge = "http://localhost:8701" } = Object.fromEntries(new URLSearchParams(location.search));
const options = { apiKey: key, apiUrl: edge };

/** Authors place a message in the page by its slot. */
const isCard = ({ slot }: Message) => slot === "card";

function App() {
  const { sendora, card } = useMessages(options, isCard);
  return (
    <>
      <h1>Acme Reports</h1>
      <p>
        <a href="#/">Home</a> · <a href="#/reports">Reports</a> · <a href="#/pricing">Pricing</a>
      </p>
      {sendora && card && <Card key={card.id} message={card} sendora={sendora} />}
      <p>
        <button type="button" id="export-button" onClick={() => sendora?.track("report.exported", { pages: 4 })}>
          Export a report
        </button>{" "}
        <button type="button" onClick={() => sendora?.identify("ada", { plan: "free", exports: 14 })}>
          Sign in as Ada
        </button>{" "}
        <button type="button" onClick={() => sendora?.reset()}>
          Sign out
        </button>
      </p>
    </>
  );
}

createRoot(document.getElementById("app")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
