from typing import Any
from uuid import uuid4

import pytest

from recorder.rows.customers import CustomerKey
from recorder.states.wanted import Wanted
from tests.support.polling import eventually_async
from tests.support.recorder_world import NOW_MS, World, at_work
from wire import codec, events, keys
from wire.userstate import UserState

pytestmark = pytest.mark.anyio


async def test_each_call_that_moves_states_announces_them_with_the_next_sequence_number(world: World) -> None:
    await world.record(world.identify("ada", "x"), world.identify("zoë"))
    await world.record(world.event("page.viewed", "ada"))
    await world.record(world.identify("ada", properties={"plan": "free"}, at_ms=NOW_MS + 1))
    first, second = await world.changes()
    assert [first[b"seq"], second[b"seq"]] == [b"1", b"2"]
    assert {(change[b"kind"], change[b"org"]) for change in (first, second)} == {(b"users", str(world.org_id).encode())}
    announced = dict(codec.unpack(first[b"body"]))
    assert set(announced) == {"u:ada", "u:zoë", "a:x"}
    revs = {subject: (await world.known_state(subject)).rev for subject in announced}
    assert announced["u:zoë"] == revs["u:zoë"]
    assert codec.unpack(second[b"body"]) == [["u:ada", revs["u:ada"]]]


def moved(change: dict[bytes, bytes]) -> set[str]:
    return {subject for subject, _ in codec.unpack(change[b"body"])}


async def test_a_claim_moves_the_users_other_visitors_only_when_it_brings_something_seen(world: World) -> None:
    message_id = await world.add_message()
    await world.record(*(world.identify("ada", name) for name in "xy"))
    await world.record(world.identify("ada", "z"))
    await world.record(world.about(message_id, visitor="w"))
    await world.record(world.identify("ada", "w"))
    await world.record(world.identify("ada", "w", properties={"plan": "pro"}, at_ms=NOW_MS + 1))
    assert [moved(change) for change in await world.changes()] == [
        {"u:ada", "a:x", "a:y"},
        {"u:ada", "a:z"},
        {"a:w"},
        {"u:ada", "a:x", "a:y", "a:z", "a:w"},
        {"u:ada", "a:w"},
    ]


@pytest.mark.parametrize("what", ["claim", "impression"])
async def test_a_batch_that_comes_again_moves_all_visitors_that_it_may_have_moved(world: World, what: str) -> None:
    message_id = await world.add_message()
    await world.record(world.identify("ada", "x"), world.about(message_id, visitor="y"))
    sent = world.identify("ada", "y") if what == "claim" else world.about(message_id, user="ada")
    await world.ledger.record([sent])
    await world.record(sent)
    assert (await world.known_state("a:x")).seen == (await world.known_state("u:ada")).seen != {}


async def test_a_state_never_goes_back(world: World) -> None:
    await world.record(world.identify("ada", properties={"plan": "free"}))
    newer = UserState(rev=2**52, traits={"plan": "pro"})
    await world.redis.set(keys.user(world.org_id, "u:ada"), newer.encode())
    before = await world.changes()
    await world.record(world.identify("ada", properties={"plan": "trial"}, at_ms=NOW_MS + 1))
    assert await world.known_state("u:ada") == newer
    assert await world.changes() == before


@pytest.mark.parametrize("held", [b"", b"\xc1", b"\xa3abc"])
async def test_a_key_that_holds_no_state_is_overwritten(world: World, held: bytes) -> None:
    await world.redis.set(keys.user(world.org_id, "u:ada"), held)
    await world.record(world.identify("ada", properties={"plan": "free"}))
    assert (await world.known_state("u:ada")).traits == {"plan": "free"}


async def test_what_was_seen_of_archived_messages_is_left_out(world: World) -> None:
    kept, archived = await world.add_message(), await world.add_message(archived_ms=NOW_MS)
    await world.record(*(world.about(message_id, events.CLICKED, "ada") for message_id in (kept, archived)))
    assert set((await world.known_state("u:ada")).seen) == {str(kept)}


