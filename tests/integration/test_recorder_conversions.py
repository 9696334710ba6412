"""Who reaches a message's goal: once a person and message, whatever the order of arrival."""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.goals import fresh
from recorder.goals import queries as goal_queries
from recorder.goals import search as goal_search
from recorder.rows.message_events import message_id as message_id_of
from store import tables
from tests.support.recorder_world import HOUR_MS, NOW_MS, World, event
from wire import events
from wire.events import Event

pytestmark = pytest.mark.anyio

GOAL: dict[str, Any] = {"eventType": "plan.upgraded", "where": [], "withinSeconds": 60}
WINDOW_MS = 60_000


async def conversions(world: World) -> list[tuple[Any, ...]]:
    return await world.rows(
        "SELECT message_id, subject, event_id, occurred_ms FROM in_app_message_conversions ORDER BY message_id, subject"
    )


async def hours(world: World) -> dict[tuple[UUID, int], int]:
    """(message, hour) → conversions, where there are any."""
    counted = await world.rows("SELECT message_id, hour_ms, conversions FROM message_stats_hourly")
    return {(message_id, hour_ms): count for message_id, hour_ms, count in counted if count}


def hour_of(moment_ms: int) -> int:
    return moment_ms - moment_ms % HOUR_MS


async def record_one_by_one(world: World, *sent: Event) -> None:
    for each in sent:
        await world.record(each)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("split", [False, True])
async def test_a_goal_event_after_an_impression_converts_in_the_hour_of_the_event(
    world: World, split: bool, backwards: bool
) -> None:
    message_id = await world.add_message(goal=GOAL)
    shown_ms = hour_of(NOW_MS) - 1_000
    done = world.event("plan.upgraded", "ada", at_ms=hour_of(NOW_MS))
    sent = [world.about(message_id, user="ada", at_ms=shown_ms), done]
    if backwards:
        sent.reverse()
    await (record_one_by_one(world, *sent) if split else world.record(*sent))
    assert await conversions(world) == [(message_id, "u:ada", done.id, done.occurred_ms)]
    assert await hours(world) == {(message_id, hour_of(NOW_MS)): 1}
    stats = await world.rows("SELECT impressions, conversions FROM message_stats_hourly ORDER BY hour_ms")
    assert stats == [(1, 0), (0, 1)]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("after_ms", "converts"), [(-1, False), (0, True), (1, True), (WINDOW_MS, True), (WINDOW_MS + 1, False)]
)
async def test_both_ends_of_the_window_count(world: World, after_ms: int, converts: bool, backwards: bool) -> None:
    message_id = await world.add_message(goal=GOAL)
    sent = [
        world.about(message_id, user="ada", at_ms=NOW_MS),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + after_ms),
    ]
    await record_one_by_one(world, *(reversed(sent) if backwards else sent))
    assert len(await conversions(world)) == converts
    assert sum((await hours(world)).values()) == converts


@pytest.mark.parametrize("backwards", [False, True])
async def test_only_what_the_goal_describes_converts(world: World, backwards: bool) -> None:
    where = [{"property": "plan", "op": "eq", "value": "pro"}, {"property": "seats", "op": "gte", "value": 3}]
    message_id = await world.add_message(goal={**GOAL, "where": where})
    done = [
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 1, properties={"plan": "pro", "seats": 2}),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 2, properties=b'{"plan": "pro", "seats": 1e400}'),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 2, properties=b"[]"),
        world.event("plan.seen", "ada", at_ms=NOW_MS + 3, properties={"plan": "pro", "seats": 3}),
        world.event("plan.upgraded", "bob", at_ms=NOW_MS + 3, properties={"plan": "pro", "seats": 3}),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 4, properties={"plan": "pro", "seats": 3}),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 5, properties={"plan": "pro", "seats": 4}),
    ]
    shown = world.about(message_id, user="ada")
    for batch in [[*done], [shown]] if backwards else [[shown], [*done]]:
        await world.record(*batch)
    assert await conversions(world) == [(message_id, "u:ada", done[5].id, NOW_MS + 4)]


