"""The compiler as a process: its settings, its tasks, its health."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn
from uuid import UUID

import structlog
from pydantic import Field
from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from compiler.lease import Lease
from compiler.worker import Worker
from service.clock import wall_now_ms
from service.connect import redis_client
from service.garbage import collect_seldom
from service.health import CheckResult, Health, health_app
from service.serve import serve
from service.settings import Port, PostgresSettings, RedisSettings
from service.supervise import Supervisor
from store.connect import OUTBOX_CHANNEL, create_engine, listening
from store.tables import outbox

log = structlog.get_logger("compiler")

_LISTENER_CHECK_S = 5.0
_OLDEST_MS = 60_000
"""How old a change may be that is not published before the process says that it is not well."""


class CompilerSettings(PostgresSettings, RedisSettings):
    """`lease_ttl_seconds`: how soon another compiler takes over from one that died."""

    port: Port = 8702
    lease_ttl_seconds: float = Field(10.0, ge=1)


def run(settings: CompilerSettings) -> NoReturn:
    """Serves its health until it is told to stop. Logs must be configured."""
    collect_seldom()
    health = Health()
    app = health_app("compiler", health, work=running(settings, health))
    serve(app, host=settings.host, port=settings.port, name="compiler")


@asynccontextmanager
async def running(settings: CompilerSettings, health: Health) -> AsyncIterator[Worker]:
    """Everything at work. Nothing waits for Postgres or Redis to be there: each task tries again until they are."""
    database_url = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        postgres = _postgres(stack, database_url, pool_size=8)
        redis = await stack.enter_async_context(redis_client(settings.redis_url.get_secret_value()))
        lease = Lease(_postgres(stack, database_url, pool_size=1), _holder(), ttl_s=settings.lease_ttl_seconds)
        worker = Worker(postgres, redis, lease)
        lease.on_acquired = worker.wake
        stack.push_async_callback(lease.release)
        _add_checks(health, postgres, redis, lease)
        tasks = await stack.enter_async_context(Supervisor())
        health.watch(tasks)
        tasks.start_retrying("lease", lease.run)
        tasks.start_retrying("compile", worker.run)
        tasks.start_retrying("reconcile", worker.reconcile)
        tasks.start_retrying("listen", lambda: listen(database_url, worker.changed, worker.wake))
        await stack.enter_async_context(worker.schedule)
        yield worker


async def listen(database_url: str, changed: Callable[[UUID], None], wake: Callable[[], None]) -> None:
    """Until the connection is lost, and then raises. Only speed depends on it: the tick finds what it missed."""

    def notified(payload: str) -> None:
        try:
            changed(UUID(payload))
        except ValueError:
            wake()

    async with listening(database_url, OUTBOX_CHANNEL, notified) as connection:
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _connection: closed.set())
        log.info("listening_for_changes")
        wake()
        while not closed.is_set():
            await connection.execute("SELECT 1", timeout=_LISTENER_CHECK_S)
            await _wait(closed, _LISTENER_CHECK_S)
    raise ConnectionError("the connection that listens for changes was closed")


def _postgres(stack: AsyncExitStack, database_url: str, *, pool_size: int) -> AsyncEngine:
    postgres = create_engine(database_url, pool_size=pool_size)
    stack.push_async_callback(postgres.dispose)
    return postgres


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _add_checks(health: Health, postgres: AsyncEngine, redis: Redis, lease: Lease) -> None:
    async def database() -> CheckResult:
        async with postgres.connect() as connection:
            await connection.execute(select(1))
        return CheckResult(True)

    async def reachable() -> CheckResult:
        return CheckResult(bool(await redis.ping()))

    async def held() -> CheckResult:
        term = lease.term
        if term is not None:
            return CheckResult(True, {"state": "held", "epoch": term.epoch})
        return CheckResult(lease.standing_by, {"state": "standby" if lease.standing_by else "unknown"})

    async def waiting() -> CheckResult:
        async with postgres.connect() as connection:
            oldest_ms = (await connection.execute(select(func.min(outbox.c.created_ms)))).scalar_one()
        age_ms = 0 if oldest_ms is None else max(0, wall_now_ms() - oldest_ms)
        return CheckResult(age_ms < _OLDEST_MS or lease.term is None, {"oldestMs": age_ms})

    health.add("database", database)
    health.add("redis", reachable)
    health.add("lease", held)
    health.add("outbox", waiting)
