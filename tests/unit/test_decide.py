"""Which messages somebody gets: windows, audiences, triggers, caps, slots, and what happens when little is known."""

from dataclasses import replace
from typing import Any

import pytest

from engine.decide import NOBODY, Context, Occasion, Person, decide, eligible, person, verdict
from engine.table import OrgTable, TableError, prepare
from wire.bundle import EVERYONE, Bundle, CompiledMessage, FrequencyCap, Manifest, Version
from wire.userstate import Seen, UserState

NOW_MS = 1_800_000_000_000
ANYWHERE = Context()
FREE, STATIC = "audience-free", "audience-static"
FREE_RULE = {"trait": "plan", "op": "eq", "value": "free"}


def message(id_: str, **fields: Any) -> CompiledMessage:
    plain = CompiledMessage(id_, 1, "banner", "banner:top", 50, 1_000, (), None, None, None, None, b"{}")
    return replace(plain, **fields)


def table(*everyone: CompiledMessage, free: tuple[CompiledMessage, ...] = ()) -> OrgTable:
    bundles = {
        EVERYONE: Bundle(EVERYONE, None, everyone),
        FREE: Bundle(FREE, FREE_RULE, free),
        STATIC: Bundle(STATIC, None, ()),
    }
    manifest = Manifest(Version(1, 1, 1), len(everyone) + len(free), dict.fromkeys(bundles, "sha"), frozenset())
    return prepare(manifest, bundles)


def given(org: OrgTable, who: Person | None = None, context: Context = ANYWHERE, now_ms: int = NOW_MS) -> list[str]:
    somebody = who or person(org, UserState(), {}, now_ms)
    return [one.message.id for one in decide(org, somebody, context, now_ms)]


def changes_ms(org: OrgTable, who: Person | None, now_ms: int = NOW_MS) -> int | None:
    return eligible(org, who or person(org, UserState(), {}, now_ms), now_ms).changes_ms


def somebody(org: OrgTable, **state: Any) -> Person:
    return person(org, UserState(**state), {}, NOW_MS)


def test_the_higher_priority_comes_first_then_the_earlier_then_the_smaller_id() -> None:
    org = table(
        message("d"),
        message("c", created_ms=2_000),
        message("b", created_ms=2_000),
        message("a", priority=80, created_ms=9_000),
    )
    assert given(org) == ["a", "d", "b", "c"]


def test_resolve_keeps_the_winner_of_each_slot() -> None:
    org = table(message("a", priority=80), message("b"), message("c", slot="modal:center"))
    assert given(org, context=Context(resolve=True)) == ["a", "c"]


def test_a_window_begins_at_its_start_and_is_over_at_its_end() -> None:
    org = table(message("a", starts_ms=NOW_MS, ends_ms=NOW_MS + 10))
    assert [given(org, now_ms=NOW_MS + offset) for offset in (-1, 0, 9, 10)] == [[], ["a"], ["a"], []]
    assert changes_ms(org, None, now_ms=NOW_MS - 5) == NOW_MS
    assert changes_ms(org, None, now_ms=NOW_MS) == NOW_MS + 10


def test_an_audience_is_met_by_its_rule_or_by_being_listed() -> None:
    org = table(
        message("excluded", exclude_audience_ids=(STATIC,)),
        message("when-listed", trigger={"audienceId": STATIC}),
        free=(message("for-free"),),
    )
    assert given(org) == ["excluded"]
    assert given(org, somebody(org, traits={"plan": "free"})) == ["excluded", "for-free"]
    assert given(org, somebody(org, static_audiences=frozenset({STATIC}))) == ["when-listed"]


def test_traits_of_the_request_count_for_this_once() -> None:
    org = table(free=(message("a"),))
    assert given(org, person(org, UserState(traits={"plan": "pro"}), {"plan": "free"}, NOW_MS)) == ["a"]


TRIGGERED = {
    "eventType": "report.exported",
    "where": [{"property": "pages", "op": "gte", "value": 3}],
    "url": {"op": "glob", "value": "https://app.example.com/*"},
}


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (Context(), True),
        (Context(url="https://app.example.com/x"), True),
        (Context(url="https://example.com/x"), False),
        (Context(event=Occasion("report.exported", {"pages": 3})), True),
        (Context(event=Occasion("report.exported", {"pages": 2})), False),
        (Context(event=Occasion("other", {"pages": 3})), False),
        (Context(url="https://app.example.com/x", event=Occasion("report.exported", {"pages": 3}), resolve=True), True),
        (Context(url="https://app.example.com/x", resolve=True), False),
        (Context(event=Occasion("report.exported", {"pages": 3}), resolve=True), False),
    ],
)
def test_what_the_context_says_must_match_and_what_it_leaves_out_cannot_win_a_slot(
    context: Context, expected: bool
) -> None:
    assert given(table(message("a", trigger=TRIGGERED)), context=context) == (["a"] if expected else [])


