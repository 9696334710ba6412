"""What several tests of one part of the product begin with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from store.connect import create_engine
from tests.support.admin_api import Api, admin_api
from tests.support.edges import RunningEdge, edge_on
from tests.support.publishing import Publisher
from tests.support.recorder_world import World, recorder_world


@pytest.fixture
async def postgres(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    """The admin API, as an org on the starter plan sees it."""
    async with admin_api(database_url) as api:
        yield api


@pytest.fixture
def soon_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The admin API gives up waiting for the recorder almost at once: for tests in which there is none."""
    monkeypatch.setattr("admin.awaiting._LONGEST_WAIT_S", 0.05)


@pytest.fixture
def world_redis(redis_db: str) -> str:
    """The Redis of `world`; a module whose tests stop or flush theirs puts `own_redis` here."""
    return redis_db


@pytest.fixture
async def world(database_url: str, world_redis: str) -> AsyncIterator[World]:
    """A recorder's parts, with one org."""
    async with recorder_world(database_url, world_redis) as made:
        await made.add_org()
        yield made


@pytest.fixture
async def org(redis: Redis) -> Publisher:
    """An org whose customers' states are known to be complete, with nothing published."""
    org = Publisher(redis)
    await org.mark_projected()
    return org


@pytest.fixture
async def edge(redis_db: str, tmp_path: Path) -> AsyncIterator[RunningEdge]:
    async with edge_on(redis_db, tmp_path) as edge:
        yield edge
