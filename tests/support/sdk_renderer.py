"""The web SDK's renderer on a page of its own, on which tests show messages without an edge."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Page

SDK = Path(__file__).parents[2] / "sdk"
IMAGE_URL = "https://images.test/image.svg"
STRICT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src https:",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_PAGES = Path(__file__).parent / "sdk_pages"
_MEDIA_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}
_IMAGE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 40">
<linearGradient id="g" x2="1" y2="1"><stop stop-color="#8fb7d9"/><stop offset="1" stop-color="#e9c9a4"/>
</linearGradient>
<path fill="url(#g)" d="M0 0h80v40H0z"/><circle cx="60" cy="12" r="5" fill="#fff7e6"/>
<path fill="#3d5a73" d="M0 40V30l18-14 14 11 12-7 36 20z"/></svg>"""


def message(type_: str, **given: Any) -> dict[str, Any]:
    """As an edge gives it. Fields of `content` and `appearance` are named without their object."""
    content: dict[str, Any] = {
        "title": "Scheduled exports",
        "body": "Pick a weekday and an hour, and the report is in your inbox.",
        "ctaText": "Set one up",
        "ctaUrl": None,
        "imageUrl": None,
        "dismissible": True,
    }
    position = {"banner": "top", "modal": "center"}.get(type_, "bottom")
    appearance: dict[str, Any] = {
        "position": position,
        "theme": "auto",
        "backgroundColor": None,
        "textColor": None,
        "anchor": "#anchor" if type_ == "tooltip" else None,
    }
    content |= {name: value for name, value in given.items() if name in content}
    appearance |= {name: value for name, value in given.items() if name in appearance}
    top = {"id": type_, "version": 1, "slot": type_, "priority": 0}
    conditions = {"trigger": None, "frequencyCap": None, "startsAt": None, "endsAt": None}
    made = {**top, "type": type_, "content": content, "appearance": appearance, **conditions}
    return made | {name: value for name, value in given.items() if name in top}


def open_host(page: Page, url: str, direction: str = "ltr") -> None:
    """Opens the host page, ready to show messages."""
    page.route(IMAGE_URL, lambda route: route.fulfill(body=_IMAGE, content_type="image/svg+xml"))
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    page.evaluate("direction => { document.documentElement.dir = direction; }", direction)


def show(page: Page, given: dict[str, Any]) -> None:
    page.evaluate("message => show(message)", given)


@contextmanager
def renderer_site(folder: Path) -> Iterator[str]:
    """The URL of the host page, at `/strict` under a strict Content-Security-Policy; `folder` is for what is built."""
    files = {f"/{path.name}": path for path in _PAGES.iterdir()} | {"/host.js": _bundle(folder)}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_strict = self.path.startswith("/strict")
            path = files.get(self.path.split("?")[0], _PAGES / "host.html")
            self.send_response(200)
            self.send_header("Content-Type", _MEDIA_TYPES[path.suffix])
            if is_strict:
                self.send_header("Content-Security-Policy", STRICT_POLICY)
            self.end_headers()
            self.wfile.write(path.read_bytes())

        def log_message(self, *_: Any) -> None:
            """Requests are not worth a line."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _bundle(folder: Path) -> Path:
    entry, target = str(_PAGES / "host.js"), folder / "host.js"
    options = ("--bundle", "--format=esm", "--conditions=@sendora/source", "--loader:.css=text", f"--outfile={target}")
    command = [str(SDK / "npm"), "exec", "--", "esbuild", entry, *options, "--log-level=warning"]
    subprocess.run(command, check=True, cwd=SDK, capture_output=True)
    return target