async def test_a_person_converts_once_however_often_they_do_it(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    first = world.event("plan.upgraded", "ada", at_ms=NOW_MS + 1)
    await world.record(
        world.about(message_id, user="ada"), first, world.event("plan.upgraded", "ada", at_ms=NOW_MS + 2)
    )
    await world.record(
        world.about(message_id, user="ada", at_ms=NOW_MS + 2 * HOUR_MS),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 2 * HOUR_MS),
    )
    assert await conversions(world) == [(message_id, "u:ada", first.id, NOW_MS + 1)]
    assert await hours(world) == {(message_id, hour_of(NOW_MS + 1)): 1}


async def test_a_conversion_that_is_counted_stands_when_an_earlier_event_comes_late(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    counted = world.event("plan.upgraded", "ada", at_ms=NOW_MS + 9)
    await world.record(world.about(message_id, user="ada"), counted)
    await world.record(world.event("plan.upgraded", "ada", at_ms=NOW_MS + 1))
    assert [event_id for _, _, event_id, _ in await conversions(world)] == [counted.id]


async def test_people_and_messages_and_orgs_convert_apart(world: World) -> None:
    other_org = await world.add_org(uuid4())
    ours = [await world.add_message(goal=GOAL) for _ in range(2)]
    theirs = await world.add_message(other_org, goal=GOAL)
    await world.add_message()
    shown = [world.about(message_id, user=user) for message_id in ours for user in ("ada", "bob")]
    in_their_org: dict[str, Any] = {"properties": {"messageId": str(theirs)}}
    await world.record(*shown, event(other_org, events.IMPRESSION, "cyd", **in_their_org))
    await world.record(
        *(world.event("plan.upgraded", user, at_ms=NOW_MS + 1) for user in ("ada", "bob", "cyd")),
        event(other_org, "plan.upgraded", "ada"),
    )
    assert {(row[0], row[1]) for row in await conversions(world)} == {
        (message_id, subject) for message_id in ours for subject in ("u:ada", "u:bob")
    }
    await world.record(event(other_org, "plan.upgraded", "cyd", at_ms=NOW_MS + 2))
    assert await world.rows("SELECT org_id, message_id FROM in_app_message_conversions WHERE subject = 'u:cyd'") == [
        (other_org, theirs)
    ]


async def test_an_event_about_a_message_may_be_the_goal(world: World) -> None:
    other = await world.add_message()
    where = [{"property": "messageId", "op": "eq", "value": str(other)}]
    message_id = await world.add_message(goal={**GOAL, "eventType": events.CLICKED, "where": where})
    await world.record(world.about(message_id, user="ada"), world.about(message_id, events.CLICKED, "ada"))
    assert await conversions(world) == []
    await world.record(world.about(other, events.CLICKED, "ada", at_ms=NOW_MS + 1))
    assert [row[:2] for row in await conversions(world)] == [(message_id, "u:ada")]


async def test_an_archived_message_still_converts_and_a_deleted_one_does_not(world: World) -> None:
    archived = await world.add_message(goal=GOAL, archived_ms=NOW_MS)
    deleted = await world.add_message(goal=GOAL)
    await world.record(*(world.about(message_id, user="ada") for message_id in (archived, deleted)))
    await world.execute(delete(tables.in_app_messages).where(tables.in_app_messages.c.id == deleted))
    await world.record(world.event("plan.upgraded", "ada", at_ms=NOW_MS + 1))
    assert [row[0] for row in await conversions(world)] == [archived]


async def test_a_changed_goal_counts_from_then_on_and_what_is_counted_stays(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    await world.record(*(world.about(message_id, user=user) for user in ("ada", "bob")))
    await world.record(world.event("plan.upgraded", "ada", at_ms=NOW_MS + 1))
    before = await conversions(world)
    messages = tables.in_app_messages
    for goal in ({**GOAL, "eventType": "plan.renewed"}, None):
        await world.execute(update(messages).where(messages.c.id == message_id).values(goal=goal))
        await world.record(world.event("plan.upgraded", "bob", at_ms=NOW_MS + 2))
        assert await conversions(world) == before
    await world.execute(update(messages).where(messages.c.id == message_id).values(goal=GOAL))
    await world.record(world.event("plan.upgraded", "bob", at_ms=NOW_MS + 3))
    assert len(await conversions(world)) == 2


@pytest.mark.parametrize(
    "stored",
    [
        "5",
        "null",
        "[]",
        "{}",
        '{"eventType": 5}',
        '{"eventType": "plan.upgraded", "withinSeconds": 0}',
        '{"eventType": "plan.upgraded", "withinSeconds": true}',
        '{"eventType": "plan.upgraded", "withinSeconds": 31536001}',
        '{"eventType": "plan.upgraded", "withinSeconds": 1e400}',
        '{"eventType": "plan.upgraded", "where": [{"property": "a", "op": "near"}]}',
        '{"eventType": "plan.upgraded", "where": 5}',
    ],
)
async def test_a_goal_that_nobody_can_read_holds_nothing_up(world: World, stored: str) -> None:
    unreadable, sound = [await world.add_message(goal=GOAL) for _ in range(2)]
    change = text("UPDATE in_app_messages SET goal = CAST(:goal AS jsonb) WHERE id = :id")
    await world.execute(change, goal=stored, id=unreadable)
    await world.record(*(world.about(message_id, user="ada") for message_id in (unreadable, sound)))
    await world.record(world.event("plan.upgraded", "ada"))
    assert [row[0] for row in await conversions(world)] == [sound]


async def test_a_goal_without_its_window_has_seven_days(world: World) -> None:
    message_id = await world.add_message(goal={"eventType": "plan.upgraded"})
    day_ms = 24 * HOUR_MS
    await world.record(*(world.about(message_id, user=user, at_ms=NOW_MS - 7 * day_ms) for user in ("ada", "bob")))
    await world.record(world.event("plan.upgraded", "ada"), world.event("plan.upgraded", "bob", at_ms=NOW_MS + 1))
    assert [row[1] for row in await conversions(world)] == ["u:ada"]


async def test_what_happened_between_two_windows_that_arrive_late_together_does_not_convert(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    await world.record(world.event("plan.upgraded", "ada", at_ms=NOW_MS + WINDOW_MS + 1))
    shown = [world.about(message_id, user="ada", at_ms=NOW_MS + n * WINDOW_MS) for n in (3, 0)]
    await world.record(*shown)
    assert await conversions(world) == []
    await world.record(world.about(message_id, user="ada", at_ms=NOW_MS + WINDOW_MS))
    assert len(await conversions(world)) == 1


@pytest.mark.parametrize("type_", [events.CLICKED, events.DISMISSED])
async def test_only_an_impression_begins_a_window(world: World, type_: str) -> None:
    message_id = await world.add_message(goal=GOAL)
    await world.record(
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 1), world.about(message_id, user="ada", at_ms=NOW_MS + 2)
    )
    await world.record(world.about(message_id, type_, "ada", at_ms=NOW_MS))
    assert await conversions(world) == []


async def test_one_goal_is_found_behind_many_events_that_are_not_it(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(goal_queries, "MOST_SEARCHED", 5)
    where = [{"property": "plan", "op": "eq", "value": "pro"}]
    found, hidden = [await world.add_message(goal={**GOAL, "where": where}) for _ in range(2)]
    await world.record(
        *(world.event("plan.upgraded", "ada", at_ms=NOW_MS + n) for n in range(5)),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 5, properties={"plan": "pro"}),
    )
    await record_one_by_one(world, world.about(hidden, user="ada"), world.about(found, user="ada", at_ms=NOW_MS + 1))
    assert [row[0] for row in await conversions(world)] == [found]


@asynccontextmanager
async def rows_about_goals(world: World) -> AsyncIterator[list[tuple[tuple[str, ...], int]]]:
    """(columns, rows) of each query of `goal_queries` and `fresh` inside the block."""
    asked: list[tuple[tuple[str, ...], int]] = []
    ask = AsyncConnection.execute

    async def noting(connection: AsyncConnection, *arguments: Any, **named: Any) -> Any:
        result = await ask(connection, *arguments, **named)
        if sys._getframe(1).f_globals["__name__"] not in (goal_queries.__name__, fresh.__name__):
            return result
        rows = result.all()
        asked.append((tuple(result.keys()), len(rows)))
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncConnection, "execute", noting)
        yield asked


async def test_impressions_of_many_messages_read_what_somebody_did_once_and_no_properties(world: World) -> None:
    where = [{"property": "plan", "op": "eq", "value": "pro"}]
    goals = [{**GOAL, "where": where, "withinSeconds": 60 + n} for n in range(20)]
    message_ids = [await world.add_message(goal=goal) for goal in goals]
    large = {"filler": "x" * 30_000}
    done = [world.event("plan.upgraded", "ada", at_ms=NOW_MS + n, properties=large) for n in range(1, 50)]
    reached = world.event("plan.upgraded", "ada", at_ms=NOW_MS + 50, properties={**large, "plan": "pro"})
    await world.record(*done, reached)
    shown = [world.about(message_id, user="ada", at_ms=NOW_MS + n) for n, message_id in enumerate(message_ids)]
    async with rows_about_goals(world) as asked:
        await world.record(*shown)
    assert [row[:3] for row in await conversions(world)] == [
        (message_id, "u:ada", reached.id) for message_id in sorted(message_ids)
    ]
    assert (("number", "occurred_ms", "id"), 1) in asked
    assert not any("properties" in columns for columns, _ in asked)
    assert max(rows for _, rows in asked) <= len(message_ids)


async def test_a_claim_reads_no_properties_of_what_the_visitor_did(world: World) -> None:
    where = [{"property": "plan", "op": "eq", "value": "pro"}]
    reached, other = [
        await world.add_message(goal={**GOAL, "where": given}) for given in (where, [{**where[0], "value": "team"}])
    ]
    done = [world.event("plan.upgraded", visitor="x", at_ms=NOW_MS + n, properties={"plan": "pro"}) for n in (1, 2)]
    await world.record(*(world.about(message_id, user="ada") for message_id in (reached, other)), *done)
    async with rows_about_goals(world) as asked:
        await world.record(world.identify("ada", "x", at_ms=NOW_MS + 3))
    assert [row[:3] for row in await conversions(world)] == [(reached, "u:ada", done[0].id)]
    assert (("org_id", "subject", "id", "type", "occurred_ms"), 2) in asked
    assert not any("properties" in columns for columns, _ in asked)


async def test_an_event_asks_once_a_message_for_impressions_however_many_events_come(world: World) -> None:
    goals = [{**GOAL, "withinSeconds": 1}, {**GOAL, "withinSeconds": 2}]
    missed, reached = [await world.add_message(goal=goal) for goal in goals]
    shown_ms = [NOW_MS - 1_500 + 10_000 * n for n in range(20)]
    await world.record(*(world.about(id_, user="ada", at_ms=ms) for id_ in (missed, reached) for ms in shown_ms))
    done = [world.event("plan.upgraded", "ada", at_ms=NOW_MS + 10_000 * n) for n in range(20)]
    async with rows_about_goals(world) as asked:
        await world.record(*done)
    assert [row[:3] for row in await conversions(world)] == [(reached, "u:ada", done[0].id)]
    assert max(rows for _, rows in asked) <= 2


async def test_goals_that_differ_only_in_what_python_takes_for_equal_are_told_apart(world: World) -> None:
    goals = [{**GOAL, "where": [{"property": "paid", "op": "eq", "value": value}]} for value in (1, True)]
    one, true = [await world.add_message(goal=goal) for goal in goals]
    await world.record(*(world.about(message_id, user=user) for message_id in (one, true) for user in ("ada", "bob")))
    await world.record(
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 1, properties={"paid": 1}),
        world.event("plan.upgraded", "bob", at_ms=NOW_MS + 1, properties={"paid": True}),
    )
    assert [row[:2] for row in await conversions(world)] == [(one, "u:ada"), (true, "u:bob")]


