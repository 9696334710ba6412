"""An edge inside the test's own process, with its HTTP side called directly."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from edge.app import Edge, http_app, running
from edge.settings import EdgeSettings
from service.clock import NowMs
from service.health import Health
from tests.support.publishing import Publisher


@dataclass
class RunningEdge:
    parts: Edge
    http: httpx.AsyncClient

    async def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """As browsers do: text/plain, the key in the body."""
        return await self.http.post(f"/api/v1/{path}", json=body, headers={"Content-Type": "text/plain"})

    async def fetch(self, org: Publisher, **fields: Any) -> dict[str, Any]:
        answer = await self.post("in-app-messages/fetch", org.body(**fields))
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    async def fetched(self, org: Publisher, **fields: Any) -> list[str]:
        """Ids of the messages given."""
        return [message["id"] for message in (await self.fetch(org, **fields))["messages"]]

    async def track(self, org: Publisher, type_: str, **fields: Any) -> None:
        answer = await self.post("events", org.body(eventType=type_, **fields))
        assert answer.json()["data"] == {"accepted": 1, "rejected": []}, answer.text

    async def see(self, org: Publisher, message_id: str, **who: Any) -> None:
        """Records an impression."""
        answer = await self.post(f"in-app-messages/{message_id}/impressions", org.body(**who))
        assert answer.json()["data"] == {"accepted": 1, "rejected": []}, answer.text


@asynccontextmanager
async def edge_on(
    redis_url: str, data_dir: Path, *, now_ms: NowMs | None = None, **settings: Any
) -> AsyncIterator[RunningEdge]:
    chosen = EdgeSettings.model_validate({"redis_url": redis_url, "edge_dir": data_dir, **settings})
    health = Health()
    async with running(chosen, health, now_ms) as parts:
        app = http_app(health)

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": {"fetch": parts.fetch, "track": parts.track}}, receive, send)

        transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as http:
            yield RunningEdge(parts, http)
