from uuid import UUID

import pytest

from tests.support.recorder_world import NOW_MS, World
from wire import events, keys
from wire.userstate import Seen, UserState

pytestmark = pytest.mark.anyio


async def a_life(world: World, message_id: UUID) -> list[events.Event]:
    sent = [
        world.about(message_id, visitor="x", at_ms=NOW_MS - 9),
        world.identify("ada", "x", properties={"plan": "pro"}, at_ms=NOW_MS - 8),
        world.about(message_id, events.CLICKED, "ada", at_ms=NOW_MS - 7),
    ]
    await world.record(*sent)
    return sent


async def test_nothing_is_left_of_an_erased_customer(world: World) -> None:
    message_id, audience_id = await world.add_message(), await world.add_audience()
    await a_life(world, message_id)
    await world.ask_members(audience_id, add=["u:ada"])
    before = await world.known_state("u:ada")
    await world.ask_erase("u:ada")
    for table in ("events", "customers", "customer_aliases", "in_app_message_impressions", "message_user_state"):
        assert await world.count(table) == 0, table
    assert await world.count("audience_members") == 0
    for subject in ("u:ada", "a:x"):
        after = await world.known_state(subject)
        assert after == UserState(rev=after.rev)
        assert after.rev > before.rev
        assert 0 < await world.redis.ttl(keys.user(world.org_id, subject)) <= 86_400


async def test_late_batches_do_not_bring_an_erased_customer_back(world: World) -> None:
    message_id = await world.add_message()
    sent = await a_life(world, message_id)
    await world.ask_erase("u:ada")
    late = world.event("page.viewed", "ada", at_ms=NOW_MS)
    for _ in range(2):
        await world.record(*sent, late)
    assert await world.count("events") == 0
    assert await world.count("customers") == 0
    assert await world.count("customer_aliases") == 0
    lost = await world.rows("SELECT event_id, reason, count, body FROM rejected_events")
    assert sorted(lost) == sorted((item.id, "erased", 1, b"") for item in [*sent, late])
    state = await world.known_state("u:ada")
    assert state == UserState(rev=state.rev)


async def test_an_erased_customer_may_come_back_as_somebody_new(world: World) -> None:
    message_id = await world.add_message()
    await a_life(world, message_id)
    await world.ask_erase("u:ada")
    await world.record(world.identify("ada", "x", properties={"city": "Rome"}, at_ms=NOW_MS + 1))
    state = await world.known_state("u:ada")
    assert state == UserState(state.rev, {"city": "Rome"}, state.stamps, aliases=frozenset("x"))
    assert await world.redis.ttl(keys.user(world.org_id, "u:ada")) == -1


async def test_what_was_received_after_the_erasure_survives_even_if_recorded_before_it(world: World) -> None:
    message_id = await world.add_message()
    await a_life(world, message_id)
    after = [
        world.about(message_id, user="ada", at_ms=NOW_MS + 1),
        world.about(message_id, events.DISMISSED, "ada", at_ms=NOW_MS + 2),
        world.identify("ada", "y", properties={"city": "Rome"}, at_ms=NOW_MS + 3),
    ]
    await world.record(*after)
    await world.ask_erase("u:ada", NOW_MS)
    state = await world.known_state("u:ada")
    assert state.traits == {"city": "Rome"}
    assert state.seen == {str(message_id): Seen(1, 0, 1, (NOW_MS + 1,))}
    assert state.aliases == {"y"}
    assert set(await world.rows("SELECT id FROM events")) == {(item.id,) for item in after}
    again = await world.record(*after)
    assert (again.stored, again.duplicates, again.erased) == (0, 3, 0)


async def test_an_erasure_that_comes_twice_takes_nothing_of_what_came_since(world: World) -> None:
    message_id = await world.add_message()
    await a_life(world, message_id)
    await world.ask_erase("u:ada", NOW_MS)
    await world.record(world.identify("ada", "x", properties={"city": "Rome"}, at_ms=NOW_MS + 1))
    before = await world.dump()
    await world.ask_erase("u:ada", NOW_MS)
    assert await world.dump() == before


async def test_erasing_somebody_unknown_only_lays_a_tombstone(world: World) -> None:
    await world.ask_erase("u:nobody")
    assert await world.count("customers") == 0
    assert await world.rows("SELECT subject, erased_ms FROM erased_customers") == [("u:nobody", NOW_MS)]


async def test_a_visitor_erased_since_is_not_claimed_by_a_late_event(world: World) -> None:
    await a_life(world, await world.add_message())
    await world.ask_erase("u:ada")
    recorded = await world.record(world.identify("bob", "x", at_ms=NOW_MS - 1))
    assert (recorded.stored, recorded.claims) == (1, 0)


async def test_erasing_empties_what_was_kept_of_the_customers_refused_events(world: World) -> None:
    bad = [world.event("paid", user, properties=b'{"a": "\\u0000"}') for user in ("ada", "bob")]
    await world.record(*bad)
    await world.ask_erase("u:ada")
    kept = dict(await world.rows("SELECT event_id, body FROM rejected_events"))
    assert kept[bad[0].id] == b""
    assert events.EventBatch.decode(kept[bad[1].id]).events == (bad[1],)


async def test_statistics_outlive_the_customer(world: World) -> None:
    await a_life(world, await world.add_message())
    await world.ask_erase("u:ada")
    assert await world.rows("SELECT impressions, clicks FROM message_stats_hourly") == [(1, 1)]
