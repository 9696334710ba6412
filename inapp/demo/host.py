"""The demo's host page: a small product page in which the seeded messages appear."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_PATHS = ("/", "/reports", "/pricing", "/checkout")
_FOLDER = Path(__file__).parent / "page"
_SDK = "sendora.js"
_SDK_MISSING = "This page needs the SDK, which is not built: run `make sdk`, then start the demo again.\n"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class HostUser:
    """A seeded customer whom a visitor of the page can be, and the `traits` with which the page identifies them."""

    user_id: str
    label: str
    traits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What the page needs to know: where the edge and admin are, the org, its public key, and some customers."""

    edge_url: str
    public_key: str
    org_id: str
    admin_url: str
    users: Sequence[HostUser] = ()

    def as_json(self) -> dict[str, Any]:
        """The shape of `/config.json`."""
        return {
            "edgeUrl": self.edge_url,
            "publicKey": self.public_key,
            "orgId": self.org_id,
            "adminUrl": self.admin_url,
            "users": [
                {"userId": user.user_id, "label": user.label, "traits": dict(user.traits)} for user in self.users
            ],
        }


def create_host_app(config: HostConfig, folder: Path = _FOLDER) -> Starlette:
    """The page on its paths, its assets, `/config.json` and `/healthz`; everything else is 404."""
    assets = _load_assets(folder)
    if _SDK not in assets:
        assets["index.html"] = assets[_SDK] = PlainTextResponse(_SDK_MISSING, status_code=503)
    routes = [Route(path, _always(assets["index.html"])) for path in PAGE_PATHS]
    routes += [Route(f"/assets/{name}", _always(asset)) for name, asset in assets.items()]
    routes.append(Route("/config.json", _always(JSONResponse(config.as_json()))))
    routes.append(Route("/healthz", _always(JSONResponse({"status": "ok"}))))
    return Starlette(routes=routes, middleware=[Middleware(_SecurityHeaders, policy=_content_policy(config))])


def _load_assets(folder: Path) -> dict[str, Response]:
    """Every servable file by name, read once: no request ever becomes a path on the disk."""
    return {
        path.name: Response(path.read_bytes(), media_type=_MEDIA_TYPES[path.suffix])
        for path in sorted(folder.iterdir())
        if path.suffix in _MEDIA_TYPES
    }


def _always(response: Response) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return response

    return endpoint


def _content_policy(config: HostConfig) -> str:
    edge = urlsplit(config.edge_url)
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' https:",
            f"connect-src 'self' {edge.scheme}://{edge.netloc}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


class _SecurityHeaders:
    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "strict-origin-when-cross-origin",
            "Cache-Control": "no-cache",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)
