"""What audiences ask about events is adopted, gathered from the past, raised, lowered and dropped."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.exceptions import ConnectionError as RedisAwayError
from sqlalchemy import insert, text
from structlog.testing import capture_logs

from recorder.features import adopt, gather
from recorder.features import keep as features
from recorder.features.keep import CUSTOMERS_AT_ONCE as MOST
from recorder.features.keep import Features
from recorder.states.rebuild import Rebuilder
from store import tables
from tests.support.event_rings import at_least, projected_rings, right_rings, ring_id, stored_rings
from tests.support.polling import eventually_async
from tests.support.recorder_world import NOW_MS, World, at_work, event

pytestmark = pytest.mark.anyio

PAID = ring_id()
LARGE = {"property": "amount", "op": "gte", "value": 100}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(features, "CUSTOMERS_AT_ONCE", 2)
    yield


async def check(world: World) -> None:
    """Everybody's rings are right, in Postgres and in Redis."""
    right = await right_rings(world)
    assert await stored_rings(world) == right
    assert await projected_rings(world) == right


async def some_past(world: World, customers: int = 5) -> None:
    await world.record(
        *(
            world.event("paid", f"user{n}", at_ms=NOW_MS + place, properties={"amount": 60 * place})
            for n in range(customers)
            for place in range(n % 5)
        ),
        *(world.event("viewed", visitor=f"x{n}", at_ms=NOW_MS + n) for n in range(customers)),
    )


async def cursors(world: World) -> list[tuple[Any, ...]]:
    return await world.rows("SELECT after, done, total, ready FROM event_features ORDER BY id")


async def test_the_past_of_a_new_audience_is_gathered_and_then_it_is_ready(world: World) -> None:
    await some_past(world)
    audience_id = await world.add_audience({"all": [at_least(2, "paid", LARGE, within="7d"), at_least(1, "*")]})
    assert await world.preparing() == {audience_id}
    await world.publish()
    with capture_logs() as logs:
        await world.settle_features()
    assert await world.preparing() == set()
    assert await world.kept() == [("*", 1, 1), ("paid", 2, 2)]
    await check(world)
    assert await world.count("outbox") == 1
    [began] = [line for line in logs if line["event"] == "gathering_began"]
    [ended] = [line for line in logs if line["event"] == "gathering_ended"]
    assert (began["features"], began["customers"]) == (2, 9)
    assert (ended["features"], ended["customers"], ended["audiences_ready"]) == (2, 9, 1)


async def test_an_org_without_customers_is_ready_at_once(world: World) -> None:
    await world.add_audience(at_least(3))
    await world.features.look()
    await world.features.turn()
    assert await world.kept() == [("paid", 3, 3)]
    assert await world.preparing() == set()


async def test_rules_without_events_ask_for_nothing(world: World) -> None:
    await some_past(world)
    await world.add_audience({"trait": "plan", "op": "eq", "value": "free"})
    await world.add_audience({"event": "paid", "count": {"op": "gte", "value": 0}})
    await world.settle_features()
    assert await world.kept() == []
    assert await world.preparing() == set()


async def test_an_audience_waits_for_those_that_it_refers_to(world: World) -> None:
    await some_past(world)
    inner = await world.add_audience(at_least(1))
    outer = await world.add_audience({"not": {"audience": str(inner)}})
    assert await world.preparing() == {inner, outer}
    await world.settle_features()
    assert await world.preparing() == set()


async def test_gathering_goes_chunk_by_chunk_and_says_how_far_it_is(world: World, small_chunks: None) -> None:
    await some_past(world)
    await world.add_audience(at_least(2))
    world.features = remade(world)
    await world.features.look()
    assert await world.features.progress() == {"preparing": 1, "percent": 0}
    places = []
    for _ in range(5):
        await world.features.turn()
        places.append((await cursors(world))[0])
    assert places == [
        ("a:x1", 2, 9, 0),
        ("a:x3", 4, 9, 0),
        ("u:user1", 6, 9, 0),
        ("u:user3", 8, 9, 0),
        (None, 0, 0, 2),
    ]
    assert await world.features.progress() == {"preparing": 0, "percent": 100}
    await check(world)


def remade(world: World) -> Features:
    """As after a restart."""
    return Features(world.engine, world.database_url, world.ledger, world.projector)


async def test_many_features_are_gathered_in_several_passes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "FEATURES_AT_ONCE", 2)
    await some_past(world)
    for event_type in ("paid", "viewed", "*", "refunded", "done"):
        await world.add_audience(at_least(2, event_type))
    await world.features.look()
    places = []
    for _ in range(3):
        await world.features.turn()
        places.append(await world.features.progress())
    assert [place["preparing"] for place in places] == [3, 1, 0]
    await check(world)


