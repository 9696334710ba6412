import random
from dataclasses import replace
from typing import Any

import pytest

from compiler.check import check
from compiler.compile import Compiled, compile_org
from compiler.snapshot import MessageRow, Snapshot
from engine.audiences import StoredAudience
from engine.table import TableError
from tests.support.compiler_rows import (
    APPEARANCE,
    CONTENT,
    KEY,
    NOW_MS,
    VERSION,
    audience_row,
    message_row,
    snapshot,
    uuid,
)
from tests.support.publishing import happened
from wire import codec
from wire.bundle import EVERYONE, Bundle, CompiledMessage, FrequencyCap, Settings

FREE = {"trait": "plan", "op": "eq", "value": "free"}
MISSING = str(uuid(404))
Problems = set[tuple[str, str]]


def compiled(*messages: MessageRow, audiences: list[StoredAudience] | None = None, now_ms: int = NOW_MS) -> Compiled:
    made = compile_org(snapshot(*messages, audiences=audiences or []), now_ms)
    check(made)
    return made


def bundles(made: Compiled) -> dict[str, Bundle]:
    return {audience: Bundle.decode(made.bundles[sha]) for audience, sha in made.manifest.bundles.items()}


def messages_in(made: Compiled) -> list[CompiledMessage]:
    return [message for bundle in bundles(made).values() for message in bundle.messages]


def only_message(row: MessageRow, audiences: list[StoredAudience] | None = None) -> CompiledMessage:
    made = compiled(row, audiences=audiences)
    assert made.problems == {}
    [message] = messages_in(made)
    return message


def problems(row: MessageRow, audiences: list[StoredAudience] | None = None) -> Problems:
    """(pointer, code) of what is wrong with `row`; a sound message beside it must not suffer."""
    sound = message_row(999)
    made = compiled(row, sound, audiences=audiences)
    assert [message.id for message in messages_in(made)] == [str(sound.id)]
    assert list(made.problems) == [str(row.id)]
    return {(problem.pointer, problem.code) for problem in made.problems[str(row.id)]}


def test_a_message_is_compiled_with_all_that_a_device_gets() -> None:
    trigger = {"eventType": "report.exported", "where": [], "delaySeconds": 5}
    cap = {"maxImpressions": 3, "perSeconds": 86400, "minIntervalSeconds": 600, "stopAfter": ["dismiss", "click"]}
    row = message_row(trigger=trigger, frequency_cap=cap, starts_ms=NOW_MS + 1, ends_ms=NOW_MS + 2, version=4)
    message = only_message(row)
    assert codec.from_json(message.json) == {
        "id": str(row.id),
        "version": 4,
        "type": "modal",
        "slot": "modal:center",
        "priority": 50,
        "content": dict(CONTENT),
        "appearance": dict(APPEARANCE),
        "trigger": trigger,
        "frequencyCap": {**cap, "stopAfter": ["click", "dismiss"]},
        "startsAt": "2027-01-15T08:00:00.001Z",
        "endsAt": "2027-01-15T08:00:00.002Z",
    }
    assert message.cap == FrequencyCap(3, 86400, 600, ("click", "dismiss"))
    assert (message.version, message.starts_ms, message.ends_ms) == (4, NOW_MS + 1, NOW_MS + 2)
    assert (message.priority, message.created_ms, message.trigger) == (50, row.created_ms, trigger)


@pytest.mark.parametrize(
    ("changes", "slot"),
    [
        ({}, "modal:center"),
        ({"type": "banner", "appearance": {"position": "top"}}, "banner:top"),
        ({"type": "tooltip", "appearance": {"position": None, "anchor": "#new"}}, "tooltip:#new"),
        ({"slot": "promo"}, "promo"),
    ],
)
def test_the_slot_is_the_named_one_or_the_place_where_the_message_shows(changes: dict[str, Any], slot: str) -> None:
    message = only_message(message_row(**changes))
    assert message.slot == slot == codec.from_json(message.json)["slot"]


@pytest.mark.parametrize("cap", [None, {}, {"maxImpressions": None, "stopAfter": []}, {"perSeconds": 60}])
def test_a_cap_that_limits_nothing_is_none(cap: object) -> None:
    message = only_message(message_row(frequency_cap=cap))
    assert message.cap is None
    assert codec.from_json(message.json)["frequencyCap"] is None


