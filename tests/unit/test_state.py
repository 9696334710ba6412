"""Events laid over a state: idempotent, in any order."""

from dataclasses import replace
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from engine.state import union, with_events
from wire import codec
from wire.events import CLICKED, DISMISSED, IDENTIFIED, IMPRESSION, Event
from wire.traits import MOST_TRAITS
from wire.userstate import RECENT_IMPRESSIONS, Seen, UserState

ORG = UUID(int=1)
MESSAGE = "01890000-0000-7000-8000-0000000000aa"


def identified(traits: dict[str, object], received_ms: int, number: int = 1) -> Event:
    return Event(UUID(int=number), ORG, IDENTIFIED, "ada", None, received_ms, received_ms, codec.to_json(traits))


def about_message(type_: str, occurred_ms: int) -> Event:
    properties = codec.to_json({"messageId": MESSAGE})
    return Event(UUID(int=occurred_ms), ORG, type_, "ada", None, occurred_ms, occurred_ms, properties)


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
    twins = [replace(about_message(IMPRESSION, 9), id=UUID(int=number)) for number in (1, 2)]
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


def test_a_union_adds_up_what_both_have_seen() -> None:
    mine = UserState(seen={MESSAGE: Seen(1, 0, 0, (5,))}, aliases=frozenset({"x"}))
    theirs = UserState(seen={MESSAGE: Seen(2, 1, 0, (9, 3))}, static_audiences=frozenset({"s"}))
    both = union(mine, theirs)
    assert both.seen == {MESSAGE: Seen(3, 1, 0, (9, 5, 3))}
    assert (both.static_audiences, both.aliases) == (frozenset({"s"}), frozenset({"x"}))
