// The author's colours and links, checked once more before they reach the page.

const DARK = "#14161f";
const LIGHT = "#ffffff";
const LOCAL_HOSTS = new Set(["localhost", "127.0.0.1", "[::1]"]);

// Custom properties for a message. One given colour is shown as it is and the other chosen to be readable on it.
export function colourProperties({ backgroundColor, textColor }) {
  if (!backgroundColor && !textColor) return null;
  return {
    "--surface": backgroundColor ?? readableOn(textColor),
    "--text": textColor ?? readableOn(backgroundColor),
  };
}

// Above a relative luminance of 0.179 black contrasts better than white (WCAG 2).
const readableOn = (colour) => (luminance(colour) > 0.179 ? DARK : LIGHT);

function luminance(hex) {
  const digits = hex.length === 4 ? hex.slice(1).replace(/./g, "$&$&") : hex.slice(1);
  const [red, green, blue] = [0, 2, 4].map((at) => linear(parseInt(digits.slice(at, at + 2), 16) / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const linear = (channel) => (channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);

// The address to link to, null when its scheme is not one that a message may use.
export function safeUrl(text) {
  const url = URL.canParse(text ?? "") ? new URL(text) : null;
  if (!url || url.username || url.password) return null;
  const isAllowed =
    ["https:", "mailto:", "tel:"].includes(url.protocol) || (url.protocol === "http:" && LOCAL_HOSTS.has(url.hostname));
  return isAllowed ? url.href : null;
}

export const safeImageUrl = (text) => (text?.startsWith("https://") && URL.canParse(text) ? text : null);