def test_without_an_event_trigger_an_event_in_the_context_excludes_nothing() -> None:
    assert given(table(message("a")), context=Context(event=Occasion("any"), url="u", screen="s")) == ["a"]


def test_a_screen_trigger_matches_the_screen() -> None:
    org = table(message("a", trigger={"screen": {"op": "glob", "value": "Checkout*"}}))
    assert given(org, context=Context(screen="Checkout/2")) == ["a"]
    assert given(org, context=Context(screen="Home")) == []


def test_a_cap_counts_what_was_seen() -> None:
    org = table(message("a", cap=FrequencyCap(1, 60, None, ())))
    saw = somebody(org, seen={"a": Seen(1, recent_ms=(NOW_MS,))})
    assert given(org, saw) == []
    assert changes_ms(org, saw) == NOW_MS + 60_001


def test_an_unknown_state_withholds_what_depends_on_it_and_nothing_else() -> None:
    capped = message("capped", cap=FrequencyCap(1, None, None, ()))
    excluding = message("excluding", exclude_audience_ids=(FREE,))
    triggered = message("triggered", trigger={"audienceId": FREE})
    org = table(message("open"), capped, excluding, triggered, free=(message("targeted"),))
    assert given(org, NOBODY) == ["open"]


def test_an_unverified_person_gets_nothing_targeted() -> None:
    org = table(message("open"), message("capped", cap=FrequencyCap(1, None, None, ())), free=(message("targeted"),))
    unverified = person(org, UserState(traits={"plan": "free"}), {}, NOW_MS, verified=False)
    assert given(org, unverified) == ["capped", "open"]


def test_every_verdict_has_a_stable_reason() -> None:
    org = table(
        message("1", ends_ms=NOW_MS),
        message("2", starts_ms=NOW_MS + 1),
        message("3", exclude_audience_ids=(FREE,)),
        message("4", cap=FrequencyCap(1, None, None, ())),
        message("5", trigger=TRIGGERED),
        message("6"),
        free=(message("7"),),
    )
    who = somebody(org, traits={"plan": "free"}, seen={"4": Seen(1, recent_ms=(1,))})
    context = Context(url="nowhere")
    reasons = {one.message.id: verdict(one, who, context, NOW_MS).reason for one in org.messages}
    assert reasons == {
        "1": "ended",
        "2": "not_started",
        "3": "in_excluded_audience",
        "4": "cap_reached",
        "5": "url_mismatch",
        "6": None,
        "7": None,
    }


def test_the_answer_changes_at_the_moment_that_it_names() -> None:
    rule = {"trait": "trialEndedAt", "op": "within_last", "value": "1d"}
    bundles = {EVERYONE: Bundle(EVERYONE, None, ()), "t": Bundle("t", rule, (message("a"),))}
    org = prepare(Manifest(Version(1, 1, 1), 1, dict.fromkeys(bundles, "sha"), frozenset()), bundles)
    traits = {"trialEndedAt": "2027-01-15T08:00:00Z"}
    assert changes_ms(org, person(org, UserState(traits=traits), {}, NOW_MS)) == NOW_MS + 86_400_001
    for offset, expected in ((86_400_000, ["a"]), (86_400_001, [])):
        later = NOW_MS + offset
        assert given(org, person(org, UserState(traits=traits), {}, later), now_ms=later) == expected


@pytest.mark.parametrize(
    "bundles",
    [
        {EVERYONE: Bundle(EVERYONE, None, ())},
        {EVERYONE: Bundle(EVERYONE, None, (message("a"),)), "other": Bundle("other", None, ())},
        {EVERYONE: Bundle(EVERYONE, None, (message("a", trigger={"url": {"op": "regex", "value": "a"}}),))},
        {EVERYONE: Bundle(EVERYONE, {"trait": "a", "op": "nope"}, (message("a"),))},
    ],
    ids=["a message is missing", "not the manifest's bundles", "unknown pattern", "unreadable rule"],
)
def test_a_bad_bundle_is_refused_whole(bundles: dict[str, Bundle]) -> None:
    with pytest.raises(TableError):
        prepare(Manifest(Version(1, 1, 1), 1, {EVERYONE: "sha"}, frozenset()), bundles)
