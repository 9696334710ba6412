"""A prepared table: deciding by bits agrees with deciding rule by rule, and an earlier table changes nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decide import Context, Occasion, Person, decide, eligible, in_context, person, verdict
from engine.message_index import indexing
from engine.steps import finish
from engine.table import OrgTable, PreparedMessage, prepare, preparing_table
from tests.support.org_cases import CONTEXTS, MOMENTS_MS, Rules, Targeted, message, orgs, table_of
from tests.support.rule_cases import AUDIENCE_IDS, NOW_MS, STATIC_ID
from wire.bundle import EVERYONE, Bundle, Manifest, Version
from wire.rule_tree import Compare
from wire.userstate import UserState

KNOWN_AND_VERIFIED = st.sampled_from([(True, True), (True, False), (False, False)])
LATER_MS = st.sampled_from([0, 1, 1_000, 60_000, 60_001])


@given(orgs(), CONTEXTS, KNOWN_AND_VERIFIED, st.booleans(), st.lists(LATER_MS, min_size=1, max_size=3))
def test_deciding_about_all_messages_agrees_with_the_verdict_on_each(
    drawn: tuple[OrgTable, UserState, Rules],
    context: Context,
    kind: tuple[bool, bool],
    resolve: bool,
    later_ms: list[int],
) -> None:
    table, state, _ = drawn
    for now_ms in (NOW_MS + ms for ms in later_ms):
        somebody = replace(person(table, state, {}, now_ms), known=kind[0], verified=kind[1])
        context = context._replace(resolve=resolve)
        given_one_by_one = [
            prepared for prepared in table.messages if verdict(prepared, somebody, context, now_ms).reason is None
        ]
        assert decide(table, somebody, context, now_ms) == (
            first_of_each_slot(given_one_by_one) if resolve else given_one_by_one
        )


def first_of_each_slot(messages: list[PreparedMessage]) -> list[PreparedMessage]:
    winners: dict[str, PreparedMessage] = {}
    for prepared in messages:
        winners.setdefault(prepared.message.slot, prepared)
    return list(winners.values())


@given(orgs())
def test_what_somebody_may_get_stays_until_the_moment_that_is_told(drawn: tuple[OrgTable, UserState, Rules]) -> None:
    table, state, _ = drawn
    may = eligible(table, person(table, state, {}, NOW_MS), NOW_MS)
    last_ms = NOW_MS + 400_000_000 if may.changes_ms is None else may.changes_ms - 1
    for now_ms in (last_ms, (NOW_MS + last_ms) // 2):
        assert eligible(table, person(table, state, {}, now_ms), now_ms).messages == may.messages


@given(orgs(), orgs(), CONTEXTS, MOMENTS_MS)
def test_a_table_made_after_another_is_the_table_made_afresh(
    earlier: tuple[OrgTable, UserState, Rules],
    later: tuple[OrgTable, UserState, Rules],
    context: Context,
    moment_ms: int | None,
) -> None:
    (before, _, _), (table, state, _) = earlier, later
    manifest, bundles = parts_of(table)
    now_ms = moment_ms or NOW_MS
    again = prepare(manifest, bundles, before)
    for made in (again, prepare(manifest, bundles, again)):
        given_by_it = decide(made, person(made, state, {}, now_ms), context, now_ms)
        assert [each.message for each in given_by_it] == [
            each.message for each in decide(table, person(table, state, {}, now_ms), context, now_ms)
        ]


def parts_of(table: OrgTable) -> tuple[Manifest, dict[str, Bundle]]:
    ids = (*AUDIENCE_IDS, STATIC_ID, EVERYONE)
    bundles = {
        id_: Bundle(
            id_,
            table.rules[id_].json if id_ in table.rules else None,
            tuple(each.message for each in table.messages if (each.audience_id or EVERYONE) == id_),
        )
        for id_ in ids
    }
    manifest = Manifest(
        table.version, len(table.messages), dict.fromkeys(ids, ""), frozenset(), table.features.features
    )
    return manifest, bundles


PRO = Compare("plan", "eq", "pro")


def of(*messages: Targeted, plan: str = "pro") -> OrgTable:
    return table_of(list(messages), {id_: Compare("plan", "eq", plan) for id_ in AUDIENCE_IDS})


def test_what_did_not_change_is_taken_from_the_earlier_table() -> None:
    texts = [Targeted(AUDIENCE_IDS[0], message(f"m{number}")) for number in range(3)]
    before = of(*texts)
    manifest, bundles = parts_of(before)
    again = prepare(manifest, bundles, before)
    assert again.membership is before.membership and again.features is before.features
    assert all(new is old for new, old in zip(again.messages, before.messages, strict=True))
    edited = Targeted(AUDIENCE_IDS[0], message("m1", version=2))
    after = prepare(*parts_of(of(texts[0], edited, texts[2])), before)
    assert [new is old for new, old in zip(after.messages, before.messages, strict=True)] == [True, False, True]


def test_a_large_table_is_prepared_in_many_steps() -> None:
    messages = [message(f"m{number:04d}", trigger={"url": {"op": "eq", "value": "x"}}) for number in range(1_000)]
    bundles = {EVERYONE: Bundle(EVERYONE, None, tuple(messages))}
    manifest = Manifest(Version(1, 1, 1), len(messages), {EVERYONE: ""}, frozenset())
    assert sum(1 for _ in preparing_table(manifest, bundles)) > 50
    assert len(finish(preparing_table(manifest, bundles)).messages) == 1_000


@pytest.mark.parametrize("number", [0, 1, 7, 8, 9, 64, 1_000])
def test_places_are_those_of_the_bits(number: int) -> None:
    index = finish(indexing(of(*[Targeted(None, message(f"m{each:04d}")) for each in range(number)]).messages, 0))
    for expected in ([], list(range(number)), list(range(0, number, 3)), list(range(0, number, 100)), [number // 2]):
        messages = sum(index.bit(place) for place in expected if place < number)
        assert index.places(messages) == [place for place in expected if place < number]


def test_texts_are_remembered_without_mixing_up_who_asked() -> None:
    """A test is made only for messages in question, so what is known of a text grows as others ask."""
    here = {"url": {"op": "eq", "value": "here"}}
    org = of(Targeted(None, message("a", trigger=here)), Targeted(None, message("b", trigger=here)))
    for among, expected in ((0b10, [0]), (0b01, [1]), (0b11, [0, 1])):
        assert in_context(org, among, Context("here")) == expected
        assert in_context(org, among, Context("there")) == []


def test_an_event_fits_by_its_type_and_its_properties() -> None:
    where = [{"property": "a", "op": "exists"}]
    org = of(
        Targeted(None, message("a", trigger={"eventType": "e"})),
        Targeted(None, message("b", trigger={"eventType": "e", "where": where})),
        Targeted(None, message("c", trigger={"eventType": "f"})),
        Targeted(None, message("d")),
    )
    assert in_context(org, 0b1111, Context(event=Occasion("e", {}))) == [0, 3]
    assert in_context(org, 0b1111, Context(event=Occasion("e", {"a": 1}))) == [0, 1, 3]
    assert in_context(org, 0b1111, Context(event=Occasion("g", {}))) == [3]
    assert in_context(org, 0b1111, Context()) == [0, 1, 2, 3]
    assert in_context(org, 0b1111, Context(resolve=True)) == [3]


def test_nobody_known_gets_only_what_depends_on_nothing() -> None:
    org = of(Targeted(None, message("a")), Targeted(AUDIENCE_IDS[0], message("b")))
    assert eligible(org, Person(0, {}, known=False), NOW_MS).messages == org.index.bit(0)
    assert eligible(
        org, Person(org.membership.mask_of(AUDIENCE_IDS), {}, verified=False), NOW_MS
    ).messages == org.index.bit(0)