@pytest.mark.parametrize(
    ("changes", "is_in"),
    [
        ({"ends_ms": NOW_MS + 1}, True),
        ({"ends_ms": NOW_MS}, False),
        ({"starts_ms": NOW_MS + 10**9}, True),
        ({"active": False}, False),
    ],
)
def test_ended_and_paused_messages_are_left_out_and_later_ones_are_in(changes: dict[str, Any], is_in: bool) -> None:
    made = compiled(message_row(**changes))
    assert made.manifest.message_count == len(messages_in(made)) == int(is_in)
    assert made.problems == {}


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([(None, None)], None),
        ([(NOW_MS + 5, NOW_MS + 9), (None, NOW_MS + 7)], NOW_MS + 5),
        ([(NOW_MS - 5, NOW_MS + 9)], NOW_MS + 9),
        ([(NOW_MS, None), (None, NOW_MS)], None),
    ],
)
def test_the_next_boundary_is_the_first_start_or_end_to_come(
    windows: list[tuple[int | None, int | None]], expected: int | None
) -> None:
    rows = [message_row(n, starts_ms=start, ends_ms=end) for n, (start, end) in enumerate(windows, 1)]
    assert compiled(*rows).changes_ms == expected


def test_an_audience_is_published_when_anything_refers_to_it_and_only_then() -> None:
    audiences = [
        audience_row(11, FREE),
        audience_row(12, None),
        audience_row(13, {"all": [{"audience": str(uuid(14)).upper()}]}),
        audience_row(14, {"not": {"audience": str(uuid(15))}}),
        audience_row(15, None),
        audience_row(16, FREE),
    ]
    row = message_row(
        audience_id=uuid(11), exclude_audience_ids=(uuid(12), uuid(12)), trigger={"audienceId": str(uuid(13))}
    )
    made = compiled(row, audiences=audiences)
    assert set(made.manifest.bundles) == {str(uuid(n)) for n in (11, 12, 13, 14, 15)}
    found = bundles(made)
    assert found[str(uuid(11))].rule == FREE
    assert [message.id for message in found[str(uuid(11))].messages] == [str(row.id)]
    assert found[str(uuid(11))].messages[0].exclude_audience_ids == (str(uuid(12)),)
    assert found[str(uuid(12))].rule is None
    assert found[str(uuid(13))].rule == {"all": [{"audience": str(uuid(14))}]}
    assert found[str(uuid(13))].messages == ()


def test_the_audience_of_a_trigger_is_found_however_its_id_is_written() -> None:
    audience = StoredAudience(id=uuid(0xABCDEF), name="Hex", rule=None, preparing=False)
    written = str(audience.id).upper()
    message = only_message(message_row(trigger={"audienceId": written}), [audience])
    assert message.trigger == {"audienceId": str(audience.id)} != {"audienceId": written}


def viewed(count: int = 1, within: str = "7d", **where: object) -> dict[str, Any]:
    return happened("viewed", "gte", count, within, **where)


NAMED = pytest.mark.parametrize(
    "changes",
    [
        {"audience_id": uuid(11)},
        {"exclude_audience_ids": (uuid(99), uuid(11))},
        {"trigger": {"audienceId": str(uuid(11)).upper()}},
    ],
    ids=["for", "except", "when"],
)


@NAMED
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_message_that_needs_an_audience_which_is_being_prepared_is_left_out_without_a_problem(
    changes: dict[str, Any], depth: int
) -> None:
    """Also when only an audience that its own refers to is."""
    chain = [audience_row(11 + n, {"audience": str(uuid(12 + n))}) for n in range(depth)]
    ready = audience_row(99, viewed(2))
    beside = message_row(2, audience_id=uuid(99))
    for preparing in (True, False):
        last = audience_row(11 + depth, viewed(5), preparing=preparing)
        made = compiled(message_row(**changes), beside, audiences=[*chain, last, ready])
        left = {str(beside.id)} if preparing else {str(uuid(1)), str(beside.id)}
        assert {message.id for message in messages_in(made)} == left
        assert (made.problems, made.preparing) == ({}, int(preparing))
        assert set(made.manifest.bundles) - {EVERYONE} == (
            {str(uuid(99))} if preparing else {str(uuid(99)), *(str(uuid(11 + n)) for n in range(depth + 1))}
        )
        assert [feature.kept for feature in made.manifest.features] == [2 if preparing else 5]


