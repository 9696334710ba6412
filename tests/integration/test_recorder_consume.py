import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from inapp.embedded import EmbeddedRedis
from recorder.batches import consume
from recorder.batches.consume import create_groups
from recorder.batches.entries import Entry
from tests.support.polling import eventually_async
from tests.support.recorder_world import NOW_MS, World, at_work, recorder_world
from wire import events, keys
from wire.events import EventBatch

pytestmark = pytest.mark.anyio


@pytest.fixture
def world_redis(own_redis: EmbeddedRedis) -> str:
    return own_redis.url


async def marks(world: World, spool: UUID) -> set[int]:
    return {int(mark) for mark in await world.redis.smembers(keys.committed(spool))}


async def waiting(world: World) -> int:
    return sum([await world.redis.xlen(keys.events(shard)) for shard in range(keys.EVENT_SHARDS)])


async def pending(world: World) -> int:
    groups = [await world.redis.xpending(keys.events(n), keys.RECORDER_GROUP) for n in range(keys.EVENT_SHARDS)]
    return sum(group["pending"] for group in groups)


def marked(world: World, spool: UUID, numbers: set[int]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return await marks(world, spool) == numbers and await waiting(world) == 0

    return check


async def test_batches_are_stored_projected_marked_and_taken_out_of_the_stream(world: World) -> None:
    spools = [uuid4() for _ in range(6)]
    async with at_work(world.consumer()):
        for number in range(5):
            for spool in spools:
                await world.ship(EventBatch(spool, number, (world.identify(f"user{number}"),)))
        for spool in spools:
            await eventually_async(marked(world, spool, set(range(5))))
    assert await world.count("events") == 30
    assert await pending(world) == 0
    assert await world.state("u:user4")


async def test_a_state_is_projected_before_its_batch_is_marked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = uuid4()
    seen: list[tuple[set[int], int]] = []
    project = world.projector.project

    async def noting(touched: Any) -> None:
        seen.append((await marks(world, spool), await world.count("events")))
        await project(touched)

    monkeypatch.setattr(world.projector, "project", noting)
    await world.ship(EventBatch(spool, 1, (world.identify("ada"),)))
    async with at_work(world.consumer()):
        await eventually_async(marked(world, spool, {1}))
    assert seen == [(set(), 1)]


async def test_a_flush_between_and_during_reads_brings_the_groups_back(world: World) -> None:
    spool = uuid4()
    async with at_work(world.consumer()):
        for number in range(4):
            await world.ship(EventBatch(spool, number, (world.event("paid", "ada"),)))
            await eventually_async(marked(world, spool, {number}))
            await world.redis.flushall()
            await asyncio.sleep(0.05 * number)
    assert await world.count("events") == 4


async def test_a_batch_that_cannot_be_decoded_is_declared_lost_once_and_blocks_nothing(world: World) -> None:
    spool = uuid4()
    good = EventBatch(spool, 2, (world.event("paid", "ada"),))
    bad = EventBatch(spool, 1, (world.event("paid", "ada"), world.event("paid", "bob")))
    async with at_work(world.consumer()):
        for _ in range(3):
            await world.ship(bad, bad.encode()[:-3])
            await world.ship(good)
            await eventually_async(marked(world, spool, {1, 2}))
            await world.redis.delete(keys.committed(spool))
    assert await world.count("events") == 1
    lost = await world.rows("SELECT org_id, reason, count, body FROM rejected_events")
    assert lost == [(None, "undecodable_batch", 2, bad.encode()[:-3])]


async def test_an_entry_that_names_no_batch_is_declared_lost_and_goes(world: World) -> None:
    for fields in ({"what": "is this"}, {"spool": b"short", "number": 1, "count": "x", "body": b""}):
        await world.redis.xadd(keys.events(0), fields)  # type: ignore[arg-type]
    async with at_work(world.consumer()):
        await eventually_async(lambda: nothing_waits(world))
    assert await world.rows("SELECT reason, count FROM rejected_events") == [("undecodable_batch", 1)] * 2


async def nothing_waits(world: World) -> bool:
    return await waiting(world) == 0


async def test_what_a_recorder_left_unfinished_it_takes_up_when_it_starts_again(world: World) -> None:
    spool = uuid4()
    await create_groups(world.redis)
    for number in range(3):
        await world.ship(EventBatch(spool, number, (world.event("paid", "ada"),)))
    stream = keys.events(keys.event_shard(spool))
    await world.redis.xreadgroup(keys.RECORDER_GROUP, "one", {stream: ">"}, count=2)
    async with at_work(world.consumer("one")):
        await eventually_async(marked(world, spool, {0, 1, 2}))
    assert await world.count("events") == 3


async def test_what_a_dead_recorder_left_unfinished_another_takes_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume, "ABANDONED_MS", 50)
    monkeypatch.setattr(consume, "_LOOK_FOR_ABANDONED_S", 0.05)
    monkeypatch.setattr(consume, "BLOCK_MS", 20)
    spool = uuid4()
    await create_groups(world.redis)
    await world.ship(EventBatch(spool, 7, (world.event("paid", "ada"),)))
    await world.redis.xreadgroup(keys.RECORDER_GROUP, "dead", {keys.events(keys.event_shard(spool)): ">"})
    async with at_work(world.consumer("alive")):
        await eventually_async(marked(world, spool, {7}))
    assert await pending(world) == 0


