"""The workload in Redis, as the compiler and the recorder would have written it."""

from typing import Final, NamedTuple

from redis.asyncio import Redis

from bench.world.workload import Workload, customer, subject
from compiler import publish as publisher
from wire import keys
from wire.userstate import Marker

_AT_ONCE: Final = 1_000


class World(NamedTuple):
    """An org in a Redis database of its own, with the states of its first `customers` customers."""

    org: Workload
    customers: int
    redis_url: str


async def put(world: World) -> None:
    """Raises RuntimeError when a newer org stands there."""
    await publish_to(world.org, world.redis_url)
    async with Redis.from_url(world.redis_url) as redis:
        await project(world.org, redis, world.customers)


async def publish_to(org: Workload, redis_url: str) -> None:
    """The org alone. Raises RuntimeError when what stands is not older."""
    async with Redis.from_url(redis_url) as redis:
        published = await publisher.publish(redis, org.org_id, org.compiled())
    if published.outcome != "published":
        raise RuntimeError(f"{published.standing} is published already")


async def project(org: Workload, redis: Redis, count: int) -> None:
    """The states of the first `count` customers, and the word that there are no others."""
    for first in range(0, count, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, count))
        states = {keys.user(org.org_id, subject(number)): customer(org, number).encode() for number in numbers}
        await redis.mset(states)
    run_id = (await redis.info("server"))["run_id"]
    await redis.set(keys.user_states(org.org_id), Marker(run_id, org.now_ms).encode())
