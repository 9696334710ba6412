"""Acknowledged events over states, until the states have them."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

import orjson
import pytest
from prometheus_client import REGISTRY

from edge.era import Era
from edge.overlay import ORG_SHARE, Overlay
from edge.people import NOTHING_KNOWN, People, Who
from edge.users import Entry, Key
from engine.features import FeatureIndex
from engine.state import with_events
from engine.steps import finish
from tests.support.spooling import event
from wire.events import IDENTIFIED, IMPRESSION, Event
from wire.features import Feature
from wire.rule_tree import ANY_EVENT
from wire.rules import parse_where
from wire.userstate import MOST_ALIASES, Seen, UserState

T = TypeVar("T")

ORG = UUID(int=7)
MESSAGE = str(UUID(int=1))
PROPERTIES = b'{"messageId":"%b"}' % MESSAGE.encode()


def impression(occurred_ms: int = 5, **fields: object) -> Event:
    return event(IMPRESSION, properties=PROPERTIES, occurred_ms=occurred_ms, **fields)  # type: ignore[arg-type]


def claim(user_id: str = "ada", anonymous_id: str = "x") -> Event:
    return event(IDENTIFIED, user_id=user_id, anonymous_id=anonymous_id, properties=b'{"plan":"gold"}')


def add(overlay: Overlay, number: int, events: Sequence[Event]) -> None:
    finish(overlay.adding(number, events))


def drop(overlay: Overlay, number: int) -> None:
    finish(overlay.dropping(number))


def laid(overlay: Overlay, subject: str = "u:ada") -> list[tuple[bytes, int]]:
    return [(each.id_bytes, each.occurred_ms) for each in overlay.events((ORG, subject))]


def types(overlay: Overlay, org_id: UUID = ORG) -> list[str]:
    return [each.type for each in overlay.events((org_id, "u:ada"))]


def room_for(events: int, properties_bytes: int = 2) -> int:
    """As many bytes as let one org have so many events."""
    return ORG_SHARE * events * (1_000 + properties_bytes)


def test_events_are_found_by_org_and_subject() -> None:
    overlay, seen = Overlay(), impression()
    add(overlay, 1, [seen, impression(user_id="bob"), impression(org_id=UUID(int=8))])
    assert laid(overlay) == [(seen.id_bytes, 5)]
    assert overlay.events((ORG, "u:nobody")) == []


def test_what_no_rule_looks_at_is_not_kept() -> None:
    overlay = Overlay()
    add(overlay, 1, [event("report.exported", properties=b'{"pages":3}', context=b'{"os":"ios"}', session_id="s")])
    (kept,) = overlay.events((ORG, "u:ada"))
    assert (kept.type, kept.properties, kept.occurred_ms) == ("report.exported", b'{"pages":3}', 5)
    assert not hasattr(kept, "context")


def test_large_things_that_no_rule_looks_at_are_let_go_of_though_nobody_asks() -> None:
    overlay, large = Overlay(), [b'{"x":"%b"}' % (b"y" * 30_000), "s" * 30_000]
    before = [sys.getrefcount(each) for each in large]
    add(overlay, 1, [impression(context=large[0]), event(session_id=large[1])])
    assert [sys.getrefcount(each) for each in large] == before
    assert types(overlay) == [IMPRESSION, "a"]


def test_an_org_for_which_there_is_no_room_leaves_nothing_behind() -> None:
    overlay = Overlay(room_for(0))
    add(overlay, 1, [event()])
    assert (overlay._orgs, overlay.subjects(1)) == ({}, set())


def test_past_a_limit_events_that_are_only_counted_are_not_kept_and_the_others_are() -> None:
    overlay = Overlay(room_for(2))
    add(overlay, 1, [event("a"), impression()])
    add(overlay, 2, [event("b"), event("c"), claim(), impression()])
    assert types(overlay) == ["a", IMPRESSION, "b", IDENTIFIED, IMPRESSION]
    drop(overlay, 1)
    drop(overlay, 1)
    add(overlay, 3, [event("d"), event("e")])
    assert types(overlay) == ["b", IDENTIFIED, IMPRESSION, "d"]


def test_what_is_not_laid_over_is_counted() -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("inapp_edge_events_not_laid_over_total") or 0

    before, overlay = counted(), Overlay(room_for(2))
    add(overlay, 1, [event(), impression(), event(), event(), event()])
    assert counted() == before + 2


def test_large_events_leave_less_room() -> None:
    overlay = Overlay(room_for(2, properties_bytes=30_000))
    add(overlay, 1, [event(properties=b'{"x":"%b"}' % (b"y" * 29_992)) for _ in range(3)])
    assert len(laid(overlay)) == 2


def test_an_org_that_floods_an_edge_leaves_room_to_the_others_until_all_have_theirs() -> None:
    overlay = Overlay(room_for(2))
    others = [UUID(int=number) for number in range(100, 100 + ORG_SHARE)]
    add(overlay, 1, [event() for _ in range(100)])
    add(overlay, 2, [event(org_id=org_id) for org_id in others for _ in range(2)])
    assert [len(types(overlay, org_id)) for org_id in (ORG, *others)] == [2, 2, 2, 2, 0]
    drop(overlay, 1)
    add(overlay, 3, [event(org_id=others[-1]) for _ in range(3)])
    assert len(types(overlay, others[-1])) == 2
    for number in (2, 3):
        drop(overlay, number)
    assert (overlay._all_bytes, overlay._orgs) == (0, {})


def test_of_one_customer_the_newest_are_laid_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.overlay.MOST_OF_ONE", 3)
    overlay = Overlay()
    for number in (1, 2, 3):
        add(overlay, number, [event(f"{number}a"), event(f"{number}b")])
    assert types(overlay) == ["2b", "3a", "3b"]


def test_what_is_laid_over_counts_before_the_rest_of_its_batch_is() -> None:
    changed: list[Key] = []
    overlay = Overlay(on_change=changed.append)
    steps = overlay.adding(1, [event(user_id=f"user{number}") for number in range(100)])
    next(steps)
    early = len(changed)
    assert 0 < early < 100
    assert changed == [key for key in changed if overlay.events(key)]
    finish(steps)
    assert len(changed) == len(overlay.subjects(1)) == 100


def test_who_is_lifted_off_no_longer_counts_though_the_rest_of_the_batch_does() -> None:
    changed: list[Key] = []
    overlay = Overlay(on_change=changed.append)
    add(overlay, 1, [event(user_id=f"user{number % 10}") for number in range(100)])
    changed.clear()
    steps = overlay.dropping(1)
    next(steps)
    (lifted,) = changed
    assert overlay.events(lifted) == []
    assert sum(len(overlay.events((ORG, f"u:user{number}"))) for number in range(10)) == 90
    finish(steps)
    assert len(changed) == 10


def test_everyone_whom_an_event_concerns_is_told_of_once_in_a_while() -> None:
    changed: list[Key] = []
    overlay = Overlay(on_change=changed.append)
    add(overlay, 1, [event() for _ in range(20)])
    assert changed == [(ORG, "u:ada")]
    add(overlay, 2, [claim()])
    drop(overlay, 2)
    assert sorted(changed[1:]) == [(ORG, "a:x"), (ORG, "a:x"), (ORG, "u:ada"), (ORG, "u:ada")]


def test_an_event_that_was_sent_twice_counts_once() -> None:
    overlay, seen = Overlay(), impression()
    add(overlay, 1, [seen])
    add(overlay, 2, [impression(occurred_ms=6, id_bytes=seen.id_bytes)])
    assert laid(overlay) == [(seen.id_bytes, 5)]


def test_an_event_that_is_sent_again_counts_no_second_time_once_the_first_is_recorded() -> None:
    """Also when it was sent again before that, and is only recorded later."""
    overlay, first = Overlay(), event(occurred_ms=5)
    add(overlay, 1, [first])
    add(overlay, 2, [event(occurred_ms=6, id_bytes=first.id_bytes)])
    drop(overlay, 1)
    assert laid(overlay) == []
    add(overlay, 3, [event(occurred_ms=7, id_bytes=first.id_bytes), event("other")])
    assert types(overlay) == ["other"]


def test_only_the_latest_recorded_events_are_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.overlay.MOST_RECORDED", 2)
    overlay, sent = Overlay(), [event(str(number)) for number in range(3)]
    for number in (0, 1):
        add(overlay, number, [sent[number]])
        drop(overlay, number)
    add(overlay, 2, [sent[0]])
    drop(overlay, 2)
    add(overlay, 3, [sent[2]])
    drop(overlay, 3)
    add(overlay, 4, sent)
    assert types(overlay) == ["1"]


def test_dropping_a_batch_leaves_the_others() -> None:
    overlay, first, second = Overlay(), impression(1), impression(2)
    add(overlay, 1, [first])
    add(overlay, 2, [second])
    drop(overlay, 1)
    assert laid(overlay) == [(second.id_bytes, 2)]
    drop(overlay, 2)
    drop(overlay, 2)
    assert len(overlay) == 0
    assert (overlay._orgs, overlay._batches, overlay._ids) == ({}, {}, set())


def test_a_claim_concerns_both_the_user_and_the_anonymous_visitor() -> None:
    overlay = Overlay()
    add(overlay, 1, [claim()])
    assert overlay.subjects(1) == {(ORG, "u:ada"), (ORG, "a:x")}
    assert overlay.claims((ORG, "u:ada")) == ["x"]
    assert overlay.claims((ORG, "a:x")) == []
    assert overlay.events((ORG, "a:x")) == []


def test_laying_over_a_state_that_has_the_event_changes_nothing() -> None:
    state = UserState(rev=3, seen={MESSAGE: Seen(1, recent_ms=(5,))})
    assert with_events(state, [impression(5)]) == state


class States:
    """Stands in for the cache of user states."""

    def __init__(self, **states: UserState | None) -> None:
        self.states = {name.replace("_", ":", 1): state for name, state in states.items()}

    async def get(self, org_id: UUID, subjects: list[str]) -> list[Entry | None]:
        states = [self.states.get(subject, NOTHING_KNOWN) for subject in subjects]
        return [None if state is None else Entry(state.rev, state.encode(), Era()) for state in states]

    async def ask(self, org_id: UUID, subjects: list[str], then: Callable[[list[Entry | None]], T]) -> T:
        return then(await self.get(org_id, subjects))


VIEWED = "viewed"
FEATURE = Feature(VIEWED, (), 3)
FEATURES = FeatureIndex([FEATURE])
NO_TRAITS = b"{}"
"""What is read of a state that is decoded."""


def viewed(occurred_ms: int, **fields: object) -> Event:
    return event(VIEWED, occurred_ms=occurred_ms, **fields)  # type: ignore[arg-type]


def with_ring(*moments_ms: int, **fields: object) -> UserState:
    return UserState(rev=1, rings={FEATURE.id: moments_ms}, **fields)  # type: ignore[arg-type]


def seen_once(at_ms: int) -> UserState:
    return UserState(rev=1, seen={MESSAGE: Seen(1, recent_ms=(at_ms,))})


@pytest.mark.anyio
class TestPeople:
    async def state(
        self,
        overlay: Overlay,
        states: States,
        user_id: str | None,
        anonymous_id: str | None,
        features: FeatureIndex = FEATURES,
    ) -> UserState | None:
        people, who = People(states, overlay), Who(ORG, user_id, anonymous_id)  # type: ignore[arg-type]
        return await people.read(who, lambda read: None if read is None else people.state(who, read, features))

    async def test_a_state_that_cannot_be_had_makes_the_person_unknown(self) -> None:
        assert await self.state(Overlay(), States(u_ada=None), "ada", None) is None
        assert await self.state(Overlay(), States(a_x=None), "ada", "x") is None
        assert await self.state(Overlay(), States(a_x=None), None, "x") is None

    async def test_a_user_and_the_visitor_they_were_are_one_person(self) -> None:
        state = await self.state(Overlay(), States(u_ada=seen_once(1), a_x=seen_once(2)), "ada", "x")
        assert state is not None and state.seen[MESSAGE] == Seen(2, recent_ms=(2, 1))

    async def test_a_listed_alias_is_not_added_again(self) -> None:
        ada = UserState(rev=2, seen=seen_once(2).seen, aliases=frozenset({"x"}))
        state = await self.state(Overlay(), States(u_ada=ada, a_x=seen_once(2)), "ada", "x")
        assert state is not None and state.seen[MESSAGE].impressions == 1

    async def test_what_a_listed_alias_just_did_is_the_users(self) -> None:
        overlay = Overlay()
        add(overlay, 1, [impression(9, user_id=None, anonymous_id="x")])
        ada = UserState(rev=2, seen=seen_once(2).seen, aliases=frozenset({"x"}))
        state = await self.state(overlay, States(u_ada=ada), "ada", "x")
        assert state is not None and state.seen[MESSAGE].impressions == 2

    async def test_a_claim_just_made_counts_without_the_anonymous_id(self) -> None:
        overlay = Overlay()
        add(overlay, 1, [claim()])
        state = await self.state(overlay, States(a_x=seen_once(2)), "ada", None)
        assert state is not None and state.seen[MESSAGE].impressions == 1
        assert state.traits == {"plan": "gold"}

    async def test_the_device_that_asks_counts_though_its_user_may_claim_no_more(self) -> None:
        overlay = Overlay()
        add(overlay, 1, [claim(anonymous_id="y")])
        ada = UserState(rev=2, aliases=frozenset(f"x{n}" for n in range(MOST_ALIASES)))
        state = await self.state(overlay, States(u_ada=ada, a_here=seen_once(2), a_y=seen_once(1)), "ada", "here")
        assert state is not None and state.seen[MESSAGE] == Seen(1, recent_ms=(2,))

    @pytest.mark.parametrize("listed", [0, 60, MOST_ALIASES])
    async def test_no_more_claims_count_than_a_user_may_have_aliases(self, listed: int) -> None:
        overlay = Overlay()
        add(overlay, 1, [claim(anonymous_id=f"x{n}") for n in range(MOST_ALIASES + 50)])
        ada = UserState(rev=2, aliases=frozenset(f"x{n}" for n in range(listed)))
        visitors = {f"a_x{n}": seen_once(n) for n in range(MOST_ALIASES + 50)}
        state = await self.state(overlay, States(u_ada=ada, **visitors), "ada", None)
        seen = {} if state is None else state.seen
        assert seen.get(MESSAGE, Seen()).impressions == MOST_ALIASES - listed
        assert seen.get(MESSAGE, Seen()).recent_ms == tuple(range(MOST_ALIASES - 1, listed - 1, -1))

    async def test_the_visitor_that_comes_along_counts_though_the_user_can_claim_no_more(self) -> None:
        ada = UserState(rev=2, aliases=frozenset(f"x{n}" for n in range(MOST_ALIASES)))
        state = await self.state(Overlay(), States(u_ada=ada, a_new=seen_once(2)), "ada", "new")
        assert state is not None and state.seen[MESSAGE].impressions == 1

    async def test_events_just_acknowledged_are_in_the_rings_of_users_and_visitors(self) -> None:
        overlay = Overlay()
        add(overlay, 1, [viewed(7), viewed(5), viewed(8, user_id=None, anonymous_id="x"), event("other")])
        ada = await self.state(overlay, States(u_ada=with_ring(5)), "ada", None)
        visitor = await self.state(overlay, States(a_x=with_ring(6)), None, "x")
        assert ada is not None and ada.rings == {FEATURE.id: (7, 5)}
        assert visitor is not None and visitor.rings == {FEATURE.id: (8, 6)}

    async def test_the_rings_of_a_visitor_count_for_the_user_before_the_claim_is_projected_and_after(self) -> None:
        overlay = Overlay()
        add(overlay, 1, [viewed(8, user_id=None, anonymous_id="x")])
        add(overlay, 2, [claim(), viewed(9)])
        before = States(u_ada=with_ring(3), a_x=with_ring(8, 6))
        ring = {FEATURE.id: (9, 8, 6, 3)}
        for who in (("ada", "x"), ("ada", None)):
            state = await self.state(overlay, before, *who)
            assert state is not None and state.rings == ring
        after = States(u_ada=with_ring(9, 8, 6, 3, aliases=frozenset({"x"})), a_x=UserState(rev=1))
        for who in (("ada", "x"), ("ada", None)):
            state = await self.state(overlay, after, *who)
            assert state is not None and state.rings == ring

    async def test_events_of_one_millisecond_under_both_names_are_two(self) -> None:
        overlay = Overlay()
        add(overlay, 1, [viewed(8, user_id=None, anonymous_id="x"), claim(), viewed(8)])
        for states in (States(), States(u_ada=UserState(aliases=frozenset({"x"})))):
            state = await self.state(overlay, states, "ada", "x")
            assert state is not None and state.rings == {FEATURE.id: (8, 8)}

    async def test_events_are_not_read_again_for_each_fetch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[bytes] = []

        def from_json(data: bytes) -> object:
            if data != NO_TRAITS:
                read.append(data)
            return orjson.loads(data)

        monkeypatch.setattr("engine.state.codec.from_json", from_json)
        overlay = Overlay()
        add(overlay, 1, [viewed(moment, properties=b'{"n":%d}' % (moment % 2)) for moment in range(1, 11)])
        add(overlay, 2, [impression(moment) for moment in (1, 2)])
        (where,) = parse_where([{"property": "n", "op": "eq", "value": 1}])
        odd, anything = Feature(VIEWED, (where,), 3), Feature(ANY_EVENT, (), 3)
        plain, conditional = FeatureIndex([FEATURE, anything]), FeatureIndex([FEATURE, odd])
        for features, count in ((plain, 2), (conditional, 12), (FeatureIndex([FEATURE, odd]), 22)):
            for _ in range(3):
                state = await self.state(overlay, States(), "ada", None, features)
                assert state is not None and len(state.rings[FEATURE.id]) == 10
                assert state.rings.get(odd.id, (9, 7, 5, 3, 1)) == (9, 7, 5, 3, 1)
                assert (odd.id in state.rings) == (features is not plain)
                assert state.seen[MESSAGE].impressions == 2
                assert len(read) == count

    async def test_what_leaves_the_overlay_while_states_are_read_still_counts(self) -> None:
        overlay = Overlay()

        class Slow(States):
            async def get(self, org_id: UUID, subjects: list[str]) -> list[Entry | None]:
                read = await super().get(org_id, subjects)
                drop(overlay, 1)
                return read

        for who in (("ada", None), ("ada", "x")):
            add(overlay, 1, [impression()])
            state = await self.state(overlay, Slow(), *who)
            assert state is not None and state.seen[MESSAGE].impressions == 1