async def test_an_entry_that_was_deleted_while_pending_is_let_go(world: World) -> None:
    spool = uuid4()
    await create_groups(world.redis)
    await world.ship(EventBatch(spool, 7, (world.event("paid", "ada"),)))
    stream = keys.events(keys.event_shard(spool))
    replies: Any = await world.redis.xreadgroup(keys.RECORDER_GROUP, "one", {stream: ">"})
    [(_, [(id_, _)])] = replies
    await world.redis.xdel(stream, id_)
    async with at_work(world.consumer("one")):
        await eventually_async(lambda: nothing_pending(world))
    assert await world.count("rejected_events") == 0


async def nothing_pending(world: World) -> bool:
    return await pending(world) == 0


async def test_two_recorders_share_the_streams_and_the_totals_are_exact(world: World) -> None:
    message_id = await world.add_message()
    spools = [uuid4() for _ in range(3)]
    sent = [
        EventBatch(
            spool,
            number,
            tuple(world.about(message_id, user=f"user{random.randrange(5)}", at_ms=NOW_MS + number) for _ in range(8)),
        )
        for spool in spools
        for number in range(20)
    ]
    deliveries = sent * 2
    random.shuffle(deliveries)
    async with (
        recorder_world(world.database_url, world.redis_url) as second,
        at_work(world.consumer("one"), second.consumer("two")),
    ):
        for delivery in deliveries:
            await world.ship(delivery)
        for spool in spools:
            await eventually_async(marked(world, spool, set(range(20))))
    assert await world.count("events") == 480
    assert await world.rows("SELECT sum(impressions) FROM message_stats_hourly") == [(480,)]
    for subject, impressions in await world.rows("SELECT subject, impressions FROM message_user_state"):
        assert (await world.known_state(subject)).seen[str(message_id)].impressions == impressions


@pytest.mark.parametrize("step", ["record", "project"])
async def test_a_recorder_that_is_told_to_stop_finishes_the_batch_in_hand(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    spool = uuid4()
    begun, go_on = asyncio.Event(), asyncio.Event()
    does: Any = world.ledger if step == "record" else world.projector
    do = getattr(does, step)

    async def slowly(what: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await do(what)

    monkeypatch.setattr(does, step, slowly)
    await world.ship(EventBatch(spool, 1, (world.identify("ada"),)))
    task = asyncio.create_task(world.consumer().run())
    await asyncio.wait_for(begun.wait(), 10)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0.05)
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await marks(world, spool) == {1}
    assert await pending(world) == 0
    assert await world.state("u:ada")


async def test_the_next_batch_is_stored_while_the_last_is_projected(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = uuid4()
    go_on = asyncio.Event()
    project = world.projector.project

    async def slowly(touched: Any) -> None:
        await go_on.wait()
        await project(touched)

    monkeypatch.setattr(world.projector, "project", slowly)
    async with at_work(world.consumer()):
        for number in range(2):
            await world.ship(EventBatch(spool, number, (world.identify(f"user{number}"),)))
            await eventually_async(partial(has_stored, world, number + 1))
        assert await marks(world, spool) == set()
        go_on.set()
        await eventually_async(marked(world, spool, {0, 1}))
    assert await world.state("u:user0")
    assert await world.state("u:user1")


async def has_stored(world: World, count: int) -> bool:
    return await world.count("events") == count


async def test_what_was_read_ahead_by_a_recorder_that_stops_is_taken_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = uuid4()
    begun, go_on = asyncio.Event(), asyncio.Event()
    record = world.ledger.record

    async def slowly(recorded: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await record(recorded)

    monkeypatch.setattr(world.ledger, "record", slowly)
    await world.ship(EventBatch(spool, 1, (world.identify("ada"),)))
    task = asyncio.create_task(world.consumer().run())
    await asyncio.wait_for(begun.wait(), 10)
    await world.ship(EventBatch(spool, 2, (world.identify("bob"),)))
    await eventually_async(partial(has_read, world, 2))
    task.cancel()
    await asyncio.sleep(0.05)
    go_on.set()
    await asyncio.wait([task])
    assert await marks(world, spool) == {1}
    async with at_work(world.consumer()):
        await eventually_async(marked(world, spool, {1, 2}))
    assert await world.count("events") == 2


async def has_read(world: World, entries: int) -> bool:
    return await pending(world) == entries


async def test_what_could_not_be_projected_is_taken_up_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = uuid4()

    async def failing(_touched: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(world.projector, "project", failing)
        await world.ship(EventBatch(spool, 1, (world.identify("ada"),)))
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(world.consumer().run(), 10)
    assert await world.count("events") == 1
    assert await marks(world, spool) == set()
    async with at_work(world.consumer()):
        await eventually_async(marked(world, spool, {1}))
    assert await world.state("u:ada")


async def test_batches_of_one_spool_are_applied_in_their_order(world: World) -> None:
    spool = uuid4()
    for number in range(30):
        claim = world.identify(f"user{number}", "x", at_ms=NOW_MS)
        await world.ship(EventBatch(spool, number, (claim,)))
    async with at_work(world.consumer()):
        await eventually_async(marked(world, spool, set(range(30))))
    assert await world.rows("SELECT subject FROM customer_aliases") == [("u:user0",)]


def test_large_batches_stay_whole_and_small_ones_share_a_transaction() -> None:
    sizes = [4500, 400, 200, 7000, 1, 1]
    one = events.Event(uuid4().bytes, uuid4(), "paid", "ada", None, 0, 0)
    entries = [Entry(b"", b"", None, events=(one,) * size) for size in sizes]
    parts = [[len(entry.events) for entry in part] for part in consume._parts(entries)]
    assert parts == [[4500, 400], [200], [7000], [1, 1]]
