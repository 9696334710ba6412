"""The blocking client against a real server."""

import pytest
import redis.exceptions

from service import connect
from service.connect import blocking_redis_client, redis_client

pytestmark = pytest.mark.anyio


async def test_a_blocking_read_longer_than_the_plain_timeout_ends_empty_not_in_an_error(
    redis_db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_SOCKET_TIMEOUT_S", 0.1)
    async with redis_client(redis_db) as plain:
        with pytest.raises(redis.exceptions.TimeoutError):
            await plain.xread({"changes": "0"}, block=400)
    async with blocking_redis_client(redis_db, 400) as blocking:
        assert not await blocking.xread({"changes": "0"}, block=400)


async def test_a_blocking_read_gives_bytes_as_stream_and_entries(redis_db: str) -> None:
    async with redis_client(redis_db) as writer, blocking_redis_client(redis_db, 1000) as reader:
        entry_id = await writer.xadd("changes", {"org": b"\xff"})
        assert await reader.xread({"changes": "0"}, block=1000) == [[b"changes", [(entry_id, {b"org": b"\xff"})]]]
