from typing import Any
from uuid import UUID, uuid4

import pytest

from inapp.embedded import EmbeddedRedis
from recorder.states.project import CHUNK
from recorder.states.rebuild import Rebuilder
from tests.support.polling import eventually_async
from tests.support.recorder_world import NOW_MS, World, at_work, recorder_world
from wire import keys
from wire.userstate import Marker, UserState

pytestmark = pytest.mark.anyio


@pytest.fixture
def world_redis(own_redis: EmbeddedRedis) -> str:
    return own_redis.url


@pytest.fixture
def rebuilder(world: World) -> Rebuilder:
    return make(world)


def make(world: World) -> Rebuilder:
    return Rebuilder(world.engine, world.redis, world.projector, lambda: NOW_MS)


async def rebuild(rebuilder: Rebuilder) -> None:
    await rebuilder.look()
    for running in list(rebuilder._running.values()):
        while running.org_id in rebuilder._running:
            await rebuilder.advance(running)


async def marker(world: World, org_id: UUID | None = None) -> Marker | None:
    data: Any = await world.redis.get(keys.user_states(org_id or world.org_id))
    return None if data is None else Marker.decode(data)


async def run_id(world: World) -> str:
    return str((await world.redis.info("server"))["run_id"])


async def test_an_org_without_customers_gets_its_marker(world: World, rebuilder: Rebuilder) -> None:
    assert not rebuilder.complete
    await rebuild(rebuilder)
    assert await marker(world) == Marker(await run_id(world), NOW_MS)
    assert rebuilder.complete
    assert await world.redis.exists(keys.user_states_token(world.org_id)) == 0


async def test_after_a_flush_every_state_is_there_again_and_then_the_marker(world: World, rebuilder: Rebuilder) -> None:
    message_id = await world.add_message()
    users = [f"user{n}" for n in range(CHUNK + 20)]
    await world.record(*(world.identify(user, f"visitor of {user}", properties={"name": user}) for user in users))
    await world.record(*(world.about(message_id, user=user) for user in users[:10]))
    subjects = [*(f"u:{user}" for user in users), *(f"a:visitor of {user}" for user in users)]
    before = {subject: await world.state(subject) for subject in subjects}
    await world.redis.flushall()
    await rebuilder.look()
    [running] = rebuilder._running.values()
    await rebuilder.advance(running)
    assert await marker(world) is None
    assert rebuilder.progress() == {"orgsLeft": 1, "projected": CHUNK, "total": CHUNK + 20}
    await rebuild(rebuilder)
    assert await marker(world) is not None
    assert {subject: await world.state(subject) for subject in subjects} == before


async def test_whoever_was_here_last_is_projected_first(world: World, rebuilder: Rebuilder) -> None:
    users = [f"user{n:04}" for n in range(CHUNK * 2)]
    await world.record(*(world.event("page.viewed", user, at_ms=NOW_MS + n) for n, user in enumerate(users)))
    await world.redis.flushall()
    await rebuilder.look()
    [running] = rebuilder._running.values()
    await rebuilder.advance(running)
    there = [user for user in users if await world.state(f"u:{user}")]
    assert there == users[CHUNK:]


async def test_a_flush_in_the_middle_of_a_rebuild_starts_it_again(world: World, rebuilder: Rebuilder) -> None:
    await world.record(*(world.event("page.viewed", f"user{n}") for n in range(CHUNK + 1)))
    await world.redis.flushall()
    await rebuilder.look()
    [running] = rebuilder._running.values()
    await rebuilder.advance(running)
    await world.redis.flushall()
    while running.org_id in rebuilder._running:
        await rebuilder.advance(running)
    assert await marker(world) is None
    await rebuild(rebuilder)
    assert await marker(world) is not None
    assert len(await world.redis.keys(keys.user(world.org_id, "*"))) == CHUNK + 1


async def test_a_marker_of_another_server_run_counts_for_nothing(world: World, rebuilder: Rebuilder) -> None:
    await rebuild(rebuilder)
    await world.redis.set(keys.user_states(world.org_id), Marker("another", NOW_MS).encode())
    await world.record(world.identify("ada", properties={"plan": "free"}))
    await world.redis.delete(keys.user(world.org_id, "u:ada"))
    await rebuild(rebuilder)
    assert await marker(world) == Marker(await run_id(world), NOW_MS)
    assert (await world.known_state("u:ada")).traits == {"plan": "free"}


async def test_recorders_that_rebuild_at_once_do_not_keep_each_other_from_finishing(world: World) -> None:
    await world.record(*(world.event("page.viewed", f"user{n}") for n in range(CHUNK + 1)))
    await world.redis.flushall()
    one, other = make(world), make(world)
    await one.look()
    await other.look()
    for rebuilder in (one, other, one, other):
        await rebuilder.advance(rebuilder._running[world.org_id])
    await rebuild(one)
    assert await marker(world) is not None
    await rebuild(other)
    assert one.complete
    assert other.complete


async def test_a_small_org_does_not_wait_for_a_large_one(world: World, rebuilder: Rebuilder) -> None:
    await world.record(*(world.event("page.viewed", f"user{n}") for n in range(CHUNK + 1)))
    small = await world.add_org(uuid4())
    await rebuilder.look()
    for _ in range(3):
        for running in list(rebuilder._running.values()):
            await rebuilder.advance(running)
    assert await marker(world, small) is not None
    assert await marker(world) is None


async def test_a_state_that_outlived_its_customer_in_redis_is_emptied(world: World, rebuilder: Rebuilder) -> None:
    await world.record(world.identify("ada", properties={"plan": "free"}))
    outlived: Any = await world.redis.get(keys.user(world.org_id, "u:ada"))
    await world.ask_erase("u:ada")
    await world.redis.set(keys.user(world.org_id, "u:ada"), outlived)
    await rebuild(rebuilder)
    state = await world.known_state("u:ada")
    assert state == UserState(rev=state.rev)


async def test_flushes_restarts_and_new_orgs_are_noticed(
    world: World, own_redis: EmbeddedRedis, rebuilder: Rebuilder
) -> None:
    await world.record(world.identify("ada", properties={"plan": "free"}))
    async with at_work(rebuilder):
        await eventually_async(lambda: marker(world))
        await world.redis.flushall()
        await eventually_async(lambda: marker(world))
        assert (await world.known_state("u:ada")).traits == {"plan": "free"}
        new = await world.add_org(uuid4())
        await eventually_async(lambda: marker(world, new))
    await world.redis.flushall()
    own_redis.stop()
    own_redis.start()
    async with recorder_world(world.database_url, own_redis.url) as again:
        again.org_id = world.org_id
        await rebuild(make(again))
        assert await marker(again) == Marker(await run_id(again), NOW_MS)
        assert (await again.known_state("u:ada")).traits == {"plan": "free"}


async def test_all_visitors_of_a_user_are_there_again_after_a_flush(world: World, rebuilder: Rebuilder) -> None:
    message_id = await world.add_message()
    await world.record(*(world.identify("ada", name) for name in "xyz"), world.about(message_id, user="ada"))
    before = {name: await world.known_state(f"a:{name}") for name in "xyz"}
    await world.redis.flushall()
    await rebuild(rebuilder)
    assert {name: await world.known_state(f"a:{name}") for name in "xyz"} == before
