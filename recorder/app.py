"""The recorder as a process: its parts, its supervised tasks, its health."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn

import structlog
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from recorder import consume, wanted
from recorder.consume import Consumer
from recorder.inbox import Inbox
from recorder.ledger import Ledger
from recorder.project import Projector
from recorder.rebuild import Rebuilder
from recorder.wanted import Wanted
from service.connect import blocking_redis_client, redis_client, wait_until_ready
from service.health import CheckResult, Health, health_app
from service.logs import configure_logs
from service.serve import serve
from service.settings import Port, ProcessSettings
from service.supervise import Supervisor
from store.connect import create_engine
from wire import keys

log = structlog.get_logger("recorder")

NAME = "recorder"


class RecorderSettings(ProcessSettings):
    port: Port = 8703


def run(settings: RecorderSettings) -> NoReturn:
    configure_logs(NAME, settings.log_level)
    serve(make_app(settings), host=settings.host, port=settings.port, name=NAME)


def make_app(settings: RecorderSettings) -> FastAPI:
    health = Health()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, health):
            yield

    return health_app(NAME, health, lifespan=lifespan)


@asynccontextmanager
async def running(settings: RecorderSettings, health: Health) -> AsyncIterator[None]:
    """The recorder at work until the block ends, which waits for what has begun."""
    database_url = settings.database_url.get_secret_value()
    redis_url = settings.redis_url.get_secret_value()
    async with AsyncExitStack() as stack:
        engine = create_engine(database_url)
        stack.push_async_callback(engine.dispose)
        redis = await stack.enter_async_context(redis_client(redis_url))
        for_events = await stack.enter_async_context(blocking_redis_client(redis_url, consume.BLOCK_MS))
        for_wanted = await stack.enter_async_context(blocking_redis_client(redis_url, wanted.BLOCK_MS))
        parts = Parts(engine, redis)
        supervisor = await stack.enter_async_context(Supervisor())
        health.watch(supervisor)
