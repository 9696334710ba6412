import asyncio
from uuid import uuid4

import pytest

from tests.support.recorder_world import NOW_MS, World, event
from wire import events
from wire.userstate import MOST_ALIASES, Seen, UserState

pytestmark = pytest.mark.anyio


async def test_a_claim_moves_all_that_the_visitor_saw_and_did(world: World) -> None:
    message_id, audience_id = await world.add_message(), await world.add_audience()
    await world.record(
        world.identify(None, "x", properties={"plan": "free", "city": "Rome"}, at_ms=NOW_MS - 50),
        world.about(message_id, events.IMPRESSION, visitor="x", at_ms=NOW_MS - 40),
        world.about(message_id, events.CLICKED, visitor="x", at_ms=NOW_MS - 40),
        world.identify("ada", properties={"plan": "pro"}, at_ms=NOW_MS - 30),
        world.about(message_id, events.IMPRESSION, "ada", at_ms=NOW_MS - 20),
    )
    await world.ask_members(audience_id, add=["a:x"])
    recorded = await world.record(world.identify("ada", "x"))
    assert recorded.claims == 1
    state = await world.known_state("u:ada")
    assert state.traits == {"plan": "pro", "city": "Rome"}
    assert state.seen == {str(message_id): Seen(2, 1, 0, (NOW_MS - 20, NOW_MS - 40))}
    assert state.static_audiences == {str(audience_id)}
    assert state.aliases == {"x"}
    for table in ("events", "in_app_message_impressions", "message_user_state", "audience_members", "customers"):
        assert await world.rows(f"SELECT DISTINCT subject FROM {table}") == [("u:ada",)], table
    assert await world.rows("SELECT created_ms FROM customers") == [(NOW_MS - 50,)]
    aliases = await world.rows("SELECT anonymous_id, subject, claimed_ms FROM customer_aliases")
    assert aliases == [("x", "u:ada", NOW_MS)]


async def test_a_claimed_visitor_keeps_only_what_its_user_has_seen(world: World) -> None:
    message_id = await world.add_message()
    await world.record(world.about(message_id, visitor="x"), world.identify("ada", "x", properties={"plan": "pro"}))
    user = await world.known_state("u:ada")
    assert await world.state("a:x") == UserState(rev=user.rev, seen=user.seen)
    await world.record(world.about(message_id, events.DISMISSED, "ada"))
    assert (await world.known_state("a:x")).seen == {str(message_id): Seen(1, 0, 1, (NOW_MS,))}


async def test_what_a_visitor_did_before_the_claim_may_arrive_after_it(world: World) -> None:
    message_id = await world.add_message()
    await world.record(world.identify("ada", "x", at_ms=NOW_MS))
    await world.record(
        world.about(message_id, visitor="x", at_ms=NOW_MS - 10),
        world.identify(None, "x", properties={"plan": "free"}, at_ms=NOW_MS - 10),
    )
    state = await world.known_state("u:ada")
    assert state.traits == {"plan": "free"}
    assert state.seen == {str(message_id): Seen(1, 0, 0, (NOW_MS - 10,))}
    assert await world.rows("SELECT subject FROM customers") == [("u:ada",)]


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
async def test_claim_and_events_end_the_same_in_either_order_of_arrival(
    world: World, split: bool, backwards: bool
) -> None:
    message_id = await world.add_message()
    sent = [
        world.about(message_id, visitor="x", at_ms=NOW_MS - 3),
        world.identify("ada", "x", properties={"plan": "pro"}, at_ms=NOW_MS - 2),
        world.about(message_id, visitor="x", at_ms=NOW_MS - 1),
    ]
    if backwards:
        sent.reverse()
    for part in ([item] for item in sent) if split else [sent]:
        await world.record(*part)
    state = await world.known_state("u:ada")
    assert state.seen == {str(message_id): Seen(2, 0, 0, (NOW_MS - 1, NOW_MS - 3))}
    assert state.traits == {"plan": "pro"}
    assert await world.rows("SELECT DISTINCT subject FROM events") == [("u:ada",)]


