"""The recorder as a process: its parts, its supervised tasks, its health."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn

from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from recorder.batches import consume
from recorder.batches.consume import Consumer
from recorder.features.keep import Features
from recorder.inbox.work import Inbox
from recorder.ledger import Ledger
from recorder.states import wanted
from recorder.states.project import Projector
from recorder.states.rebuild import Rebuilder
from recorder.states.wanted import Wanted
from service.connect import blocking_redis_client, redis_client, wait_until_ready
from service.garbage import collect_seldom
from service.health import CheckResult, Health, health_app
from service.serve import serve
from service.settings import Port, PostgresSettings, RedisSettings
from service.supervise import Supervisor, Work
from store.connect import create_engine
from wire import keys


class RecorderSettings(PostgresSettings, RedisSettings):
    port: Port = 8703


def run(settings: RecorderSettings) -> NoReturn:
    """Serves its health until it is told to stop. Logs must be configured."""
    collect_seldom()
    health = Health()
    app = health_app("recorder", health, work=running(settings, health))
    serve(app, host=settings.host, port=settings.port, name="recorder")


@asynccontextmanager
async def running(settings: RecorderSettings, health: Health) -> AsyncIterator[None]:
    """The recorder at work, until the block ends; what has begun by then is finished first."""
    database_url = settings.database_url.get_secret_value()
    redis_url = settings.redis_url.get_secret_value()
    async with AsyncExitStack() as stack:
        postgres = create_engine(database_url)
        stack.push_async_callback(postgres.dispose)
        redis = await stack.enter_async_context(redis_client(redis_url))
        for_events = await stack.enter_async_context(blocking_redis_client(redis_url, consume.BLOCK_MS))
        for_wanted = await stack.enter_async_context(blocking_redis_client(redis_url, wanted.BLOCK_MS))
        ledger, projector = Ledger(postgres), Projector(postgres, redis)
        rebuilder = Rebuilder(postgres, redis, projector)
        consumer = Consumer(redis, for_events, ledger, projector, consumer_name(settings.port))
        dependencies = Dependencies(postgres, redis)
        supervisor = await stack.enter_async_context(Supervisor())
        both = (dependencies.postgres, dependencies.redis)
        inbox = Inbox(postgres, database_url, ledger, projector)
        features = Features(postgres, database_url, ledger, projector)
        for name, work, needs in (
            ("rebuild", rebuilder.run, both),
            ("wanted", Wanted(redis, for_wanted, projector).run, both),
            ("inbox", inbox.run, (dependencies.postgres,)),
            ("features", features.run, (dependencies.postgres,)),
            ("consume", consumer.run, both),
        ):
            supervisor.start_retrying(name, once_there(needs, work))
        health.watch(supervisor)
        add_checks(health, dependencies, rebuilder, features)
        yield


def consumer_name(port: int) -> str:
    """The same after a restart, so that a recorder finds at once what it left unfinished."""
    return f"{socket.gethostname()}:{port or secrets.token_hex(4)}"


class Dependencies:
    """Postgres, migrated, and Redis. Of the tasks that wait for one, only one at a time says so in the log."""

    def __init__(self, postgres: AsyncEngine, redis: Redis) -> None:
        self._postgres = postgres
        self._redis = redis
        self._for_postgres = asyncio.Lock()
        self._for_redis = asyncio.Lock()

    async def postgres(self) -> None:
        """Waits for it."""
        async with self._for_postgres:
            await wait_until_ready("database", self.ask_postgres)

    async def redis(self) -> None:
        """Waits for it."""
        async with self._for_redis:
            await wait_until_ready("redis", self.ask_redis)

    async def ask_postgres(self) -> None:
        async with self._postgres.connect() as connection:
            await connection.execute(text("SELECT FROM orgs LIMIT 0"))

    async def ask_redis(self) -> None:
        await self._redis.ping()

    async def backlog(self) -> dict[str, int]:
        """Batches and inbox rows that wait."""
        batches = [await self._redis.xlen(keys.events(shard)) for shard in range(keys.EVENT_SHARDS)]
        async with self._postgres.connect() as connection:
            rows = (await connection.execute(text("SELECT count(*) FROM inbox"))).scalar_one()
        return {"batches": sum(batches), "inboxRows": rows}


def once_there(needs: Iterable[Work], work: Work) -> Work:
    """`work`, begun only when it has waited for all that it needs."""

    async def waiting_first() -> None:
        for need in needs:
            await need()
        await work()

    return waiting_first


def add_checks(health: Health, dependencies: Dependencies, rebuilder: Rebuilder, features: Features) -> None:
    async def database() -> CheckResult:
        await dependencies.ask_postgres()
        return CheckResult(True)

    async def redis() -> CheckResult:
        await dependencies.ask_redis()
        return CheckResult(True)

    async def backlog() -> CheckResult:
        return CheckResult(True, await dependencies.backlog())

    async def user_states() -> CheckResult:
        return CheckResult(rebuilder.complete, rebuilder.progress())

    async def gathering() -> CheckResult:
        return CheckResult(True, await features.progress())

    health.add("database", database)
    health.add("redis", redis)
    health.add("backlog", backlog)
    health.add("userStates", user_states)
    health.add("features", gathering)
