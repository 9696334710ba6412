"""What the other tests take for granted."""

import sys

import asyncpg
import pytest
from redis.asyncio import Redis

from inapp.embedded import EmbeddedRedis
from tests.support.processes import ProcessEndedError, Processes

COUNT_TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"


@pytest.mark.anyio
@pytest.mark.parametrize("_time", [1, 2])
async def test_every_test_gets_a_migrated_database_without_the_rows_of_others(database_url: str, _time: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval(COUNT_TABLES) > 1
        await connection.execute("CREATE TABLE of_this_test (n int)")
    finally:
        await connection.close()


@pytest.mark.anyio
@pytest.mark.parametrize("_time", [1, 2])
async def test_every_test_gets_an_empty_redis_database(redis: Redis, _time: int) -> None:
    assert await redis.dbsize() == 0
    await redis.set("key", "value")
    assert await redis.get("key") == b"value"


@pytest.mark.anyio
async def test_flushing_ones_own_redis_leaves_the_shared_one_alone(redis: Redis, own_redis: EmbeddedRedis) -> None:
    await redis.set("key", "value")
    async with Redis.from_url(own_redis.url) as own:
        await own.flushall()
    assert await redis.get("key") == b"value"


def test_waiting_for_a_process_that_ended_fails_at_once_with_its_output(processes: Processes) -> None:
    process = processes.start("-c", "print('why it ended'); raise SystemExit(3)", command=(sys.executable,))
    with pytest.raises(ProcessEndedError, match=r"(?s)ended with 3.*why it ended"):
        process.wait_ready("http://127.0.0.1:1", timeout=30)


def test_a_process_sees_only_the_variables_it_is_given(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INAPP_SECRET", "of the developer")
    script = "import os; print(os.environ.get('INAPP_SECRET'), os.environ['REDIS_URL'])"
    process = processes.start("-c", script, command=(sys.executable,), env={"REDIS_URL": "given"})
    assert process.wait() == 0
    assert process.output == "None given\n"