def test_a_message_that_has_a_fault_and_waits_for_an_audience_shows_its_fault() -> None:
    audiences = [audience_row(11, viewed(), preparing=True)]
    assert problems(message_row(audience_id=uuid(11), slot=""), audiences) == {("/slot", "invalid_slot")}
    assert compiled(message_row(audience_id=uuid(11), slot=""), audiences=audiences).preparing == 0


def test_messages_that_are_not_due_anyway_are_not_said_to_wait() -> None:
    rows = [message_row(1, audience_id=uuid(11), active=False), message_row(2, audience_id=uuid(11), ends_ms=NOW_MS)]
    assert compiled(*rows, audiences=[audience_row(11, viewed(), preparing=True)]).preparing == 0


def test_the_manifest_has_the_features_of_the_audiences_that_are_needed_and_of_no_other() -> None:
    audiences = [
        audience_row(11, {"all": [viewed(3), FREE, {"not": {"audience": str(uuid(12))}}]}),
        audience_row(12, {"any": [viewed(5), viewed(2, big=True)]}),
        audience_row(13, happened("*")),
        audience_row(14, happened("bought", "eq", 0)),
        audience_row(15, None),
    ]
    row = message_row(audience_id=uuid(11), trigger={"audienceId": str(uuid(14))}, exclude_audience_ids=(uuid(15),))
    found = compiled(row, audiences=audiences).manifest.features
    assert {(feature.event, len(feature.where), feature.kept) for feature in found} == {
        ("viewed", 0, 5),
        ("viewed", 1, 2),
        ("bought", 0, 1),
    }
    assert [feature.id for feature in found] == sorted(feature.id for feature in found)


def test_the_manifest_names_version_keys_and_settings() -> None:
    settings = Settings(require_identity_token=True, identity_secret="s3cret")
    manifest = compile_org(snapshot(settings=settings), NOW_MS).manifest
    assert (manifest.version, manifest.keys, manifest.settings) == (VERSION, frozenset({KEY}), settings)
    assert (manifest.message_count, manifest.bundles, manifest.features) == (0, {}, ())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"type": "popup"}, {("/type", "unknown_value")}),
        ({"content": "1e999"}, {("/content", "wrong_type")}),
        ({"content": {}}, {("/content/body", "missing_field")}),
        ({"content": {"body": ""}}, {("/content/body", "too_short")}),
        ({"content": {"body": 5, "title": 7}}, {("/content/body", "wrong_type"), ("/content/title", "wrong_type")}),
        (
            {"content": {"body": "x", "ctaUrl": "java\tscript:alert(1)"}},
            {("/content/ctaUrl", "url_scheme_not_allowed")},
        ),
        ({"content": {"body": "x", "imageUrl": "http://a.b/c.png"}}, {("/content/imageUrl", "url_scheme_not_allowed")}),
        ({"content": {"body": "x", "more": [[[[[[[[[[[]]]]]]]]]]]}}, {("/content", "too_deep")}),
        ({"appearance": None}, {("/appearance", "wrong_type")}),
        ({"appearance": {}}, {("/appearance/position", "missing_field")}),
        ({"appearance": {"position": "left"}}, {("/appearance/position", "unknown_value")}),
        (
            {"appearance": {"position": "top", "textColor": "red;}", "theme": "neon"}},
            {("/appearance/textColor", "invalid_color"), ("/appearance/theme", "unknown_value")},
        ),
        ({"type": "tooltip"}, {("/appearance/anchor", "wrong_type")}),
        ({"trigger": []}, {("/trigger", "wrong_type")}),
        ({"trigger": {"weather": "rain"}}, {("/trigger/weather", "unknown_field")}),
        ({"trigger": {"eventType": "9 lives"}}, {("/trigger/eventType", "invalid_event_type")}),
        ({"trigger": {"delaySeconds": 301}}, {("/trigger/delaySeconds", "out_of_range")}),
        ({"trigger": {"delaySeconds": 1.5}}, {("/trigger/delaySeconds", "wrong_type")}),
        (
            {"trigger": {"where": [{"property": "n", "op": "eq", "value": 1}]}},
            {("/trigger/where", "event_type_missing")},
        ),
        (
            {"trigger": {"eventType": "a", "where": [{"property": "n", "op": "is", "value": 1}, {"trait": "n"}]}},
            {("/trigger/where/0/op", "unknown_op"), ("/trigger/where/1", "unknown_rule")},
        ),
        (
            {"trigger": {"url": {"op": "glob", "value": "\\x"}, "screen": {"op": "regex", "value": ""}}},
            {("/trigger/url/value", "invalid_glob"), ("/trigger/screen/op", "unknown_op")},
        ),
        ({"trigger": {"audienceId": "nobody"}}, {("/trigger/audienceId", "audience_not_found")}),
        ({"audience_id": uuid(404)}, {("/audienceId", "audience_not_found")}),
        ({"exclude_audience_ids": (uuid(404),)}, {("/excludeAudienceIds/0", "audience_not_found")}),
        ({"frequency_cap": [3]}, {("/frequencyCap", "wrong_type")}),
        ({"frequency_cap": {"maxImpressions": 0}}, {("/frequencyCap/maxImpressions", "out_of_range")}),
        ({"frequency_cap": {"maxImpressions": True}}, {("/frequencyCap/maxImpressions", "wrong_type")}),
        ({"frequency_cap": {"perDay": 1}}, {("/frequencyCap/perDay", "unknown_field")}),
        ({"frequency_cap": {"stopAfter": ["hover"]}}, {("/frequencyCap/stopAfter/0", "unknown_value")}),
        (
            {"frequency_cap": {"maxImpressions": 101, "perSeconds": 60}},
            {("/frequencyCap/maxImpressions", "out_of_range")},
        ),
        ({"slot": ""}, {("/slot", "invalid_slot")}),
        ({"starts_ms": 10**15}, {("/startsAt", "out_of_range")}),
        ({"starts_ms": -62_135_596_800_001}, {("/startsAt", "out_of_range")}),
        ({"ends_ms": 253_402_300_800_000}, {("/endsAt", "out_of_range")}),
        ({"ends_ms": 2**63 - 1}, {("/endsAt", "out_of_range")}),
    ],
    ids=str,
)
def test_a_broken_message_is_left_out_with_its_reason_and_stops_nobody_else(
    changes: dict[str, Any], expected: Problems
) -> None:
    assert problems(message_row(**changes)) == expected