async def test_a_restart_goes_on_in_the_middle_of_a_pass(world: World, small_chunks: None) -> None:
    await some_past(world)
    world.features = remade(world)
    await world.add_audience(at_least(2))
    await world.features.look()
    await world.features.turn()
    [(after, done, total, ready)] = await cursors(world)
    assert (after, done, total, ready) == ("a:x1", 2, 9, 0)
    world.features = remade(world)
    with capture_logs() as logs:
        await world.settle_features()
    assert [line["customers"] for line in logs if line["event"] == "gathering_ended"] == [9]
    assert not [line for line in logs if line["event"] == "gathering_began"]
    await check(world)


async def test_a_state_without_a_change_is_not_moved(world: World) -> None:
    await some_past(world)
    before = {user: (await world.known_state(user)).rev for user in ("u:user1", "a:x1")}
    await world.add_audience(at_least(2))
    await world.settle_features()
    assert (await world.known_state("u:user1")).rev > before["u:user1"]
    assert (await world.known_state("a:x1")).rev == before["a:x1"]


async def test_a_ring_that_was_put_there_by_hand_goes(world: World) -> None:
    await some_past(world)
    await world.execute(
        insert(tables.event_rings),
        org_id=world.org_id,
        subject="a:x1",
        feature_id=PAID,
        recent_ms=[NOW_MS],
    )
    await world.add_audience(at_least(2))
    await world.settle_features()
    await check(world)


async def test_more_moments_are_gathered_when_a_rule_asks_for_more(world: World, small_chunks: None) -> None:
    await world.record(*(world.event("paid", f"user{n}", at_ms=NOW_MS + place) for n in range(5) for place in range(5)))
    first = await world.add_audience(at_least(1))
    await world.settle_features()
    second = await world.add_audience(at_least(3))
    assert await world.preparing() == {second}
    world.features = remade(world)
    await world.features.look()
    assert await world.kept() == [("paid", 3, 1)]
    await world.features.turn()
    assert await world.preparing() == {second}
    await world.record(world.event("paid", "user0", at_ms=NOW_MS + 9), world.event("paid", "user4", at_ms=NOW_MS + 9))
    await world.settle_features()
    assert await world.kept() == [("paid", 3, 3)]
    assert await world.preparing() == set()
    await check(world)
    assert first


async def test_fewer_moments_are_kept_when_no_rule_asks_for_more(world: World) -> None:
    audience_id = await world.add_audience(at_least(3))
    await world.settle_features()
    await world.record(*(world.event("paid", "ada", at_ms=NOW_MS + n) for n in range(3)))
    await world.change_rule(audience_id, at_least(1))
    await world.publish()
    await world.settle_features()
    assert await world.kept() == [("paid", 1, 1)]
    assert await world.preparing() == set()
    await world.record(world.event("paid", "ada", at_ms=NOW_MS + 9))
    assert await stored_rings(world) == {(world.org_id, "u:ada"): {PAID: (NOW_MS + 9,)}}
    await world.change_rule(audience_id, at_least(3))
    assert await world.preparing() == {audience_id}
    await world.settle_features()
    assert await stored_rings(world) == {(world.org_id, "u:ada"): {PAID: (NOW_MS + 9, NOW_MS + 2, NOW_MS + 1)}}
    await check(world)


async def test_dropping_an_audience_drops_what_only_it_needed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopt, "_RINGS_AT_ONCE", 2)
    await some_past(world)
    stays, goes = [await world.add_audience(rule) for rule in (at_least(1), {"all": [at_least(1), at_least(9, "*")]})]
    await world.settle_features()
    assert await world.kept() == [("*", 9, 9), ("paid", 1, 1)]
    await world.delete_audience(goes)
    await world.publish()
    await world.settle_features()
    assert await world.kept() == [("paid", 1, 1)]
    assert {feature_id for rings in (await stored_rings(world)).values() for feature_id in rings} == {PAID}
    await world.delete_audience(stays)
    await world.publish()
    await world.settle_features()
    assert await world.count("event_features") == 0
    assert await stored_rings(world) == {}


