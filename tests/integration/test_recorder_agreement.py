"""What the recorder projects is what the edge would lay over an empty state, whatever the order of arrival.

Whenever features are adopted: what came before is gathered, what comes after is added.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.features import FeatureIndex
from engine.state import union, with_events
from tests.support.recorder_world import NOW_MS, World, event, recorder_world
from wire import events
from wire.events import Event
from wire.features import Feature
from wire.rule_tree import Compare
from wire.userstate import UserState

FEATURES = (
    Feature("page.viewed", (), 2),
    Feature("page.viewed", (Compare("pages", "gte", 2),), 3),
    Feature("*", (), 4),
    Feature(events.IMPRESSION, (), 1),
    Feature(events.IDENTIFIED, (Compare("a", "exists"),), 2),
)
INDEX = FeatureIndex(FEATURES)

USERS = ("ada", "bob")
VISITORS = ("x", "y")
MESSAGES = 2

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=2)
TRAITS = st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 3), TEXT), min_size=1, max_size=3)
WHO = st.one_of(
    st.tuples(st.sampled_from(USERS), st.none()),
    st.tuples(st.none(), st.sampled_from(VISITORS)),
    st.tuples(st.sampled_from(USERS), st.sampled_from(VISITORS)),
)
WHAT = st.one_of(
    st.tuples(st.just(events.IDENTIFIED), TRAITS),
    st.tuples(st.sampled_from(sorted(events.MESSAGE_EVENTS)), st.integers(0, MESSAGES - 1)),
    st.tuples(st.just("page.viewed"), st.integers(0, 3)),
)
DRAWN = st.lists(st.tuples(WHO, WHAT, st.integers(0, 5)), min_size=5, max_size=25)

Draw = tuple[tuple[str | None, str | None], tuple[str, Any], int]


class Orgs:
    """A new org for each example, in one database."""

    def __init__(self, runner: asyncio.Runner, world: World) -> None:
        self.run = runner.run
        self.world = world

    async def begin(self) -> list[UUID]:
        self.world.org_id = await self.world.add_org(uuid4())
        return [await self.world.add_message() for _ in range(MESSAGES)]

    async def states(self, batches: list[list[Event]], adopted: int) -> dict[str, UserState | None]:
        """`adopted`: how many batches come before the features."""
        for place, batch in enumerate([*batches, []]):
            if place == adopted:
                await self.world.add_audience({"all": [asking_for(feature) for feature in FEATURES]})
                await self.world.settle_features()
            await self.world.record(*batch)
        subjects = [*(f"u:{user}" for user in USERS), *(f"a:{visitor}" for visitor in VISITORS)]
        return {subject: await self.world.state(subject) for subject in subjects}


def asking_for(feature: Feature) -> dict[str, Any]:
    event_type, where, kept = feature.fields()
    return {"event": event_type, "where": where, "count": {"op": "gte", "value": kept}}


@pytest.fixture
def orgs(database_url: str, redis_db: str) -> Iterator[Orgs]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        world = runner.run(stack.enter_async_context(recorder_world(database_url, redis_db)))
        try:
            yield Orgs(runner, world)
        finally:
            runner.run(stack.aclose())


def expected_states(batches: list[list[Event]]) -> dict[str, UserState | None]:
    ordered = [item for batch in batches for item in sorted(batch, key=lambda item: item.received_ms)]
    distinct = list({item.id: item for item in ordered}.values())
    owners: dict[str, str] = {}
    for item in distinct:
        if item.claims is not None:
            owners.setdefault(f"a:{item.claims}", item.subject)
    own = {
        subject: with_events(UserState(), (item for item in distinct if item.subject == subject), INDEX)
        for subject in [*(f"u:{user}" for user in USERS), *(f"a:{visitor}" for visitor in VISITORS)]
    }
    there = {item.subject for item in distinct}
    states: dict[str, UserState | None] = {subject: own[subject] if subject in there else None for subject in own}
    for visitor, user in owners.items():
        state = union(states[user] or UserState(), own[visitor])
        states[user] = replace(state, aliases=state.aliases | {visitor[2:]})
    for visitor, user in owners.items():
        states[visitor] = UserState(seen=(states[user] or UserState()).seen)
    return states


def states_in_order(batches: list[list[Event]]) -> dict[str, UserState | None]:
    """As an edge would lay each batch over what the ones before it made."""
    states: dict[str, UserState] = {}
    owners: dict[str, str] = {}
    stored: set[UUID] = set()
    for batch in batches:
        ordered = sorted(batch, key=lambda item: item.received_ms)
        new: dict[UUID, Event] = {}
        for item in ordered:
            if item.id not in stored:
                new.setdefault(item.id, item)
        for item in new.values():
            if item.claims is not None and (visitor := f"a:{item.claims}") not in owners:
                owners[visitor] = item.subject
                mine = states.get(item.subject, UserState())
                states[item.subject] = union(mine, states.pop(visitor, UserState()))
        for item in new.values():
            owner = owners.get(item.subject, item.subject)
            states[owner] = with_events(states.get(owner, UserState()), [item], INDEX)
        stored |= new.keys()
    for visitor, user in owners.items():
        states[user] = replace(states[user], aliases=states[user].aliases | {visitor[2:]})
    for visitor, user in owners.items():
        states[visitor] = UserState(seen=states[user].seen)
    everybody = [*(f"u:{user}" for user in USERS), *(f"a:{visitor}" for visitor in VISITORS)]
    return {subject: states.get(subject) for subject in everybody}


def comparable(state: UserState | None) -> UserState | None:
    """Overlays note that there was a click or a dismissal, the recorder counts them; no overlay draws a rev.

    Overlays keep every moment, the recorder the newest.
    """
    if state is None:
        return None
    seen = {
        message_id: each._replace(clicks=min(each.clicks, 1), dismissals=min(each.dismissals, 1))
        for message_id, each in state.seen.items()
    }
    kept = {feature.id: feature.kept for feature in FEATURES}
    rings = {feature_id: ring[: kept[feature_id]] for feature_id, ring in state.rings.items()}
    return replace(state, rev=0, seen=seen, rings=rings)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), drawn=DRAWN)
def test_the_projection_equals_the_edges_overlay(orgs: Orgs, data: st.DataObject, drawn: list[Draw]) -> None:
    batches = arriving_batches(orgs, data, drawn)
    check(orgs, batches, expected_states(batches), adopted(data, batches))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), drawn=DRAWN)
def test_the_projection_drops_the_traits_that_the_edges_overlay_drops(
    orgs: Orgs, little_room: None, data: st.DataObject, drawn: list[Draw]
) -> None:
    batches = arriving_batches(orgs, data, drawn)
    check(orgs, batches, states_in_order(batches), adopted(data, batches))


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wire.traits.MOST_TRAITS", 2)
    monkeypatch.setattr("wire.traits.TRAITS_MAX_BYTES", 9)


def arriving_batches(orgs: Orgs, data: st.DataObject, drawn: list[Draw]) -> list[list[Event]]:
    message_ids = orgs.run(orgs.begin())
    numbers = data.draw(st.permutations(range(len(drawn))), label="order of ids")
    sent = [
        made(orgs.world.org_id, message_ids, place, draw, UUID(int=number))
        for place, (draw, number) in enumerate(zip(drawn, numbers, strict=True))
    ]
    again = data.draw(st.lists(st.sampled_from(sent), max_size=5), label="sent again")
    arriving = data.draw(st.permutations([*sent, *again]), label="order of arrival")
    size = data.draw(st.sampled_from([1, 2, 5, len(arriving)]), label="size of a batch")
    return [arriving[start : start + size] for start in range(0, len(arriving), size)]


def adopted(data: st.DataObject, batches: list[list[Event]]) -> int:
    return data.draw(st.integers(0, len(batches)), label="batches before the features")


def check(
    orgs: Orgs, batches: list[list[Event]], expected: dict[str, UserState | None], batches_before_features: int
) -> None:
    projected = orgs.run(orgs.states(batches, batches_before_features))
    for subject, state in projected.items():
        assert comparable(state) == comparable(expected[subject]), subject


def made(org_id: UUID, message_ids: list[UUID], place: int, draw: Draw, id_: UUID) -> Event:
    """No two occur in the same millisecond: by that an overlay tells impressions apart."""
    (user, visitor), (type_, detail), received = draw
    properties = detail if type_ == events.IDENTIFIED else {"pages": detail}
    if type_ in events.MESSAGE_EVENTS:
        properties = {"messageId": str(message_ids[detail])}
    return event(
        org_id,
        type_,
        user,
        visitor,
        at_ms=NOW_MS - place,
        properties=properties,
        received_ms=NOW_MS + received,
        id_=id_,
    )