@pytest.mark.parametrize("size", [1, 2])
async def test_what_is_asked_in_slices_is_asked_of_everybody(world: World, monkeypatch: Any, size: int) -> None:
    monkeypatch.setattr(goal_queries, "ASKED_AT_ONCE", size)
    monkeypatch.setattr(goal_search, "LOOKS_AT_ONCE", size)
    where = [{"property": "plan", "op": "eq", "value": "pro"}]
    message_id = await world.add_message(goal={**GOAL, "where": where})
    people = ["ada", "bob", "cyd"]
    shown = [world.about(message_id, user=user) for user in people]
    pro: dict[str, Any] = {"at_ms": NOW_MS + 1, "properties": {"plan": "pro"}}
    await world.record(*shown[:2], world.event("plan.upgraded", "cyd", **pro))
    await world.record(*(world.event("plan.upgraded", visitor=f"of-{user}", **pro) for user in people[:2]))
    await world.record(shown[2], *(world.identify(user, f"of-{user}", at_ms=NOW_MS + 2) for user in people[:2]))
    assert [row[1] for row in await conversions(world)] == ["u:ada", "u:bob", "u:cyd"]


# Claims


@pytest.mark.parametrize("late", ["claim", "shown", "done"])
@pytest.mark.parametrize("shown_to_visitor", [True, False])
async def test_what_a_visitor_and_its_user_saw_and_did_unites_at_the_claim(
    world: World, shown_to_visitor: bool, late: str
) -> None:
    message_id = await world.add_message(goal=GOAL)
    visitor: dict[str, Any] = {"visitor": "x"}
    user: dict[str, Any] = {"user": "ada"}
    done = world.event("plan.upgraded", **(user if shown_to_visitor else visitor), at_ms=NOW_MS + 1)
    sent = {
        "shown": world.about(message_id, **(visitor if shown_to_visitor else user)),
        "done": done,
        "claim": world.identify("ada", "x", at_ms=NOW_MS + 2),
    }
    last = sent.pop(late)
    await record_one_by_one(world, *sent.values())
    assert await conversions(world) == []
    await world.record(last)
    assert await conversions(world) == [(message_id, "u:ada", done.id, NOW_MS + 1)]
    assert await hours(world) == {(message_id, hour_of(NOW_MS)): 1}


