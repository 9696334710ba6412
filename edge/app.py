"""The edge as a process: its settings, what it is made of, its tasks, its health."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import structlog
from fastapi import FastAPI
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.types import Lifespan

from edge.bundles import Bundles
from edge.changes import BLOCK_MS, Changes
from edge.clock import CorrectedClock
from edge.cors import Cors
from edge.disk import BundleDisk
from edge.fastlane import Fastlane
from edge.fetch import Fetch
from edge.garbage import collect_rarely, collecting
from edge.lane import MAX_BATCH_BYTES, MAX_BODY_BYTES, Lane
from edge.left_over import adopting, left_over
from edge.overlay import Overlay
from edge.people import People
from edge.redis_server import RedisServer
from edge.routes import DESCRIPTION, sdk_routes
from edge.settings import EdgeSettings
from edge.ship import Shipper
from edge.spool import Committed, Spool
from edge.spool_file import SpooledBatch, SpoolError
from edge.track import Track
from edge.users import Users
from engine.steps import Steps, finish
from service.clock import NowMs
from service.connect import blocking_redis_client, redis_client, wait_until_ready
from service.health import CheckResult, Health, health_routes
from service.http import install_http
from service.logs import one_line
from service.metrics import flushing_tallies, on_collect
from service.openapi import described_app
from service.serve import serve
from service.supervise import Supervisor
from wire.codec import DecodeError
from wire.events import EventBatch

log = structlog.get_logger("edge")

_FIRST_POLL_S = 2.0
_LAST_FLUSH_S = 3.0
_MOST_REASONS = 20


def run(settings: EdgeSettings, on_listening: Callable[[], None] | None = None) -> NoReturn:
    """Serves until it is told to stop. Logs must be configured. `on_listening`: see `serve`."""
    app = create_app(settings)
    collect_rarely()
    serve(
        app,
        host=settings.host,
        port=settings.port,
        name="edge",
        protocol=Fastlane,
        on_listening=on_listening,
    )


def create_app(settings: EdgeSettings, now_ms: NowMs | None = None) -> FastAPI:
    """`now_ms` instead of the corrected clock."""
    health = Health()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with running(settings, health, now_ms) as edge:
            stop_counting = on_collect(edge.lane.tally)
            try:
                yield {"fetch": edge.fetch, "track": edge.track, "lane": edge.lane}
            finally:
                stop_counting()

    return http_app(health, lifespan)


def http_app(health: Health, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """The routes; `lifespan` yields the `fetch` and `track` that stand behind them."""
    app = described_app("In-app messages: edge", DESCRIPTION, lifespan)
    install_http(
        app,
        max_body_bytes=MAX_BODY_BYTES,
        body_limits={"/events/batch": MAX_BATCH_BYTES},
        strict_json=False,
        quiet=True,
    )
    app.add_middleware(Cors)
    app.include_router(health_routes(health))
    app.include_router(sdk_routes())
    return app


@dataclass(frozen=True, slots=True)
class Edge:
    """The parts of a running edge."""

    bundles: Bundles
    users: Users
    overlay: Overlay
    spool: Spool
    shipper: Shipper
    changes: Changes
    fetch: Fetch
    track: Track
    lane: Lane


@asynccontextmanager
async def running(settings: EdgeSettings, health: Health, now_ms: NowMs | None = None) -> AsyncIterator[Edge]:
    """Everything at work: from disk at once, with Redis as soon as it is there. Raises SpoolError.

    `now_ms` instead of the corrected clock.
    """
    url = settings.redis_url.get_secret_value()
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_client(url))
        blocking = await stack.enter_async_context(blocking_redis_client(url, BLOCK_MS))
        edge = _assemble(settings, redis, blocking, now_ms)
        await edge.bundles.load_stored()
        stack.push_async_callback(edge.spool.close)
        _resume(edge, await edge.spool.open())
        stack.push_async_callback(_flush, edge)
        _add_checks(health, redis, edge)
        await _poll_first(edge.changes)
        stack.callback(on_collect(edge.shipper.count_age))
        stack.callback(on_collect(edge.users.count_size))
        tasks = await stack.enter_async_context(Supervisor())
        health.watch(tasks)
        tasks.start("spool", lambda: _until_broken(edge.spool))
        tasks.start_retrying("ship", edge.shipper.run)
        tasks.start_retrying("tail_changes", edge.changes.tail)
        tasks.start_retrying("poll_revisions", edge.changes.poll)
        tasks.start_retrying("preload_bundles", edge.bundles.preload)
        tasks.start_retrying("save_bundles", edge.bundles.save_changes)
        tasks.start("collect_garbage", collecting)
        for folder in left_over(settings.edge_dir, settings.workers):
            tasks.start_retrying(f"adopt_{folder.name}", partial(adopting, edge.spool, folder))
        if settings.workers > 1:
            tasks.start("flush_tallies", flushing_tallies)
        yield edge


def _assemble(settings: EdgeSettings, redis: Redis, blocking: Redis, given_now_ms: NowMs | None) -> Edge:
    clock = CorrectedClock()
    now_ms = given_now_ms or clock.now_ms
    server = RedisServer()
    users = Users(redis, server, settings.user_cache_bytes)
    overlay = Overlay(on_change=users.change)

    def on_commit(batch: Committed) -> Steps[None]:
        yield from overlay.adding(batch.number, batch.events)
        shipper.offer(batch.stored)

    spool = Spool(settings.edge_dir, settings.spool_max_bytes, on_commit)
    shipper = Shipper(redis, spool, overlay, users, now_ms)
    bundles = Bundles(redis, BundleDisk(settings.edge_dir / "bundles"), users.forget)
    changes = Changes(redis, blocking, server, clock, bundles, users, shipper.check_soon)
    fetch, track = Fetch(bundles, People(users, overlay), now_ms), Track(bundles, spool, now_ms)
    return Edge(bundles, users, overlay, spool, shipper, changes, fetch, track, Lane(fetch, track, now_ms))


def _resume(edge: Edge, stored: list[SpooledBatch]) -> None:
    """What was acknowledged before this start is shipped and laid over states, as if it had just come."""
    edge.shipper.begin_with(stored)
    for spooled in stored:
        try:
            finish(edge.overlay.adding(spooled.number, EventBatch.decode(spooled.body).events))
        except DecodeError as error:
            log.error("spooled_batch_unreadable", number=spooled.number, reason=one_line(error))


async def _poll_first(changes: Changes) -> None:
    """With Redis there, nothing is answered by an uncorrected clock."""
    try:
        async with asyncio.timeout(_FIRST_POLL_S):
            await wait_until_ready("redis", changes.poll_once)
    except TimeoutError:
        log.warning("started_without_redis", retry="in the background")


async def _until_broken(spool: Spool) -> None:
    await asyncio.shield(spool.broken)


async def _flush(edge: Edge) -> None:
    """At the end: what does not get out in time stays on disk."""
    try:
        async with asyncio.timeout(_LAST_FLUSH_S):
            await edge.bundles.idle()
            await edge.bundles.save_now()
            await edge.shipper.flush()
    except (RedisError, OSError, TimeoutError, SpoolError) as error:
        log.warning("not_flushed", reason=one_line(error), spooled_bytes=edge.spool.bytes)


def _add_checks(health: Health, redis: Redis, edge: Edge) -> None:
    """An edge that can serve is ready: without Redis it does so from what it has."""

    async def check_redis() -> CheckResult:
        try:
            await redis.ping()
        except (RedisError, OSError) as error:
            return CheckResult(bool(edge.bundles.org_ids()), {"reachable": False, "error": type(error).__name__})
        return CheckResult(True, {"reachable": True})

    async def check_bundles() -> CheckResult:
        orgs, polled_at_s = len(edge.bundles.org_ids()), edge.changes.polled_at_s
        age_s = None if polled_at_s is None else round(time.monotonic() - polled_at_s, 1)
        refused = {str(org_id): reason for org_id, reason in list(edge.bundles.problems.items())[:_MOST_REASONS]}
        ok = bool(orgs) or polled_at_s is not None
        return CheckResult(ok, {"orgs": orgs, "secondsSincePoll": age_s, "refused": refused})

    async def check_spool() -> CheckResult:
        detail = {"bytes": edge.spool.bytes, "maxBytes": edge.spool.max_bytes}
        try:
            await edge.spool.check_writable()
        except SpoolError as error:
            return CheckResult(False, {**detail, "error": str(error)})
        return CheckResult(True, detail)

    health.add("redis", check_redis)
    health.add("bundles", check_bundles)
    health.add("spool", check_spool)
