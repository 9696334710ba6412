"""Events laid over a state: idempotent, in any order."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.features import FeatureIndex, features_of
from engine.rules import compile_rules
from engine.state import union, with_events
from tests.support.publishing import happened, ring_id
from wire import codec
from wire.events import CLICKED, DISMISSED, IDENTIFIED, IMPRESSION, UPDATED, Event
from wire.rule_tree import CountOp
from wire.rules import parse_rule
from wire.traits import MOST_TRAITS
from wire.userstate import RECENT_IMPRESSIONS, Seen, UserState

ORG = UUID(int=1)
MESSAGE = "01890000-0000-7000-8000-0000000000aa"


def identified(traits: dict[str, object], received_ms: int, number: int = 1) -> Event:
    return Event(UUID(int=number).bytes, ORG, IDENTIFIED, "ada", None, received_ms, received_ms, codec.to_json(traits))


def about_message(type_: str, occurred_ms: int) -> Event:
    properties = codec.to_json({"messageId": MESSAGE})
    return Event(UUID(int=occurred_ms).bytes, ORG, type_, "ada", None, occurred_ms, occurred_ms, properties)


traits = st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, 1, "x", True]), max_size=3)
identifies = st.lists(
    st.builds(identified, traits, st.integers(1, 5), st.integers(1, 99)), max_size=6, unique_by=lambda event: event.id
)


@given(identifies, st.randoms())
def test_traits_are_the_same_whatever_the_order_of_arrival(events: list[Event], random: Random) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    assert with_events(UserState(), events) == with_events(UserState(), shuffled)


@given(identifies)
def test_laying_events_over_a_state_that_has_them_changes_nothing(events: list[Event]) -> None:
    once = with_events(UserState(), events)
    assert with_events(once, events) == once


@given(identifies, identifies)
def test_a_union_is_what_one_state_would_have_become(mine: list[Event], theirs: list[Event]) -> None:
    theirs = [event for event in theirs if event.id not in {one.id for one in mine}]
    together = with_events(UserState(), [*mine, *theirs])
    assert union(with_events(UserState(), mine), with_events(UserState(), theirs)) == together


def test_a_null_takes_a_trait_away_for_good() -> None:
    state = with_events(UserState(), [identified({"plan": None}, 2, 1), identified({"plan": "free"}, 1, 2)])
    assert state.traits == {}


def test_a_trait_there_is_no_room_for_is_dropped() -> None:
    many: dict[str, object] = {f"t{n}": 1 for n in range(MOST_TRAITS)}
    full = with_events(UserState(), [identified(many, 1)])
    later = with_events(full, [identified({"new": 1, "t0": None}, 2, 2), identified({"new": 1, "t1": 2}, 3, 3)])
    assert later.traits == {name: value for name, value in (many | {"t1": 2}).items() if name != "t0"}
    assert set(later.stamps) == set(many)


def test_a_union_takes_the_earlier_traits_first_while_there_is_room() -> None:
    almost_full = with_events(UserState(), [identified({f"t{n}": 1 for n in range(MOST_TRAITS - 1)}, 5)])
    theirs = with_events(UserState(), [identified({"late": 1}, 2, 2), identified({"early": 1}, 1, 3)])
    both = union(almost_full, theirs)
    assert "early" in both.traits and "late" not in both.stamps


def test_an_impression_counts_once_and_the_newest_come_first() -> None:
    events = [about_message(IMPRESSION, ms) for ms in (5, 9, 7, 9)]
    assert with_events(UserState(), events).seen == {MESSAGE: Seen(3, 0, 0, (9, 7, 5))}


def test_two_impressions_of_one_millisecond_are_two() -> None:
    twins = [about_message(IMPRESSION, 9)._replace(id_bytes=UUID(int=number).bytes) for number in (1, 2)]
    once = with_events(UserState(), twins)
    assert once.seen == {MESSAGE: Seen(2, 0, 0, (9, 9))}
    assert with_events(once, twins) == once
    assert with_events(with_events(UserState(), twins[:1]), twins) == once


def test_a_state_keeps_a_bounded_number_of_moments() -> None:
    events = [about_message(IMPRESSION, ms) for ms in range(1, RECENT_IMPRESSIONS + 50)]
    seen = with_events(UserState(), events).seen[MESSAGE]
    assert seen.impressions == RECENT_IMPRESSIONS + 49
    assert seen.recent_ms == tuple(range(RECENT_IMPRESSIONS + 49, 49, -1))


def test_clicks_and_dismissals_are_noted() -> None:
    state = with_events(
        UserState(), [about_message(CLICKED, 1), about_message(CLICKED, 1), about_message(DISMISSED, 2)]
    )
    assert state.seen == {MESSAGE: Seen(0, 1, 1, ())}


@pytest.mark.parametrize(
    "brought",
    [
        {"traits": {"plan": "free"}, "stamps": {"plan": (1, b"")}},
        {"stamps": {"plan": (1, b"")}},
        {"static_audiences": frozenset({"listed"})},
        {"seen": {MESSAGE: Seen(1, recent_ms=(5,))}},
        {"rings": {"feature": (5,)}},
    ],
)
def test_a_union_has_all_that_an_anonymous_visitor_brings(brought: dict[str, Any]) -> None:
    assert union(UserState(), UserState(**brought)) == UserState(**brought)


def test_a_union_adds_up_what_both_have_seen() -> None:
    mine = UserState(seen={MESSAGE: Seen(1, 0, 0, (5,))}, aliases=frozenset({"x"}))
    theirs = UserState(seen={MESSAGE: Seen(2, 1, 0, (9, 3))}, static_audiences=frozenset({"s"}))
    both = union(mine, theirs)
    assert both.seen == {MESSAGE: Seen(3, 1, 0, (9, 5, 3))}
    assert (both.static_audiences, both.aliases) == (frozenset({"s"}), frozenset({"x"}))


NOW_MS = 1_000_000
CONDITIONS: list[dict[str, Any]] = [
    happened(event, op, count, within, **where)
    for (event, where), op, count, within in product(
        [("a", {}), ("a", {"big": True}), ("*", {}), (IMPRESSION, {}), (IDENTIFIED, {})],
        get_args(CountOp),
        (0, 1, 2),
        (None, "1s"),
    )
]
RULES = {f"audience {place}": parse_rule(leaf) for place, leaf in enumerate(CONDITIONS)}
FEATURES = features_of(RULES.values())
INDEX = FeatureIndex(FEATURES.values())
MEMBERSHIP = compile_rules(RULES)


def did(type_: str, big: bool, ago_ms: int, number: int = 1) -> Event:
    """Few moments, so that several events share one."""
    properties = codec.to_json({"big": big, "messageId": MESSAGE})
    return Event(UUID(int=number).bytes, ORG, type_, "ada", None, NOW_MS - ago_ms, NOW_MS, properties)


moments = st.sampled_from([0, 1, 999, 1_000, 1_001, 5_000])
types = st.sampled_from(["a", "b", IMPRESSION, IDENTIFIED, UPDATED])
histories = st.lists(
    st.builds(did, types, st.booleans(), moments, st.integers(1, 999)), max_size=12, unique_by=lambda event: event.id
)


def lived(events: Iterable[Event], state: UserState | None = None) -> UserState:
    return with_events(state or UserState(), events, INDEX)


def as_kept(state: UserState) -> UserState:
    """As Postgres keeps it: no more moments than the feature asks for."""
    return replace(state, rings={id_: ring[: FEATURES[id_].kept] for id_, ring in state.rings.items()})


def audiences_of(state: UserState) -> list[tuple[int, int | None]]:
    """Which hold, and until when, at moments on both sides of every change."""
    return [MEMBERSHIP.evaluate({}, state.rings, frozenset(), NOW_MS + later) for later in (0, 1, 2, 1_000, 1_001)]


@given(histories, st.randoms())
def test_rings_are_the_same_whatever_the_order_of_arrival(events: list[Event], random: Random) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    assert lived(shuffled).rings == lived(events).rings


@given(histories)
def test_rings_hold_the_moments_of_just_the_events_that_are_asked_for(events: list[Event]) -> None:
    def newest_first(*wanted: Event) -> tuple[int, ...]:
        return tuple(sorted((event.occurred_ms for event in wanted), reverse=True))

    rings = lived(events).rings
    big = [event for event in events if event.type == "a" and b'"big":true' in event.properties]
    assert rings.get(ring_id(happened("a")), ()) == newest_first(*(one for one in events if one.type == "a"))
    assert rings.get(ring_id(happened("a", big=True)), ()) == newest_first(*big)
    own = [event for event in events if event.type in ("a", "b", IDENTIFIED)]
    assert rings.get(ring_id(happened("*")), ()) == newest_first(*own)
    shown = [event for event in events if event.type == IMPRESSION]
    assert rings.get(ring_id(happened(IMPRESSION)), ()) == newest_first(*shown)


@given(histories, st.integers(0, 12), st.booleans())
def test_events_that_a_state_has_count_no_second_time(events: list[Event], projected: int, cut: bool) -> None:
    """However many of them are projected already, and though a state forgets all but the newest."""
    state = lived(events[:projected])
    laid = lived(events, as_kept(state) if cut else state)
    assert audiences_of(laid) == audiences_of(lived(events))
    assert lived(events, laid) == laid
    if not cut:
        assert laid.rings == lived(events).rings


@given(histories, histories)
def test_a_union_of_rings_is_what_one_state_would_have_become(mine: list[Event], theirs: list[Event]) -> None:
    theirs = [event._replace(id_bytes=UUID(int=event.id.int + 1_000).bytes) for event in theirs]
    together = lived([*mine, *theirs])
    assert union(lived(mine), lived(theirs)).rings == together.rings
    assert audiences_of(union(as_kept(lived(mine)), as_kept(lived(theirs)))) == audiences_of(together)


@given(histories)
def test_keeping_only_the_newest_moments_changes_no_audience(events: list[Event]) -> None:
    state = lived(events)
    assert audiences_of(as_kept(state)) == audiences_of(state)


def test_every_kept_moment_matters() -> None:
    """Else the tests above would say nothing about how many are kept."""
    state = as_kept(lived([did("a", True, ago_ms, number) for number, ago_ms in enumerate((0, 1, 2), 1)]))
    short = {id_: ring[: FEATURES[id_].kept - 1] for id_, ring in state.rings.items()}
    ring = ring_id(happened("a"))
    assert len(state.rings[ring]) == 3
    assert audiences_of(replace(state, rings={**state.rings, ring: short[ring]})) != audiences_of(state)


def test_traits_that_somebody_else_set_are_laid_too() -> None:
    assert with_events(UserState(), [identified({"plan": "free"}, 1)._replace(type=UPDATED)]).traits == {"plan": "free"}


@pytest.mark.parametrize("state", [UserState(), UserState(rings={"f" * 16: (3, 2)})])
def test_events_that_no_feature_asks_for_leave_rings_alone(state: UserState) -> None:
    assert lived([did("b", False, 0)], state).rings == {**state.rings, ring_id(happened("*")): (NOW_MS,)}
    assert with_events(state, [did("b", False, 0)]) == state