@pytest.mark.parametrize("user_first", [False, True])
async def test_of_two_conversions_that_a_claim_unites_the_earlier_remains(world: World, user_first: bool) -> None:
    message_id, other = [await world.add_message(goal=GOAL) for _ in range(2)]
    moments_ms = (NOW_MS, NOW_MS + 2 * HOUR_MS) if user_first else (NOW_MS + 2 * HOUR_MS, NOW_MS)
    done = []
    for who, at_ms in zip(({"user": "ada"}, {"visitor": "x"}), moments_ms, strict=True):
        done.append(world.event("plan.upgraded", **who, at_ms=at_ms))
        await world.record(world.about(message_id, **who, at_ms=at_ms), done[-1])
    await world.record(
        world.about(other, user="ada", at_ms=moments_ms[0]), world.event("plan.upgraded", "ada", at_ms=moments_ms[0])
    )
    assert len(await hours(world)) == 3
    await world.record(world.identify("ada", "x", at_ms=NOW_MS + 3 * HOUR_MS))
    earlier = done[0] if user_first else done[1]
    kept = {row[0]: row[1:] for row in await conversions(world)}
    assert kept.keys() == {message_id, other}
    assert kept[message_id] == ("u:ada", earlier.id, NOW_MS)
    assert await hours(world) == {(message_id, hour_of(NOW_MS)): 1, (other, hour_of(moments_ms[0])): 1}