async def test_more_customers_than_fit_in_one_call_are_projected_in_several(world: World) -> None:
    await world.record(*(world.event("page.viewed", f"user{n}") for n in range(1100)))
    assert len(await world.changes()) == 3
    states = await world.redis.keys(keys.user(world.org_id, "*"))
    assert len(states) == 1100


async def test_wanted_users_are_answered_known_or_not(world: World) -> None:
    await world.record(world.identify("ada", properties={"plan": "free"}), world.identify("bob", "x"))
    await world.redis.flushdb()
    junk: list[Any] = [
        {"org": "no", "subject": "u:ada"},
        {"subject": "u:ada"},
        {"org": str(world.org_id), "subject": b"\xff"},
    ]
    asked: list[Any] = [{"org": str(world.org_id), "subject": subject} for subject in ("u:ada", "a:x", "u:nobody")]
    for fields in (*junk, *asked):
        await world.redis.xadd(keys.WANTED, fields)
    async with at_work(Wanted(world.redis, world.blocking, world.projector)):
        await eventually_async(lambda: world.state("u:nobody"))
        await eventually_async(lambda: nothing_wanted(world))
    assert (await world.known_state("u:ada")).traits == {"plan": "free"}
    assert (await world.known_state("u:bob")).aliases == {"x"}
    assert await world.state("a:x")
    assert await world.known_state("u:nobody") == UserState()
    assert 0 < await world.redis.ttl(keys.user(world.org_id, "u:nobody")) <= 60
    announced = {subject for change in await world.changes() for subject, _ in codec.unpack(change[b"body"])}
    assert "u:nobody" in announced


async def nothing_wanted(world: World) -> bool:
    return await world.redis.xlen(keys.WANTED) == 0


async def test_a_customer_who_was_unknown_when_asked_for_stays_once_they_come(world: World) -> None:
    await world.projector.project([CustomerKey(world.org_id, "u:ada")])
    await world.record(world.identify("ada"))
    assert (await world.known_state("u:ada")).rev > 0
    assert await world.redis.ttl(keys.user(world.org_id, "u:ada")) == -1


async def test_customers_of_two_orgs_are_announced_apart(world: World) -> None:
    other = uuid4()
    await world.projector.project([CustomerKey(world.org_id, "u:ada"), CustomerKey(other, "u:ada")])
    assert {change[b"org"] for change in await world.changes()} == {str(world.org_id).encode(), str(other).encode()}


async def test_only_whose_state_moves_is_projected_until_the_events_come_again(world: World) -> None:
    message_id = await world.add_message()
    await world.record(world.identify("ada", "x"), world.identify("bob"))
    before = await world.changes()
    walked = [world.event("page.viewed", "ada"), world.event("page.viewed", visitor="x"), world.event("paid", "bob")]
    seen = world.about(message_id, user="bob")
    bob = CustomerKey(world.org_id, "u:bob")
    assert (await world.record(*walked, seen)).touched == {bob}
    assert len(await world.changes()) == len(before) + 1
    news = [world.event("paid", user) for user in ("ada", "bob")]
    again = await world.record(*walked[:2], *news)
    assert again.touched == {CustomerKey(world.org_id, "u:ada"), CustomerKey(world.org_id, "a:x")}


async def test_a_new_customer_is_projected_whatever_they_did(world: World) -> None:
    recorded = await world.record(world.event("page.viewed", "ada"), world.event("page.viewed", visitor="x"))
    assert recorded.touched == {CustomerKey(world.org_id, "u:ada"), CustomerKey(world.org_id, "a:x")}
    assert (await world.known_state("a:x")).rev > 0


async def test_a_claimed_visitor_is_projected_when_the_user_has_seen_more(world: World) -> None:
    message_id = await world.add_message()
    await world.record(world.identify("ada", "x"))
    await world.record(world.about(message_id, user="ada"))
    assert (await world.known_state("a:x")).seen[str(message_id)].impressions == 1
    await world.record(world.about(message_id, visitor="x", at_ms=NOW_MS + 1))
    assert (await world.known_state("u:ada")).seen[str(message_id)].impressions == 2
    assert (await world.known_state("a:x")).seen[str(message_id)].impressions == 2
