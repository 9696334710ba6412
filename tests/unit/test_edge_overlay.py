"""Acknowledged events over states, until the states have them."""

from uuid import UUID

import pytest

from edge.overlay import Overlay
from edge.people import NOTHING_KNOWN, People
from engine.features import FeatureIndex
from engine.state import with_events
from tests.support.spooling import event
from wire.events import IDENTIFIED, IMPRESSION, Event
from wire.features import Feature
from wire.userstate import MOST_ALIASES, Seen, UserState

ORG = UUID(int=7)
MESSAGE = str(UUID(int=1))
PROPERTIES = b'{"messageId":"%b"}' % MESSAGE.encode()


def impression(occurred_ms: int = 5, **fields: object) -> Event:
    return event(IMPRESSION, properties=PROPERTIES, occurred_ms=occurred_ms, **fields)  # type: ignore[arg-type]


def claim(user_id: str = "ada", anonymous_id: str = "x") -> Event:
    return event(IDENTIFIED, user_id=user_id, anonymous_id=anonymous_id, properties=b'{"plan":"gold"}')


def test_events_are_found_by_org_and_subject() -> None:
    overlay, seen = Overlay(), impression()
    overlay.add(1, [seen, impression(user_id="bob"), impression(org_id=UUID(int=8))])
    assert overlay.events((ORG, "u:ada")) == [seen]
    assert overlay.events((ORG, "u:nobody")) == []


def test_what_no_rule_looks_at_is_not_kept() -> None:
    overlay = Overlay()
    overlay.add(1, [event("report.exported", properties=b'{"pages":3}', context=b'{"os":"ios"}', session_id="s")])
    (kept,) = overlay.events((ORG, "u:ada"))
    assert (kept.type, kept.properties, kept.occurred_ms) == ("report.exported", b'{"pages":3}', 5)
    assert (kept.context, kept.session_id) == (b"{}", None)


def test_past_a_limit_events_that_are_only_counted_are_not_kept_and_the_others_are() -> None:
    overlay = Overlay(most_counted=2)
    overlay.add(1, [event("a"), impression()])
    overlay.add(2, [event("b"), event("c"), claim(), impression()])
    assert [each.type for each in overlay.events((ORG, "u:ada"))] == ["a", IMPRESSION, "b", IDENTIFIED, IMPRESSION]
    overlay.drop(1)
    overlay.drop(1)
    overlay.add(3, [event("d"), event("e")])
    assert [each.type for each in overlay.events((ORG, "u:ada"))] == ["b", IDENTIFIED, IMPRESSION, "d"]


def test_of_one_customer_the_newest_are_laid_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.overlay.MOST_OF_ONE", 3)
    overlay = Overlay()
    for number in (1, 2, 3):
        overlay.add(number, [event(f"{number}a"), event(f"{number}b")])
    assert [each.type for each in overlay.events((ORG, "u:ada"))] == ["2b", "3a", "3b"]


def test_an_event_that_was_sent_twice_counts_once() -> None:
    overlay, seen = Overlay(), impression()
    overlay.add(1, [seen])
    overlay.add(2, [impression(occurred_ms=6, id=seen.id)])
    assert overlay.events((ORG, "u:ada")) == [seen]


def test_dropping_a_batch_leaves_the_others() -> None:
    overlay, first, second = Overlay(), impression(1), impression(2)
    overlay.add(1, [first])
    overlay.add(2, [second])
    overlay.drop(1)
    assert overlay.events((ORG, "u:ada")) == [second]
    overlay.drop(2)
    overlay.drop(2)
    assert len(overlay) == 0
    assert overlay._by_subject == {}


def test_a_claim_concerns_both_the_user_and_the_anonymous_visitor() -> None:
    overlay = Overlay()
    overlay.add(1, [claim()])
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

    async def get(self, org_id: UUID, subjects: list[str]) -> list[UserState | None]:
        return [self.states.get(subject, NOTHING_KNOWN) for subject in subjects]


VIEWED = "viewed"
FEATURE = Feature(VIEWED, (), 3)
FEATURES = FeatureIndex([FEATURE])


def viewed(occurred_ms: int, **fields: object) -> Event:
    return event(VIEWED, occurred_ms=occurred_ms, **fields)  # type: ignore[arg-type]


def with_ring(*moments_ms: int, **fields: object) -> UserState:
    return UserState(rev=1, rings={FEATURE.id: moments_ms}, **fields)  # type: ignore[arg-type]


def seen_once(at_ms: int) -> UserState:
    return UserState(rev=1, seen={MESSAGE: Seen(1, recent_ms=(at_ms,))})


@pytest.mark.anyio
class TestPeople:
    async def state(
        self, overlay: Overlay, states: States, user_id: str | None, anonymous_id: str | None
    ) -> UserState | None:
        return await People(states, overlay).state(ORG, user_id, anonymous_id, FEATURES)  # type: ignore[arg-type]

    async def test_nobody_in_particular_has_the_empty_state(self) -> None:
        assert await self.state(Overlay(), States(), None, None) == NOTHING_KNOWN

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
        overlay.add(1, [impression(9, user_id=None, anonymous_id="x")])
        ada = UserState(rev=2, seen=seen_once(2).seen, aliases=frozenset({"x"}))
        state = await self.state(overlay, States(u_ada=ada), "ada", "x")
        assert state is not None and state.seen[MESSAGE].impressions == 2

    async def test_a_claim_just_made_counts_without_the_anonymous_id(self) -> None:
        overlay = Overlay()
        overlay.add(1, [claim()])
        state = await self.state(overlay, States(a_x=seen_once(2)), "ada", None)
        assert state is not None and state.seen[MESSAGE].impressions == 1
        assert state.traits == {"plan": "gold"}

    @pytest.mark.parametrize("listed", [0, 60, MOST_ALIASES])
    async def test_no_more_claims_count_than_a_user_may_have_aliases(self, listed: int) -> None:
        overlay = Overlay()
        overlay.add(1, [claim(anonymous_id=f"x{n}") for n in range(MOST_ALIASES + 50)])
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
        overlay.add(1, [viewed(7), viewed(5), viewed(8, user_id=None, anonymous_id="x"), event("other")])
        ada = await self.state(overlay, States(u_ada=with_ring(5)), "ada", None)
        visitor = await self.state(overlay, States(a_x=with_ring(6)), None, "x")
        assert ada is not None and ada.rings == {FEATURE.id: (7, 5)}
        assert visitor is not None and visitor.rings == {FEATURE.id: (8, 6)}

    async def test_the_rings_of_a_visitor_count_for_the_user_before_the_claim_is_projected_and_after(self) -> None:
        overlay = Overlay()
        overlay.add(1, [viewed(8, user_id=None, anonymous_id="x")])
        overlay.add(2, [claim(), viewed(9)])
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
        overlay.add(1, [viewed(8, user_id=None, anonymous_id="x"), claim(), viewed(8)])
        for states in (States(), States(u_ada=UserState(aliases=frozenset({"x"})))):
            state = await self.state(overlay, states, "ada", "x")
            assert state is not None and state.rings == {FEATURE.id: (8, 8)}

    async def test_what_leaves_the_overlay_while_states_are_read_still_counts(self) -> None:
        overlay = Overlay()

        class Slow(States):
            async def get(self, org_id: UUID, subjects: list[str]) -> list[UserState | None]:
                read = await super().get(org_id, subjects)
                overlay.drop(1)
                return read

        for who in (("ada", None), ("ada", "x")):
            overlay.add(1, [impression()])
            state = await self.state(overlay, Slow(), *who)
            assert state is not None and state.seen[MESSAGE].impressions == 1
