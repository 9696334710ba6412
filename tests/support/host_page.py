"""An app's site under a strict Content-Security-Policy, with the built SDK as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

BUILT_SDK = Path(__file__).parents[2] / "sdk" / "web" / "dist" / "sendora.js"
IMAGE_HOST = "https://images.test"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src {site}/sendora.js {site}/app.js",
        "connect-src {edge}/api/v1/",
        f"img-src {IMAGE_HOST}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Reports</title>
<h1>Reports</h1>
<button id="export" type="button">Export</button>
<script src="/sendora.js"></script>
<script src="/app.js"></script>
"""
_APP = """
window.sendora = SendoraCloud.init(options);
prepare(sendora);
sendora.messages.start();
"""
"""`options` and `prepare` are a test's; see `Device.open`."""


@contextmanager
def host_site(edge: str) -> Iterator[str]:
    """Its URL. It has the same page at every path; `edge` is the only place to which pages may connect."""
    if not BUILT_SDK.exists():
        pytest.fail("the SDK is not built: make sdk")
    scripts = {"/sendora.js": BUILT_SDK.read_bytes(), "/app.js": _APP.encode()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script = scripts.get(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if script else "text/html")
            self.send_header("Content-Security-Policy", _POLICY.format(site=site, edge=edge))
            self.end_headers()
            self.wfile.write(script or _PAGE.encode())

        def log_message(self, *_: Any) -> None:
            """Requests are not worth a line."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield site
        server.shutdown()
