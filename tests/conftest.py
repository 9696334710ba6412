"""Fixtures. Postgres and Redis are real; they fail, not skip, when they do not start."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser
from redis.asyncio import Redis

from inapp.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.support.browser import find_chromium, launched
from tests.support.processes import Processes
from tests.support.servers import (
    PostgresDatabases,
    RedisDatabases,
    postgres_server,
    redis_server,
    temporary_folder,
)

settings.register_profile("normal", print_blob=True)
settings.register_profile("nightly", print_blob=True, max_examples=2_000)
settings.load_profile(os.environ.get("INAPP_TEST_PROFILE", "normal"))


def pytest_configure() -> None:
    # A run that is told to end ends like one stopped by Ctrl-C: with its servers stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell starts what runs in its background deaf to Ctrl-C, and so would be the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty folder in which embedded servers may keep their data; what still runs in it at the end is stopped."""
    with temporary_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The run's one Postgres server. Tests want `database_url`."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The run's one Redis server. Tests want `redis_db` or `redis`."""
    with redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_databases(postgres_url: str) -> Iterator[PostgresDatabases]:
    with PostgresDatabases(postgres_url).migrated() as databases:
        yield databases


@pytest.fixture(scope="session")
def redis_databases(redis_url: str) -> RedisDatabases:
    return RedisDatabases(redis_url)


@pytest.fixture
def database_url(postgres_databases: PostgresDatabases) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with postgres_databases.fresh() as url:
        yield url


@pytest.fixture
def redis_db(redis_databases: RedisDatabases) -> Iterator[str]:
    """The URL of an empty logical Redis database. Pub/sub and FLUSHALL reach the others: for those take `own_redis`."""
    with redis_databases.empty() as url:
        yield url


@pytest.fixture
async def redis(redis_db: str) -> AsyncIterator[Redis]:
    """A client of `redis_db` that speaks bytes."""
    async with Redis.from_url(redis_db, decode_responses=False) as client:
        yield client


@pytest.fixture
def own_postgres(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A started server, not migrated, that the test may stop, kill and start again."""
    with EmbeddedPostgres(data_dir / "own-postgres", durable=False) as server:
        yield server


@pytest.fixture
def own_redis(data_dir: Path) -> Iterator[EmbeddedRedis]:
    """A started server that the test may flush, stop, kill and start again; its data outlives a stop."""
    with EmbeddedRedis(data_dir / "own-redis") as server:
        yield server


@pytest.fixture
def processes(tmp_path: Path, data_dir: Path) -> Iterator[Processes]:
    """Starts our command line; stops everything before `data_dir` goes."""
    started = Processes(tmp_path)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is. Without one the test skips, or fails when INAPP_REQUIRE=all."""
    path = find_chromium()
    if path is None:
        reason = "no Chromium on this machine: install it, or name it in INAPP_CHROMIUM"
        if os.environ.get("INAPP_REQUIRE") == "all":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture
def chromium(chromium_path: str) -> Iterator[Browser]:
    """A running browser.

    One for each test: while Playwright's synchronous interface is open, its thread has a running event loop, and
    asynchronous tests cannot run.
    """
    with launched(chromium_path) as browser:
        yield browser