async def test_a_second_claimer_changes_nothing(world: World) -> None:
    message_id = await world.add_message()
    await world.record(world.about(message_id, visitor="x"), world.identify("ada", "x"))
    second = await world.record(world.identify("bob", "x", properties={"plan": "pro"}))
    await world.record(world.about(message_id, visitor="x", at_ms=NOW_MS + 1))
    assert second.claims == 0
    bob = await world.known_state("u:bob")
    assert (bob.traits, dict(bob.seen), bob.aliases) == ({"plan": "pro"}, {}, frozenset())
    assert (await world.known_state("u:ada")).seen[str(message_id)].impressions == 2


async def test_of_two_claims_in_one_batch_the_one_accepted_first_stands(world: World) -> None:
    await world.record(world.identify("bob", "x", at_ms=NOW_MS + 1), world.identify("ada", "x", at_ms=NOW_MS))
    assert (await world.known_state("u:ada")).aliases == {"x"}
    await world.record(world.identify("bob", "y"), world.identify("ada", "y"))
    assert (await world.known_state("u:bob")).aliases == {"y"}


async def test_an_event_that_is_stored_already_claims_nothing(world: World) -> None:
    first = world.identify("ada", "x")
    await world.record(first)
    again = world.identify("ada", "y", id_=first.id)
    assert (await world.record(again)).claims == 0
    assert (await world.known_state("u:ada")).aliases == {"x"}


async def test_a_user_may_claim_several_visitors_at_once(world: World) -> None:
    message_id, audience_id = await world.add_message(), await world.add_audience()
    await world.record(*(world.about(message_id, visitor=name, at_ms=NOW_MS + n) for n, name in enumerate("xyz")))
    await world.ask_members(audience_id, add=["a:x", "a:y"])
    recorded = await world.record(*(world.identify("ada", name) for name in "xyz"))
    assert recorded.claims == 3
    state = await world.known_state("u:ada")
    assert state.seen == {str(message_id): Seen(3, 0, 0, (NOW_MS + 2, NOW_MS + 1, NOW_MS))}
    assert state.static_audiences == {str(audience_id)}


async def test_the_same_anonymous_id_of_another_org_is_somebody_else(world: World) -> None:
    other = uuid4()
    await world.record(world.identify("ada", "x"), event(other, "page.viewed", visitor="x"))
    assert await world.rows("SELECT subject FROM customers WHERE org_id = :other", other=other) == [("a:x",)]


async def test_users_who_race_for_a_visitor_and_its_events_leave_one_owner(world: World) -> None:
    message_id = await world.add_message()
    names = [f"x{n}" for n in range(10)]
    await asyncio.gather(
        *(world.record(*(world.identify(user, name) for name in names)) for user in ("ada", "bob", "cyd")),
        *(world.record(*(world.about(message_id, visitor=name, at_ms=NOW_MS + n) for name in names)) for n in range(6)),
    )
    assert await world.rows("SELECT subject FROM customers WHERE subject LIKE 'a:%'") == []
    assert await world.rows("SELECT subject FROM message_user_state WHERE subject LIKE 'a:%'") == []
    assert await world.rows("SELECT sum(impressions) FROM message_user_state") == [(60,)]
    owners = dict(await world.rows("SELECT anonymous_id, subject FROM customer_aliases"))
    assert set(owners) == set(names)


@pytest.mark.parametrize("size", [1000, 30])
async def test_a_claim_past_the_most_aliases_of_a_user_is_stored_and_claims_nothing(world: World, size: int) -> None:
    names = [f"x{n:03}" for n in range(MOST_ALIASES + 20)]
    sent = [world.identify("ada", name, properties={name: 1}, at_ms=NOW_MS + n) for n, name in enumerate(names)]
    for start in range(0, len(sent), size):
        await world.record(*sent[start : start + size])
    assert (await world.known_state("u:ada")).aliases == set(names[:MOST_ALIASES])
    assert names[-1] in (await world.known_state("u:ada")).traits
    assert await world.count("events") == len(names)
    assert await world.rows("SELECT subject FROM customers") == [("u:ada",)]
    await world.record(world.identify("bob", names[-1]))
    assert (await world.known_state("u:bob")).aliases == {names[-1]}
