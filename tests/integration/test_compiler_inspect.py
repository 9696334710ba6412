from uuid import UUID

import pytest
from redis.asyncio import Redis

from compiler import inspect
from compiler.inspect import Inspector
from tests.support.publishing import Publisher, message
from wire import keys
from wire.bundle import EVERYONE, Version, sha_of

pytestmark = pytest.mark.anyio


async def bad_orgs(redis: Redis, number: int, *, content: str = "Hello") -> dict[UUID, Version]:
    """Published, each with a bundle of other bytes of the same length."""
    published = {}
    for _ in range(number):
        org = Publisher(redis)
        org.everyone(message(content))
        published[org.org_id] = (await org.publish()).version
        data = org.bundles[EVERYONE].encode()
        await redis.set(keys.bundle(org.org_id, sha_of(data)), data[:-1] + b"!")
    return published


async def rounds(inspector: Inspector, published: dict[UUID, Version], number: int) -> list[list[UUID]]:
    return [[damage.org_id for damage in await inspector.round(published)] for _ in range(number)]


async def test_each_round_goes_on_where_the_last_one_ended(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "_ROUND_ORGS", 2)
    published = await bad_orgs(redis, 5)
    a, b, c, d, e = sorted(published)
    assert await rounds(Inspector(redis), published, 3) == [[a, b], [c, d], [e, a]]


async def test_large_orgs_are_paid_for_with_rounds_left_out(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "_ROUND_BYTES", 1000)
    published = await bad_orgs(redis, 2, content="x" * 2500)
    a, b = sorted(published)
    assert await rounds(Inspector(redis), published, 5) == [[a], [], [b], [], []]


async def test_an_org_of_which_nothing_is_known_is_not_looked_at(redis: Redis) -> None:
    await bad_orgs(redis, 1)
    assert await Inspector(redis).round({}) == []