async def test_what_is_published_still_needs_what_no_rule_asks_for_any_more(world: World) -> None:
    audience_id = await world.add_audience(at_least(2))
    await world.settle_features()
    await world.publish()
    await world.change_rule(audience_id, at_least(1, "viewed"))
    await world.settle_features()
    await world.record(world.event("paid", "ada"))
    assert (await world.known_state("u:ada")).rings == {PAID: (NOW_MS,)}
    await world.publish()
    await world.settle_features()
    assert await world.kept() == [("viewed", 1, 1)]


async def test_a_feature_that_comes_back_before_it_is_gone_is_gathered_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopt, "_RINGS_AT_ONCE", 2)
    await some_past(world)
    audience_id = await world.add_audience(at_least(3))
    await world.settle_features()
    await world.delete_audience(audience_id)
    await world.publish()
    await world.features.look()
    await world.features.turn()
    await world.record(*(world.event("paid", f"user{n}", at_ms=NOW_MS + 9) for n in range(5)))
    assert await world.count("event_rings") > 0
    again = await world.add_audience(at_least(3))
    assert await world.preparing() == {again}
    await world.settle_features()
    assert await world.kept() == [("paid", 3, 3)]
    await check(world)


async def test_past_the_bounds_the_rest_waits_and_the_log_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopt, "MOST_FEATURES", 2)
    first = [await world.add_audience(at_least(1, name)) for name in ("a", "b")]
    await world.settle_features()
    last = await world.add_audience(at_least(1, "c"))
    with capture_logs() as logs:
        await world.settle_features()
    assert await world.kept() == [("a", 1, 1), ("b", 1, 1)]
    assert await world.preparing() == {last}
    assert [line["count"] for line in logs if line["event"] == "features_refused"] == [1]
    await world.delete_audience(first[0])
    await world.publish()
    await world.settle_features()
    assert await world.kept() == [("b", 1, 1), ("c", 1, 1)]
    assert await world.preparing() == set()


async def test_an_unreadable_rule_stops_nothing_and_lets_nothing_go(world: World) -> None:
    bad = await world.add_audience(at_least(2))
    await world.settle_features()
    await world.change_rule(bad, {"what": "is this"})
    good = await world.add_audience(at_least(1, "viewed"))
    await world.settle_features()
    await world.publish()
    await world.settle_features()
    assert await world.kept() == [("paid", 2, 2), ("viewed", 1, 1)]
    assert good not in await world.preparing()


async def test_a_circle_of_audiences_stops_neither_the_org_nor_others(world: World) -> None:
    other = await world.add_org(uuid4())
    one = await world.add_audience()
    two = await world.add_audience({"any": [{"audience": str(one)}, at_least(1)]})
    await world.change_rule(one, {"any": [{"audience": str(two)}, at_least(1, "viewed")]})
    await world.add_audience(at_least(1, "c"), other)
    await world.settle_features()
    assert await world.preparing() == set()
    assert len(await world.kept()) == 3


async def test_features_that_another_version_wrote_stop_only_their_org(world: World) -> None:
    other = await world.add_org(uuid4())
    await world.add_audience(at_least(1))
    await world.features.look()
    await world.execute(text("""UPDATE event_features SET "where" = '[{"what": "is this"}]'"""))
    await world.add_audience(at_least(1, "c"), other)
    with capture_logs() as logs:
        for _ in range(3):
            await world.settle_features()
    assert await world.rows("SELECT ready FROM event_features WHERE org_id = :other", other=other) == [(1,)]
    assert [line["org_id"] for line in logs if line["event"] == "features_at_fault"] == [world.org_id]


async def test_orgs_take_turns(world: World, small_chunks: None) -> None:
    await some_past(world)
    small = await world.add_org(UUID(int=2**128 - 1))
    await world.record(event(small, "paid", "ada"))
    for org_id in (world.org_id, small):
        await world.add_audience(at_least(1), org_id)
    world.features = remade(world)
    await world.features.look()
    await world.features.turn()
    ready = dict(await world.rows("SELECT org_id, ready FROM event_features"))
    assert ready == {world.org_id: 0, small: 1}


async def test_without_redis_gathering_waits_and_nothing_is_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_past(world)
    audience_id = await world.add_audience(at_least(2))
    project = world.projector.project

    async def away(_touched: Any) -> None:
        raise RedisAwayError("away")

    monkeypatch.setattr(world.projector, "project", away)
    await world.features.look()
    assert not await world.features.turn()
    assert not await world.features.turn()
    assert await world.preparing() == {audience_id}
    assert await world.kept() == [("paid", 2, 0)]
    monkeypatch.setattr(world.projector, "project", project)
    await world.settle_features()
    assert await world.preparing() == set()
    await check(world)