def test_every_reason_is_given_at_once() -> None:
    row = message_row(
        type="popup",
        content={"title": 1, "body": 2},
        trigger={"url": 5, "delaySeconds": -1},
        frequency_cap={"maxImpressions": "many"},
        audience_id=uuid(404),
        slot="",
    )
    assert {pointer for pointer, _ in problems(row)} == {
        "/type",
        "/content/title",
        "/content/body",
        "/trigger/url",
        "/trigger/delaySeconds",
        "/frequencyCap/maxImpressions",
        "/audienceId",
        "/slot",
    }


def test_a_paused_or_ended_message_has_no_problems() -> None:
    assert compiled(message_row(1, content={}, active=False), message_row(2, content={}, ends_ms=NOW_MS)).problems == {}


@pytest.mark.parametrize(
    ("audiences", "codes"),
    [
        ([audience_row(11, {"trait": "plan"})], {"missing_field"}),
        ([audience_row(11, {"all": [{"trait": "a", "op": "is"}, {}]})], {"unknown_op", "unknown_rule"}),
        ([audience_row(11, "not a rule")], {"wrong_type"}),
        ([audience_row(11, {"event": "9 lives", "within": "soon"})], {"invalid_event_type", "invalid_duration"}),
        ([audience_row(11, {"event": "a", "count": {"op": "gte", "value": -1}}, preparing=True)], {"out_of_range"}),
        ([audience_row(11, {"audience": MISSING})], {"audience_not_found"}),
        ([audience_row(11, {"audience": str(uuid(12))}), audience_row(12, {})], {"audience_broken"}),
        ([audience_row(11, {"audience": str(uuid(11))})], {"audience_cycle"}),
        (
            [audience_row(11, {"audience": str(uuid(12))}), audience_row(12, {"audience": str(uuid(11))})],
            {"audience_cycle"},
        ),
        (
            [audience_row(11, {"audience": str(uuid(12))}), audience_row(12, {"audience": str(uuid(12))})],
            {"audience_broken"},
        ),
    ],
    ids=[
        "no op",
        "two faults",
        "no object",
        "odd event",
        "odd count",
        "missing",
        "refers to broken",
        "itself",
        "circle",
        "refers to circle",
    ],
)
@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"audience_id": uuid(11)}, "/audienceId"),
        ({"exclude_audience_ids": (uuid(99), uuid(11))}, "/excludeAudienceIds/1"),
        ({"trigger": {"audienceId": str(uuid(11))}}, "/trigger/audienceId"),
    ],
    ids=["for", "except", "when"],
)
def test_a_message_with_a_broken_audience_is_left_out_and_so_is_the_audience(
    audiences: list[StoredAudience], codes: set[str], changes: dict[str, Any], pointer: str
) -> None:
    sound = audience_row(99, None)
    assert problems(message_row(**changes), [*audiences, sound]) == {(pointer, code) for code in codes}
    beside = message_row(2, audience_id=uuid(99))
    made = compiled(message_row(**changes), beside, audiences=[*audiences, sound])
    assert set(made.manifest.bundles) == {str(uuid(99))}


