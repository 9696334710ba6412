import assert from "node:assert/strict";
import { test } from "node:test";
import type { Appearance } from "@sendora/core";
import { coloursOf, imageUrl, linkUrl, positionOf } from "../src/render/appearance.ts";

const appearance = (given: object): Appearance =>
  ({ position: "top", theme: "auto", backgroundColor: null, textColor: null, anchor: null, ...given }) as Appearance;
const grey = (level: number) => `#${level.toString(16).padStart(2, "0").repeat(3)}`;

// As WCAG 2 defines it, for greys.
function contrast(one: number, other: number): number {
  const luminance = (level: number) => (level <= 10 ? level / 255 / 12.92 : ((level / 255 + 0.055) / 1.055) ** 2.4);
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

test("a position of a newer server becomes the plainest of today", () => {
  assert.equal(positionOf(appearance({ position: "left" })), "center");
  assert.equal(positionOf(appearance({ position: "bottom" })), "bottom");
});

test("the other colour is readable on every grey", () => {
  for (let level = 0; level < 256; level += 1) {
    const colours = coloursOf(appearance({ backgroundColor: grey(level) }));
    const text = Number.parseInt(colours!.text.slice(1, 3), 16);
    assert.ok(contrast(level, text) >= 4.5, grey(level));
    assert.deepEqual(coloursOf(appearance({ textColor: grey(level) })), { surface: colours!.text, text: grey(level) });
  }
});

test("colours are kept as they are given, and what is none is left out", () => {
  const both = { backgroundColor: "#777", textColor: "#888888" };
  assert.deepEqual(coloursOf(appearance(both)), { surface: "#777", text: "#888888" });
  assert.equal(coloursOf(appearance({ backgroundColor: "#FF0" }))?.text, "#000000");
  for (const colour of ["red", "#12", "#12345", "#1234567", "#ffffffff", "url(//x)", " #fff", ""]) {
    assert.equal(coloursOf(appearance({ backgroundColor: colour, textColor: colour })), null, colour);
  }
});

test("only addresses of known kinds are linked to", () => {
  const allowed = ["https://example.com/a?b#c", "mailto:a@example.com", "tel:+4912345", "http://localhost:3000/"];
  for (const address of [...allowed, "http://127.0.0.1/", "http://[::1]:8/"])
    assert.equal(linkUrl(address)?.href, address);
  const refused = [
    "javascript:alert(1)",
    " JavaScript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "blob:x",
  ];
  const others = [
    "http://example.com/",
    "https://user@example.com/",
    "//example.com",
    "/path",
    "https:",
    "",
    null,
    undefined,
  ];
  for (const address of [...refused, ...others]) assert.equal(linkUrl(address), null, String(address));
});

test("images come over https alone", () => {
  assert.equal(imageUrl("https://example.com/a.png"), "https://example.com/a.png");
  for (const address of ["http://localhost/a.png", "data:image/png;base64,", "a.png", "", null]) {
    assert.equal(imageUrl(address), null);
  }
});