async def test_two_recorders_at_once_come_to_the_same(world: World, small_chunks: None) -> None:
    await some_past(world, 12)
    await world.add_audience(at_least(3))
    recorders = [remade(world), remade(world)]

    async def settle(recorder: Features) -> None:
        await recorder.look()
        while await recorder.turn():
            pass

    await asyncio.gather(*map(settle, recorders))
    await world.settle_features()
    assert await world.preparing() == set()
    assert await world.kept() == [("paid", 3, 3)]
    await check(world)


async def test_a_recorder_that_is_behind_does_not_move_the_cursor_back(
    world: World, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_past(world)
    world.features = remade(world)
    await world.add_audience(at_least(2))
    await world.features.look()
    project = world.projector.project

    async def meanwhile(touched: Any) -> None:
        monkeypatch.setattr(world.projector, "project", project)
        other = remade(world)
        await other.look()
        for _ in range(3):
            await other.turn()
        await project(touched)

    monkeypatch.setattr(world.projector, "project", meanwhile)
    await world.features.turn()
    assert await cursors(world) == [("u:user1", 6, 9, 0)]


async def test_a_feature_adopted_during_a_pass_gets_one_of_its_own(world: World, small_chunks: None) -> None:
    await some_past(world)
    world.features = remade(world)
    await world.add_audience(at_least(2))
    await world.features.look()
    await world.features.turn()
    await world.add_audience(at_least(1, "viewed"))
    await world.features.look()
    await world.features.turn()
    assert sorted(place[:2] for place in await cursors(world) if place[0]) == [("a:x3", 4)]
    await world.settle_features()
    assert await world.kept() == [("paid", 2, 2), ("viewed", 1, 1)]
    await check(world)


async def test_a_chunk_of_a_pass_that_began_anew_meanwhile_counts_for_nothing(
    world: World, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_past(world)
    world.features = remade(world)
    audience_id = await world.add_audience(at_least(2))
    await world.features.look()
    project = world.projector.project

    async def meanwhile(touched: Any) -> None:
        monkeypatch.setattr(world.projector, "project", project)
        other = remade(world)
        await world.delete_audience(audience_id)
        await world.publish()
        await other.look()
        while await other.turn():
            pass
        assert await world.count("event_features") == 0
        await world.add_audience(at_least(2))
        await other.look()
        await project(touched)

    monkeypatch.setattr(world.projector, "project", meanwhile)
    await world.features.turn()
    assert [place[:2] for place in await cursors(world)] == [(None, 0)]
    await world.settle_features()
    await check(world)


async def test_a_flush_of_redis_loses_no_ring(world: World) -> None:
    await some_past(world)
    await world.add_audience(at_least(2))
    await world.settle_features()
    await world.redis.flushdb()
    rebuilder = Rebuilder(world.engine, world.redis, world.projector, lambda: NOW_MS)
    await rebuilder.look()
    while not rebuilder.complete:
        for running in list(rebuilder._running.values()):
            await rebuilder.advance(running)
    await check(world)


async def test_a_running_recorder_hears_of_new_audiences_and_of_what_is_published(world: World) -> None:
    await some_past(world)
    async with at_work(world.features):
        audience_id = await world.add_audience(at_least(2))
        await eventually_async(lambda: nobody_prepares(world))
        await check(world)
        await world.delete_audience(audience_id)
        await world.publish()
        await eventually_async(lambda: nothing_is_kept(world))


@pytest.mark.parametrize("ticks", range(5))
async def test_it_stops_when_told_also_while_it_is_being_woken(world: World, ticks: int) -> None:
    running = asyncio.create_task(world.features.run())
    await eventually_async(lambda: is_idle(world))
    world.features._wake.set()
    for _ in range(ticks):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=5)
    assert running.cancelled()


async def is_idle(world: World) -> bool:
    """Waits for somebody to wake it."""
    return bool(world.features._wake._waiters)


async def nobody_prepares(world: World) -> bool:
    return not await world.preparing() and await world.kept() != []


async def nothing_is_kept(world: World) -> bool:
    return await world.count("event_features") == 0


def test_chunks_get_smaller_when_they_take_long_and_grow_again() -> None:
    assert features._next_size(MOST, 0.2) == MOST // 2
    assert features._next_size(features._FEWEST_CUSTOMERS, 9) == features._FEWEST_CUSTOMERS
    assert features._next_size(2, 9) == 2
    assert features._next_size(MOST // 2, 0.01) == MOST
    assert features._next_size(MOST, 0.01) == MOST
    assert features._next_size(100, 0.07) == 100