def test_the_reason_names_the_audience_and_says_where_its_rule_is_wrong() -> None:
    audience = audience_row(11, {"all": [FREE, {"trait": "a", "op": "is"}]}, "Power users")
    [problem] = compiled(message_row(audience_id=uuid(11)), audiences=[audience]).problems[str(uuid(1))]
    assert problem.message.startswith("Audience “Power users” cannot be used: /rule/all/1/op: ")


def test_two_circles_are_both_found() -> None:
    audiences = [audience_row(n, {"audience": str(uuid(n))}) for n in (11, 12)]
    made = compiled(message_row(1, audience_id=uuid(11)), message_row(2, audience_id=uuid(12)), audiences=audiences)
    assert {problem.code for found in made.problems.values() for problem in found} == {"audience_cycle"}
    assert set(made.problems) == {str(uuid(1)), str(uuid(2))}


def test_the_same_rows_make_the_same_bytes_in_whatever_order_they_and_their_keys_come() -> None:
    rows = [
        message_row(n, audience_id=uuid(11), trigger={"eventType": "a", "delaySeconds": n, "screen": None})
        for n in range(1, 20)
    ]
    audiences = [
        audience_row(11, {"any": [FREE, {"audience": str(uuid(12))}, viewed(2, a=1, b=2), viewed(1)]}),
        audience_row(12, {"all": [viewed(2, b=2, a=1), happened("*"), {"audience": str(uuid(13))}]}),
        audience_row(13, None),
    ]
    made = compiled(*rows, audiences=audiences)
    shuffled = [_with_keys_reversed(row) for row in rows]
    random.Random(5).shuffle(shuffled)
    again = compiled(*shuffled, audiences=audiences[::-1])
    assert again.bundles == made.bundles
    assert again.manifest.encode() == made.manifest.encode()


def _with_keys_reversed(row: MessageRow) -> MessageRow:
    return row._replace(
        content=_reversed(row.content), appearance=_reversed(row.appearance), trigger=_reversed(row.trigger or "{}")
    )


def _reversed(json_text: str) -> str:
    value = codec.from_json(json_text)
    return codec.to_json(dict(reversed(value.items()))).decode()


def test_a_change_of_one_message_changes_only_the_bundle_of_its_audience() -> None:
    audiences = [audience_row(11, FREE)]
    rows = [message_row(1), message_row(2, audience_id=uuid(11))]
    before = compiled(*rows, audiences=audiences).manifest.bundles
    after = compiled(rows[0], rows[1]._replace(priority=99), audiences=audiences).manifest.bundles
    assert after[EVERYONE] == before[EVERYONE]
    assert after[str(uuid(11))] != before[str(uuid(11))]


def test_the_self_check_refuses_what_an_edge_would_refuse() -> None:
    made = compiled(message_row())
    check(made)
    with pytest.raises(TableError, match="1 messages where the manifest says 2"):
        check(replace(made, manifest=replace(made.manifest, message_count=2)))
    counting = compiled(message_row(audience_id=uuid(11)), audiences=[audience_row(11, viewed())])
    with pytest.raises(TableError, match="lacks features"):
        check(replace(counting, manifest=replace(counting.manifest, features=())))


def test_hundreds_of_messages_and_audiences_are_accepted_by_the_engine() -> None:
    audiences = [audience_row(1000 + n, {"all": [FREE, {"trait": "n", "op": "gte", "value": n}]}) for n in range(50)]
    rows = [message_row(n, audience_id=uuid(1000 + n % 50), frequency_cap={"maxImpressions": n}) for n in range(1, 300)]
    made = compiled(*rows, audiences=audiences)
    assert made.manifest.message_count == 299
    assert len(made.bundles) == 50


def test_an_org_without_anything_is_compiled_too() -> None:
    made = compile_org(Snapshot(uuid(7), VERSION, Settings(), frozenset(), (), ()), NOW_MS)
    check(made)
    assert (made.bundles, made.problems, made.changes_ms) == ({}, {}, None)