async def test_a_visitors_conversion_becomes_its_users(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    await world.record(world.about(message_id, visitor="x"), world.event("plan.upgraded", visitor="x"))
    await world.execute(update(tables.in_app_messages).values(goal=None))
    await world.record(world.identify("ada", "x"))
    assert [row[:2] for row in await conversions(world)] == [(message_id, "u:ada")]
    assert await hours(world) == {(message_id, hour_of(NOW_MS)): 1}


async def test_several_visitors_of_one_user_leave_one_conversion(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    for n, name in enumerate("xyz"):
        at_ms = NOW_MS + n * HOUR_MS
        await world.record(
            world.about(message_id, visitor=name, at_ms=at_ms), world.event("plan.upgraded", visitor=name, at_ms=at_ms)
        )
    await world.record(*(world.identify("ada", name, at_ms=NOW_MS + 3 * HOUR_MS) for name in "zyx"))
    assert [row[1::2] for row in await conversions(world)] == [("u:ada", NOW_MS)]
    assert await hours(world) == {(message_id, hour_of(NOW_MS)): 1}


async def test_a_claim_looks_at_the_newest_of_a_long_history(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(fresh, "MOST_CARRIED", 3)
    message_id, seen_long_ago = [await world.add_message(goal=GOAL) for _ in range(2)]
    await world.record(
        world.about(seen_long_ago, visitor="x"),
        *(world.about(message_id, visitor="x", at_ms=NOW_MS + n) for n in range(1, 4)),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 4),
    )
    await world.record(world.identify("ada", "x", at_ms=NOW_MS + 5))
    assert [row[0] for row in await conversions(world)] == [message_id]


# Sent again, erased


async def test_what_is_sent_again_converts_nobody_again(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    sent = [
        world.about(message_id, visitor="x"),
        world.event("plan.upgraded", visitor="x", at_ms=NOW_MS + 1),
        world.identify("ada", "x", at_ms=NOW_MS + 2),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 3),
    ]
    await world.record(*sent)
    before = await world.dump()
    assert len(before["in_app_message_conversions"]) == 1
    await world.record(*sent)
    await record_one_by_one(world, *reversed(sent))
    assert await world.dump() == before


async def test_erasing_takes_the_conversions_and_leaves_the_statistics(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    sent = [
        world.about(message_id, visitor="x", at_ms=NOW_MS - 5),
        world.identify("ada", "x", at_ms=NOW_MS - 4),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS - 3),
    ]
    await world.record(*sent, world.about(message_id, user="bob"), world.event("plan.upgraded", "bob"))
    await world.ask_erase("u:ada")
    assert [row[1] for row in await conversions(world)] == ["u:bob"]
    assert await hours(world) == {(message_id, hour_of(NOW_MS)): 2}
    await world.record(*sent, world.event("plan.upgraded", "ada", at_ms=NOW_MS))
    assert [row[1] for row in await conversions(world)] == ["u:bob"]
    assert await hours(world) == {(message_id, hour_of(NOW_MS)): 2}


@pytest.mark.parametrize("erased_first", [False, True])
async def test_who_comes_back_converts_as_somebody_new_whether_erased_before_or_after(
    world: World, erased_first: bool
) -> None:
    message_id = await world.add_message(goal=GOAL)
    await world.record(
        world.about(message_id, user="ada", at_ms=NOW_MS - 2), world.event("plan.upgraded", "ada", at_ms=NOW_MS - 1)
    )
    later_ms = NOW_MS + HOUR_MS
    back = world.event("plan.upgraded", "ada", at_ms=later_ms)
    since = [world.about(message_id, user="ada", at_ms=later_ms), back]
    if erased_first:
        await world.ask_erase("u:ada")
        await world.record(*since)
    else:
        await world.record(*since)
        await world.ask_erase("u:ada")
    assert await conversions(world) == [(message_id, "u:ada", back.id, later_ms)]
    assert await hours(world) == {(message_id, hour_of(NOW_MS)): 1, (message_id, hour_of(later_ms)): 1}


async def test_a_conversion_that_outlives_an_erasure_is_not_counted_again(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    since = [
        world.about(message_id, user="ada", at_ms=NOW_MS + 1),
        world.event("plan.upgraded", "ada", at_ms=NOW_MS + 2),
    ]
    await world.record(world.event("page.viewed", "ada", at_ms=NOW_MS - 1), *since)
    before = await conversions(world)
    await world.ask_erase("u:ada", NOW_MS)
    assert await conversions(world) == before != []
    assert await hours(world) == {(message_id, hour_of(NOW_MS)): 1}


async def test_an_impression_that_was_erased_converts_nobody_any_more(world: World) -> None:
    message_id = await world.add_message(goal=GOAL)
    await world.record(world.about(message_id, user="ada"), world.event("plan.upgraded", "ada", at_ms=NOW_MS + 1))
    await world.ask_erase("u:ada", NOW_MS)
    assert await conversions(world) == []
    assert await world.count("events") == 1


# All of it at random, against a model


class Sent(NamedTuple):
    event: Event
    message_id: UUID | None


@dataclass
class Model:
    """The same by brute force: everything that a person did is looked through after each batch."""

    goals: dict[UUID, tuple[str, int, int]]
    """Message → event type, the least `n` of its properties, and the window in ms."""
    stored: dict[UUID, Sent] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    converted: dict[tuple[UUID, str], tuple[int, UUID]] = field(default_factory=dict)

    def record(self, batch: Sequence[Sent]) -> None:
        new = [sent for sent in batch if sent.event.id not in self.stored]
        for sent in sorted(new, key=lambda sent: sent.event.received_ms):
            self.stored[sent.event.id] = sent
            if sent.event.claims is not None:
                self._claim(f"a:{sent.event.claims}", sent.event.subject)
        for message_id, person in {(message_id, self._who(sent)) for message_id in self.goals for sent in new}:
            reached = min(self._reached(message_id, person), default=None)
            if reached is not None:
                self.converted.setdefault((message_id, person), reached)

    def hours(self) -> dict[tuple[UUID, int], int]:
        return dict(Counter((message_id, hour_of(ms)) for (message_id, _), (ms, _) in self.converted.items()))

    def _claim(self, visitor: str, user: str) -> None:
        if self.owner.setdefault(visitor, user) != user:
            return
        for message_id in self.goals:
            both = [self.converted.pop((message_id, who), None) for who in (visitor, user)]
            if kept := [conversion for conversion in both if conversion]:
                self.converted[message_id, user] = min(kept)

    def _who(self, sent: Sent) -> str:
        return self.owner.get(sent.event.subject, sent.event.subject)

    def _reached(self, message_id: UUID, person: str) -> Iterator[tuple[int, UUID]]:
        type_, least, within_ms = self.goals[message_id]
        theirs = [sent for sent in self.stored.values() if self._who(sent) == person]
        shown = [sent.event.occurred_ms for sent in theirs if sent.message_id == message_id]
        for sent in theirs:
            at_ms, n = sent.event.occurred_ms, int(sent.event.properties.partition(b'"n":')[2][:1] or b"-1")
            if sent.event.type == type_ and n >= least and any(ms <= at_ms <= ms + within_ms for ms in shown):
                yield at_ms, sent.event.id


def some_event(world: World, rng: random.Random, message_ids: Sequence[UUID], received_ms: int) -> Sent:
    who: dict[str, Any] = rng.choice([{"user": "ada"}, {"user": "bob"}, *({"visitor": name} for name in "xyz")])
    times: dict[str, Any] = {"at_ms": NOW_MS - rng.randrange(0, 6 * HOUR_MS, HOUR_MS // 4), "received_ms": received_ms}
    kind = rng.random()
    if kind < 0.1:
        return Sent(world.identify(rng.choice(["ada", "bob"]), rng.choice("xyz"), **times), None)
    if kind < 0.45:
        message_id = rng.choice(message_ids)
        return Sent(world.about(message_id, **who, **times), message_id)
    return Sent(world.event(rng.choice("abc"), **who, **times, properties={"n": rng.randrange(3)}), None)


@pytest.mark.parametrize("seed", range(20))
async def test_conversions_agree_with_a_simple_model_in_any_order(world: World, seed: int) -> None:
    rng = random.Random(seed)
    model = Model({})
    for _ in range(4):
        type_, least, within_h = rng.choice("ab"), rng.randrange(3), rng.randrange(1, 4)
        where = [{"property": "n", "op": "gte", "value": least}] if least else []
        goal = {"eventType": type_, "where": where, "withinSeconds": within_h * 3600}
        model.goals[await world.add_message(goal=goal)] = (type_, least, within_h * HOUR_MS)
    message_ids = [*model.goals, await world.add_message()]
    sent = [some_event(world, rng, message_ids, NOW_MS + n) for n in range(rng.randrange(5, 60))]
    arriving = sent + rng.sample(sent, len(sent) // 4)
    rng.shuffle(arriving)
    while arriving:
        size = rng.choice([1, 1, 2, 5, 20])
        batch, arriving = arriving[:size], arriving[size:]
        await world.record(*(each.event for each in batch))
        model.record(batch)
        found = {(row[0], row[1]): (row[3], row[2]) for row in await conversions(world)}
        assert found == model.converted
        assert await hours(world) == model.hours()
    before = await world.dump()
    await world.record(*(each.event for each in sent))
    assert await world.dump() == before


async def test_batches_that_race_leave_one_conversion_a_person_and_hours_that_add_up(world: World) -> None:
    rng = random.Random(7)
    goal = {**GOAL, "eventType": "a", "withinSeconds": 3600}
    message_ids = [await world.add_message(goal=goal) for _ in range(4)]
    sent = [some_event(world, rng, message_ids, NOW_MS + n).event for n in range(200)]
    rng.shuffle(sent)
    batches = [sent[n : n + 10] for n in range(0, len(sent), 10)]
    await asyncio.gather(*(world.record(*batch) for batch in [*batches, *batches]))
    found = await conversions(world)
    assert len(found) >= 4
    assert await hours(world) == Counter((message_id, hour_of(ms)) for message_id, _, _, ms in found)
    model = Model(dict.fromkeys(message_ids, ("a", 0, HOUR_MS)))
    model.owner = dict(await world.rows("SELECT 'a:' || anonymous_id, subject FROM customer_aliases"))
    model.record([Sent(each, message_id_of(each)) for each in sent])
    assert {row[:2] for row in found} == model.converted.keys()
