"""Every look of a message in one picture, docs/sdk-contact-sheet.png: `python -m tests.support.contact_sheet`."""

import base64
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tests.support.browser import find_chromium, launched
from tests.support.sdk_renderer import IMAGE_URL, message, open_host, renderer_site, show

SHEET = Path(__file__).parents[2] / "docs" / "sdk-contact-sheet.png"
_WIDE = (720, 440)
_NARROW = (320, 560)
_COLOURS = {"backgroundColor": "#1f3a5f", "textColor": "#fdf6e3"}
_LOOKS: dict[str, dict[str, Any]] = {
    "light": {"theme": "light"},
    "dark": {"theme": "dark"},
    "auto, on a dark page": {"theme": "auto"},
    "own colours": _COLOURS,
}
_LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft. " * 12
_HEBREW = {"title": "ייצוא מתוזמן", "body": "בחרו יום ושעה, והדוח יחכה לכם בתיבת הדואר.", "ctaText": "קבעו מועד"}
_STYLE = """
body { margin: 0; padding: 24px; background: #e9eaee; font: 13px/1.4 sans-serif; color: #33363f; width: fit-content; }
main { display: grid; gap: 16px; } .wide { grid-template-columns: repeat(4, auto); }
.narrow { grid-template-columns: repeat(8, auto); margin-block-start: 32px; }
figure { margin: 0; } img { display: block; border-radius: 6px; box-shadow: 0 0 0 1px #0002; }
.wide img { width: 480px; } .narrow img { width: 230px; } figcaption { padding-block: 4px 0; }
"""


@dataclass(frozen=True, slots=True)
class Shot:
    label: str
    message: dict[str, Any]
    size: tuple[int, int] = _WIDE
    scheme: str = "light"
    direction: str = "ltr"


def _wide() -> Iterator[Shot]:
    for type_ in ("banner", "modal", "slideout", "tooltip"):
        for position in ("top", "center", "bottom"):
            for look, appearance in _LOOKS.items():
                scheme = "dark" if "dark page" in look else "light"
                given = message(type_, position=position, **appearance)
                yield Shot(f"{type_}, {position}, {look}", given, scheme=scheme)


def _narrow() -> Iterator[Shot]:
    for type_ in ("banner", "modal", "slideout", "tooltip"):
        yield Shot(f"{type_}, with an image", message(type_, imageUrl=IMAGE_URL), _NARROW)
        yield Shot(f"{type_}, long words", message(type_, title=_LONG[:60], body=_LONG, theme="dark"), _NARROW)
        yield Shot(f"{type_}, right to left", message(type_, **_HEBREW), _NARROW, direction="rtl")
        plain = message(type_, title=None, ctaText=None, backgroundColor="#ffd84d", imageUrl="https://images.test/gone")
        yield Shot(f"{type_}, no title, image gone", plain, _NARROW)


def _shoot(browser: Browser, url: str, shot: Shot) -> bytes:
    width, height = shot.size
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if shot.scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    open_host(page, url, shot.direction)
    show(page, shot.message)
    page.wait_for_function("reports.length > 0")
    page.wait_for_timeout(100)
    picture = page.screenshot()
    page.close()
    return picture


def _figures(browser: Browser, url: str, shots: Iterator[Shot]) -> str:
    return "".join(
        f"<figure><img src='data:image/png;base64,{base64.b64encode(_shoot(browser, url, shot)).decode()}'>"
        f"<figcaption>{escape(shot.label)}</figcaption></figure>"
        for shot in shots
    )


def make(target: Path) -> None:
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium on this machine")
    with tempfile.TemporaryDirectory() as folder, renderer_site(Path(folder)) as url, launched(chromium) as browser:
        wide, narrow = _figures(browser, url, _wide()), _figures(browser, url, _narrow())
        page = browser.new_page(viewport={"width": 2040, "height": 800})
        page.set_content(f"<style>{_STYLE}</style><main class=wide>{wide}</main><main class=narrow>{narrow}</main>")
        page.screenshot(path=target, full_page=True)


if __name__ == "__main__":
    make(SHEET)
