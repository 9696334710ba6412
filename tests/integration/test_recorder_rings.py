"""Rings in the one transaction: of new events, claims, erasures."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from recorder.rows import properties
from tests.support.event_rings import at_least, projected_rings, right_rings, ring_id, stored_rings
from tests.support.recorder_world import NOW_MS, World, event
from wire import codec, events
from wire.userstate import UserState

pytestmark = pytest.mark.anyio

PAID = ring_id()
LARGE = {"property": "amount", "op": "gte", "value": 100}


async def keep(world: World, *rules: dict[str, Any]) -> None:
    """Before anything happened."""
    for rule in rules:
        await world.add_audience(rule)
    await world.settle_features()


async def rings_of(world: World, subject: str) -> dict[str, tuple[int, ...]]:
    return (await stored_rings(world)).get((world.org_id, subject), {})


async def check(world: World) -> None:
    """Everybody's rings are right, in Postgres and in Redis."""
    right = await right_rings(world)
    assert await stored_rings(world) == right
    assert await projected_rings(world) == right


async def test_a_ring_has_the_newest_moments_in_whatever_order_they_come(world: World) -> None:
    await keep(world, at_least(3))
    for offset in (5, 1, 9, 3, 7):
        await world.record(world.event("paid", "ada", at_ms=NOW_MS + offset))
    assert (await world.known_state("u:ada")).rings == {PAID: (NOW_MS + 9, NOW_MS + 7, NOW_MS + 5)}
    await check(world)


async def test_one_batch_with_more_than_a_ring_holds_leaves_the_newest(world: World) -> None:
    await keep(world, at_least(3))
    await world.record(*(world.event("paid", "ada", at_ms=NOW_MS + n) for n in range(10)))
    assert await rings_of(world, "u:ada") == {PAID: (NOW_MS + 9, NOW_MS + 8, NOW_MS + 7)}


async def test_events_of_one_millisecond_are_as_many_as_there_are(world: World) -> None:
    await keep(world, at_least(3))
    await world.record(world.event("paid", "ada"), world.event("paid", "ada"))
    await world.record(world.event("paid", "ada"), world.event("paid", "ada"))
    assert await rings_of(world, "u:ada") == {PAID: (NOW_MS,) * 3}


async def test_a_batch_sent_again_adds_no_moment(world: World) -> None:
    await keep(world, at_least(5))
    sent = [world.event("paid", "ada", at_ms=NOW_MS + n) for n in range(2)]
    for _ in range(3):
        await world.record(*sent)
    assert await rings_of(world, "u:ada") == {PAID: (NOW_MS + 1, NOW_MS)}


async def test_only_an_event_that_changes_a_ring_draws_a_new_rev(world: World) -> None:
    await keep(world, at_least(2))
    await world.record(*(world.event("paid", "ada", at_ms=NOW_MS + n) for n in (5, 6)))
    before = await world.known_state("u:ada")
    await world.record(world.event("paid", "ada", at_ms=NOW_MS + 5), world.event("page.viewed", "ada"))
    assert await world.known_state("u:ada") == before
    await world.record(world.event("paid", "ada", at_ms=NOW_MS + 7))
    after = await world.known_state("u:ada")
    assert after.rev > before.rev
    assert after.rings == {PAID: (NOW_MS + 7, NOW_MS + 6)}


async def test_conditions_on_properties_decide_which_events_belong_to_a_ring(world: World) -> None:
    await keep(world, at_least(5, "paid", LARGE), at_least(5))
    amounts: list[Any] = [99, 100, "100", None, 250.5]
    await world.record(
        *(
            world.event("paid", "ada", at_ms=NOW_MS + n, properties={"amount": amount})
            for n, amount in enumerate(amounts)
        ),
        world.event("paid", "ada", at_ms=NOW_MS + 5),
        world.event("refunded", "ada", at_ms=NOW_MS + 6, properties={"amount": 100}),
    )
    rings = await rings_of(world, "u:ada")
    assert rings[ring_id("paid", LARGE)] == (NOW_MS + 4, NOW_MS + 1)
    assert len(rings[PAID]) == 5
    await check(world)


async def test_any_event_means_their_own_acts_and_a_name_may_be_any_type(world: World) -> None:
    await keep(world, at_least(9, "*"), at_least(9, events.IMPRESSION), at_least(9, events.UPDATED))
    message_id = await world.add_message()
    await world.record(
        world.event("paid", "ada", at_ms=NOW_MS),
        world.identify("ada", at_ms=NOW_MS + 1),
        world.about(message_id, user="ada", at_ms=NOW_MS + 2),
        world.event(events.UPDATED, "ada", at_ms=NOW_MS + 3),
    )
    assert await rings_of(world, "u:ada") == {
        ring_id("*"): (NOW_MS + 1, NOW_MS),
        ring_id(events.IMPRESSION): (NOW_MS + 2,),
        ring_id(events.UPDATED): (NOW_MS + 3,),
    }
    await check(world)


async def test_an_update_sets_traits_and_claims_nobody(world: World) -> None:
    await world.record(world.event("page.viewed", visitor="x"))
    await world.record(world.event(events.UPDATED, "ada", visitor="x", properties={"plan": "pro"}))
    state = await world.known_state("u:ada")
    assert state.traits == {"plan": "pro"}
    assert state.aliases == frozenset()


