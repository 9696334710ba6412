"""The admin app in this process, over a real database, with a clock that the test sets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Executable, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Receive, Scope, Send

from admin.app import AdminSettings, create_app
from admin.orgs.schemas import Plan
from admin.orgs.service import CreatedOrg, create_org
from store import tables

NOW_MS = 1_780_000_000_000
"""2026-05-28T20:26:40Z."""


@dataclass
class SetClock:
    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class Api:
    """An org's view of the API: paths are below `/api/v1/orgs/{orgId}`, a path from the root begins with `!`."""

    client: httpx.AsyncClient
    engine: AsyncEngine
    clock: SetClock
    org: CreatedOrg
    key: str = field(repr=False, default="")

    def using(self, key: str) -> "Api":
        return replace(self, key=key)

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        url = path[1:] if path.startswith("!") else f"/api/v1/orgs/{self.org.org_id}{path}"
        headers = {"X-API-Key": self.key} if self.key else {}
        given = {"json": body} if body is not None else {}
        return await self.client.request(method, url, headers=headers, **given, **options)

    async def data(self, method: str, path: str, body: Any = None, status: int | None = None) -> Any:
        """The `data` of a success."""
        answer = await self.call(method, path, body)
        assert answer.is_success, answer.text
        assert status in (None, answer.status_code)
        assert answer.json()["success"] is True
        return answer.json()["data"]

    async def error(self, method: str, path: str, body: Any = None, *, status: int) -> Any:
        """The `error` of a failure, without its request id."""
        answer = await self.call(method, path, body)
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert error.pop("requestId") == answer.headers["X-Request-Id"]
        return error

    async def problems(self, method: str, path: str, body: Any = None) -> set[tuple[str, str]]:
        """(pointer, code) of each problem of a payload."""
        error = await self.error(method, path, body, status=422)
        assert error["code"] == "invalid_payload"
        return {(detail["pointer"], detail["code"]) for detail in error["details"]}

    async def new_org(self, plan: Plan = "starter") -> "Api":
        async with self.engine.begin() as connection:
            org = await create_org(connection, "Other", plan, self.clock())
        return replace(self, org=org, key=org.secret_key)

    async def with_role(self, role: str) -> "Api":
        made = await self.data("POST", "/keys", {"kind": "sk", "role": role, "name": role})
        return self.using(made["key"])

    async def execute(self, statement: Executable) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(statement)

    async def rows(self, query: Executable) -> list[Any]:
        async with self.engine.begin() as connection:
            return list((await connection.execute(query)).all())

    async def outbox_length(self) -> int:
        return len(await self.rows(select(tables.outbox)))

    async def add_customer(self, subject: str, traits: dict[str, Any] | None = None) -> None:
        await self.execute(_customer(self.org.org_id, subject, traits or {}))


@asynccontextmanager
async def admin_api(database_url: str, plan: Plan = "starter") -> AsyncIterator[Api]:
    clock = SetClock()
    app = create_app(admin_settings(database_url), clock)
    async with serving(app) as (client, state):
        engine = state["runtime"].engine
        async with engine.begin() as connection:
            org = await create_org(connection, "Acme", plan, clock())
        yield Api(client, engine, clock, org, org.secret_key)


def admin_settings(database_url: str) -> AdminSettings:
    return AdminSettings.model_validate(
        {"DATABASE_URL": SecretStr(database_url), "REDIS_URL": SecretStr("redis://127.0.0.1:1")}
    )


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    async with app.router.lifespan_context(app) as state:
        transport = httpx.ASGITransport(_with_state(app, state))
        async with httpx.AsyncClient(transport=transport, base_url="http://admin.test") as client:
            yield client, state


def _with_state(app: FastAPI, state: Any) -> ASGIApp:
    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return asgi


def _customer(org_id: UUID, subject: str, traits: dict[str, Any]) -> Executable:
    moments = {"created_ms": NOW_MS, "last_seen_ms": NOW_MS}
    return insert(tables.customers).values(org_id=org_id, subject=subject, traits=traits, rev=1, **moments)
