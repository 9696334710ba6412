"""The authoring API: built here, run by `inapp admin`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import Response

from admin.audiences.routes import router as audiences_router
from admin.audit.routes import router as audit_router
from admin.customers.routes import router as customers_router
from admin.errors import DATABASE_ERRORS
from admin.events.routes import router as events_router
from admin.explain.routes import router as explain_router
from admin.keys.routes import router as keys_router
from admin.messages.routes import router as messages_router
from admin.orgs.routes import router as orgs_router
from admin.runtime import Runtime, State
from admin.settings import AdminSettings
from admin.stats.routes import router as stats_router
from service.clock import NowMs, wall_now_ms
from service.connect import wait_until_ready
from service.health import CheckResult, Health, health_routes
from service.http import install_http, success
from service.openapi import described_app, error_responses
from service.serve import serve
from store.connect import create_engine
from store.tables import orgs

__all__ = ["AdminSettings", "create_app", "run"]

MAX_BODY_BYTES = 256 * 1024
_POOL_SIZE = 10
_DESCRIPTION = """Authoring of in-app messages: who sees them, when and where, and what came of it.

Send a secret key (`sk_…`) as `X-API-Key` or `Authorization: Bearer`. Successes are `{"success": true, "data": …}`,
failures `{"success": false, "error": …}` with every problem of a payload at once. PATCH is a JSON merge patch
(RFC 7396): objects are merged field by field, lists are replaced, and null puts a field back to its default.
"""


_RESOURCES = (
    orgs_router,
    stats_router,
    explain_router,
    messages_router,
    audiences_router,
    customers_router,
    events_router,
    keys_router,
    audit_router,
)
_REFUSALS = error_responses(
    {
        401: "The key is missing, wrong or revoked",
        403: "The key is public, or its role or the org's plan does not allow it",
        404: "Not there, or of another org",
    }
)


def run(settings: AdminSettings) -> NoReturn:
    """Serves until it is told to stop."""
    serve(create_app(settings), host=settings.host, port=settings.port, name="admin")


def create_app(settings: AdminSettings, now_ms: NowMs = wall_now_ms) -> FastAPI:
    """The app; its lifespan waits for the database."""
    health = Health()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        engine = create_engine(settings.database_url.get_secret_value(), pool_size=_POOL_SIZE)
        try:
            await wait_until_ready("database", lambda: _reach(engine))
            health.add("database", lambda: _reach(engine))
            yield State(runtime=Runtime(engine, now_ms))
        finally:
            await engine.dispose()

    app = described_app("In-app messages: authoring", _DESCRIPTION, lifespan)
    install_http(app, max_body_bytes=MAX_BODY_BYTES)
    app.exception_handlers.update(DATABASE_ERRORS)
    app.include_router(health_routes(health))
    for resource in _RESOURCES:
        app.include_router(resource, prefix="/api/v1/orgs/{orgId}", responses=_REFUSALS)
    app.add_api_route("/", _index, include_in_schema=False)
    return app


async def _index() -> Response:
    return success({"name": "in-app messages: authoring API", "docs": "/docs", "openapi": "/openapi.json"})


async def _reach(engine: AsyncEngine) -> CheckResult:
    """The database answers and has our tables."""
    async with engine.connect() as connection:
        await connection.execute(select(orgs.c.id).limit(1))
    return CheckResult(True)