async def test_a_ring_belongs_to_the_org_whose_audience_asks(world: World) -> None:
    other = await world.add_org(uuid4())
    await keep(world, at_least(2))
    await world.record(world.event("paid", "ada"), event(other, "paid", "ada"))
    assert set(await stored_rings(world)) == {(world.org_id, "u:ada")}
    await world.add_audience(at_least(1), other)
    await world.settle_features()
    await world.record(event(other, "paid", "ada", at_ms=NOW_MS + 1), world.event("paid", "ada", at_ms=NOW_MS + 1))
    await check(world)
    assert (await stored_rings(world))[other, "u:ada"] == {PAID: (NOW_MS + 1,)}


async def test_a_claim_brings_the_newest_of_both(world: World) -> None:
    await keep(world, at_least(3), at_least(1, "viewed"))
    await world.record(*(world.event("paid", visitor="x", at_ms=NOW_MS + n) for n in (1, 3, 5)))
    await world.record(*(world.event("paid", visitor="y", at_ms=NOW_MS + n) for n in (4, 6)))
    await world.record(world.event("viewed", visitor="y", at_ms=NOW_MS + 7))
    await world.record(world.event("paid", "ada", at_ms=NOW_MS + 2))
    await world.record(*(world.identify("ada", name, at_ms=NOW_MS + 9) for name in "xy"))
    assert await stored_rings(world) == {
        (world.org_id, "u:ada"): {PAID: (NOW_MS + 6, NOW_MS + 5, NOW_MS + 4), ring_id("viewed"): (NOW_MS + 7,)}
    }
    await check(world)


async def test_a_claimed_visitors_own_state_has_no_rings(world: World) -> None:
    await keep(world, at_least(3))
    await world.record(world.event("paid", visitor="x"), world.identify("ada", "x"))
    user = await world.known_state("u:ada")
    assert user.rings == {PAID: (NOW_MS,)}
    assert await world.state("a:x") == UserState(rev=user.rev)


async def test_what_a_visitor_did_before_the_claim_may_arrive_after_it(world: World) -> None:
    await keep(world, at_least(3))
    await world.record(world.identify("ada", "x", at_ms=NOW_MS))
    await world.record(world.event("paid", visitor="x", at_ms=NOW_MS - 5), world.event("paid", "ada", at_ms=NOW_MS))
    assert (await world.known_state("u:ada")).rings == {PAID: (NOW_MS, NOW_MS - 5)}


async def test_erasing_a_customer_leaves_no_ring_and_late_batches_bring_none_back(world: World) -> None:
    await keep(world, at_least(3))
    sent = [world.event("paid", visitor="x", at_ms=NOW_MS - 2), world.identify("ada", "x", at_ms=NOW_MS - 1)]
    await world.record(*sent, world.event("paid", "bob"))
    await world.ask_erase("u:ada")
    await world.record(*sent, world.event("paid", "ada", at_ms=NOW_MS - 3))
    assert await stored_rings(world) == {(world.org_id, "u:bob"): {PAID: (NOW_MS,)}}
    assert (await world.known_state("u:ada")).rings == {}
    await check(world)


async def test_what_was_done_after_an_erasure_makes_the_rings_anew(world: World) -> None:
    await keep(world, at_least(3), at_least(2, "paid", LARGE))
    for n in range(4):
        await world.record(world.event("paid", "ada", at_ms=NOW_MS + n, properties={"amount": 100 * n}))
    before = await world.known_state("u:ada")
    await world.ask_erase("u:ada", NOW_MS + 1)
    after = await world.known_state("u:ada")
    assert after.rev > before.rev
    assert after.rings == {
        PAID: (NOW_MS + 3, NOW_MS + 2),
        ring_id("paid", LARGE): (NOW_MS + 3, NOW_MS + 2),
    }
    await check(world)


async def test_properties_are_read_only_where_something_depends_on_them_and_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def noting(item: events.Event) -> dict[str, Any]:
        read.append(item.type)
        found: dict[str, Any] = codec.from_json(item.properties)
        return found

    monkeypatch.setattr(properties, "read_properties", noting)
    await keep(world, at_least(1, "viewed"), at_least(1, "*"), at_least(1, "paid", LARGE), at_least(2, "paid"))
    await keep(world, at_least(1, events.IDENTIFIED, {"property": "plan", "op": "eq", "value": "pro"}))
    await world.record(world.event("viewed", "ada"), world.event("paid", "ada"), world.identify("ada"))
    assert sorted(read) == ["paid", events.IDENTIFIED]


async def test_a_feature_that_another_version_wrote_stops_nobodys_events(world: World) -> None:
    await keep(world, at_least(2), at_least(2, "viewed"))
    await world.execute(text("""UPDATE event_features SET "where" = '[{"what": "is this"}]' WHERE event = 'viewed'"""))
    assert (await world.record(world.event("paid", "ada"), world.event("viewed", "ada"))).stored == 2
    assert await rings_of(world, "u:ada") == {PAID: (NOW_MS,)}
