"""A compile that takes from an earlier one what has not changed makes the same bytes as one from nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.check import Checked, check
from compiler.compile import NO_PARTS, Compiled, compile_org
from compiler.snapshot import MessageRow, Snapshot
from engine.table import OrgTable, TableError, prepare
from tests.support.compiler_rows import NOW_MS, VERSION, audience_row, message_row, snapshot, uuid
from tests.support.publishing import happened
from wire.bundle import EVERYONE, Bundle, Settings, sha_of

A, B, C, MISSING = uuid(11), uuid(12), uuid(13), uuid(404)
AUDIENCES = st.sampled_from([A, A, B, B, C, C, MISSING])
HOUR_MS = 3_600_000

_VALUES = st.sampled_from([1, 1.0, True, "1"])
"""Most of them equal, and none the same: a rule over one of them is another rule over another."""

_RULES = st.one_of(
    st.none(),
    st.integers(1, 3).map(lambda count: happened("bought", "gte", count, "7d")),
    _VALUES.map(lambda value: {"trait": "n", "op": "eq", "value": value}),
    AUDIENCES.map(lambda audience_id: {"any": [{"audience": str(audience_id)}, {"trait": "a", "op": "exists"}]}),
    st.integers(1, 3).map(lambda count: happened("viewed", "gte", count, "7d")),
    st.just({"trait": 5}),
)
_TRIGGERS = st.one_of(
    st.none(),
    AUDIENCES.map(lambda audience_id: {"audienceId": str(audience_id).upper()}),
    _VALUES.map(lambda value: {"eventType": "a", "where": [{"property": "n", "op": "eq", "value": value}]}),
    st.just({"url": {"op": "regex", "value": "x"}}),
    st.none(),
)
_STORED_AUDIENCES = st.tuples(st.sampled_from(("Old", "New")), _RULES, st.sampled_from((False, False, True)))
_MOMENTS = st.none() | st.integers(-3, 3).map(lambda hours: NOW_MS + hours * HOUR_MS)

_MESSAGES = st.fixed_dictionaries(
    {
        "audience_id": st.none() | AUDIENCES,
        "exclude_audience_ids": st.just(()) | st.lists(AUDIENCES, max_size=2).map(tuple),
        "trigger": _TRIGGERS,
        "starts_ms": _MOMENTS,
        "ends_ms": _MOMENTS,
        "active": st.sampled_from((True, True, False)),
        "priority": st.integers(0, 3),
        "content": st.sampled_from([{"body": "Hello"}, {"body": "Hello", "dismissible": True}, {"body": "Bye"}, {}]),
    }
)


@dataclass(frozen=True)
class World:
    """`messages` and `audiences`: what a row is made of, by number; audiences are (name, rule, preparing)."""

    messages: Mapping[int, Mapping[str, Any]]
    audiences: Mapping[int, tuple[str, object, bool]]
    now_ms: int

    def snapshot(self, revision: int) -> Snapshot:
        """Of rows that are made anew, as if they had been read."""
        rows = [message_row(number, **changes) for number, changes in sorted(self.messages.items())]
        audiences = [
            audience_row(number, rule, name, preparing=preparing)
            for number, (name, rule, preparing) in sorted(self.audiences.items())
        ]
        return replace(snapshot(*rows, audiences=audiences), version=VERSION._replace(revision=revision))


def message_written(draw: st.DrawFn, world: World) -> World:
    return replace(world, messages={**world.messages, draw(st.integers(1, 5)): draw(_MESSAGES)})


def field_changed(draw: st.DrawFn, world: World) -> World:
    number, message = draw(st.sampled_from(sorted(world.messages) or [1])), draw(_MESSAGES)
    name = draw(st.sampled_from(sorted(message)))
    changed = {**world.messages.get(number, message), name: message[name]}
    return replace(world, messages={**world.messages, number: changed})


def message_archived(draw: st.DrawFn, world: World) -> World:
    gone = draw(st.integers(1, 5))
    return replace(world, messages={number: each for number, each in world.messages.items() if number != gone})


def audience_written(draw: st.DrawFn, world: World) -> World:
    return replace(world, audiences={**world.audiences, draw(st.integers(11, 13)): draw(_STORED_AUDIENCES)})


def audience_turned(draw: st.DrawFn, world: World) -> World:
    """It is prepared now, or no longer."""
    number = draw(st.integers(11, 13))
    name, rule, preparing = world.audiences.get(number, ("New", None, True))
    return replace(world, audiences={**world.audiences, number: (name, rule, not preparing)})


def audience_removed(draw: st.DrawFn, world: World) -> World:
    gone = draw(st.integers(11, 13))
    return replace(world, audiences={number: each for number, each in world.audiences.items() if number != gone})


def an_hour_later(_draw: st.DrawFn, world: World) -> World:
    return replace(world, now_ms=world.now_ms + HOUR_MS)


EDITS = st.sampled_from(
    (
        message_written,
        field_changed,
        message_archived,
        audience_written,
        audience_turned,
        audience_removed,
        an_hour_later,
    )
)


@st.composite
def histories(draw: st.DrawFn) -> list[World]:
    """One world after the other, an edit or two apart."""
    world = World(
        {number: draw(_MESSAGES) for number in range(1, draw(st.integers(3, 5)))},
        {number: draw(_STORED_AUDIENCES) for number in range(11, draw(st.integers(13, 14)))},
        NOW_MS - 2 * HOUR_MS,
    )
    worlds = [world]
    for _ in range(draw(st.integers(4, 12))):
        for edit in draw(st.lists(EDITS, min_size=1, max_size=2)):
            world = edit(draw, world)
        worlds.append(world)
    return worlds


def outcome(made: Compiled) -> tuple[object, ...]:
    """All that anybody gets to see of it."""
    problems = {message_id: list(found) for message_id, found in made.problems.items()}
    return made.manifest, made.manifest.encode(), made.bundles, problems, made.preparing, made.changes_ms


@given(histories(), st.data())
def test_what_was_compiled_before_never_shows(worlds: list[World], data: st.DataObject) -> None:
    """Whatever it was: the last compile, or one from long ago, as after the lease was with another compiler."""
    made: list[tuple[Compiled, Checked]] = []
    for revision, world in enumerate(worlds):
        now = world.snapshot(revision)
        fresh = compile_org(now, world.now_ms)
        earlier = data.draw(st.sampled_from([*made, None])) if made else None
        again = compile_org(now, world.now_ms, earlier[0].parts if earlier else NO_PARTS)
        assert outcome(again) == outcome(fresh)
        checked = check(again, earlier[1] if earlier else None)
        assert checked.bundles == check(fresh).bundles
        made.append((again, checked))


@pytest.fixture
def rows() -> list[MessageRow]:
    return [
        message_row(1, exclude_audience_ids=(A,)),
        message_row(2, audience_id=B, trigger={"audienceId": str(A)}),
        message_row(3, audience_id=B),
    ]


STORED = [
    audience_row(11, {"trait": "n", "op": "eq", "value": 1}),
    audience_row(12, happened("viewed", "gte", 2, "7d")),
]


def compiled(rows: list[MessageRow], before: Compiled | None = None) -> Compiled:
    now = snapshot(*rows, audiences=STORED)
    return compile_org(now, NOW_MS, before.parts if before else NO_PARTS)


def copied(rows: list[MessageRow]) -> list[MessageRow]:
    """Equal, and no part of one is the other's."""
    return [row._replace(content=f"{row.content} "[:-1]) for row in rows]


def test_only_what_changed_is_made_again(rows: list[MessageRow]) -> None:
    before = compiled(rows)
    after = compiled([*copied(rows[:2]), rows[2]._replace(priority=7)], before)
    unchanged = [str(uuid(number)) for number in (1, 2)]
    assert [after.parts.messages[id_] is before.parts.messages[id_] for id_ in unchanged] == [True, True]
    assert after.parts.bundles[EVERYONE] is before.parts.bundles[EVERYONE]
    assert after.parts.bundles[str(B)] is not before.parts.bundles[str(B)]
    assert after.parts.audiences is before.parts.audiences


def test_a_rule_over_an_equal_value_of_another_type_is_another_rule_here_and_at_edges() -> None:
    def made(value: object, before: Compiled | None = None) -> Compiled:
        audience = audience_row(11, {"trait": "n", "op": "eq", "value": value})
        now = snapshot(message_row(1, audience_id=A), audiences=[audience])
        return compile_org(now, NOW_MS, before.parts if before else NO_PARTS)

    def table(made: Compiled, before: OrgTable | None = None) -> OrgTable:
        [sha] = made.bundles
        return prepare(made.manifest, {str(A): Bundle.decode(made.bundles[sha])}, before)

    one = made(1)
    true = made(True, one)
    assert true.bundles.keys().isdisjoint(one.bundles)
    assert made(1.0, one).bundles.keys().isdisjoint(one.bundles)
    at_edge = table(true, table(one)).membership
    held = [at_edge.evaluate({"n": value}, {}, frozenset(), NOW_MS)[0] for value in (1, True)]
    assert held == [0, at_edge.mask_of([str(A)])]


def test_what_rules_ask_is_asked_only_of_those_that_are_needed_now() -> None:
    stored = [audience_row(11, happened("viewed")), audience_row(12, happened("bought"))]
    now = [snapshot(message_row(1, audience_id=audience_id), audiences=stored) for audience_id in (A, B, B)]
    made = compile_org(now[1], NOW_MS, compile_org(now[0], NOW_MS).parts)
    assert [feature.event for feature in made.manifest.features] == ["bought"]
    assert compile_org(now[2], NOW_MS, made.parts).manifest.features is made.manifest.features


def test_an_audience_that_is_only_ready_now_or_only_has_another_name_is_looked_at_again() -> None:
    def made(name: str, before: Compiled | None = None, *, preparing: bool = False) -> Compiled:
        stored = [audience_row(11, happened("viewed"), preparing=preparing), audience_row(12, {"trait": 5}, name)]
        now = snapshot(message_row(1, audience_id=A), message_row(2, audience_id=B), audiences=stored)
        return compile_org(now, NOW_MS, before.parts if before else NO_PARTS)

    waiting = made("Old", preparing=True)
    ready = made("Old", waiting)
    assert (waiting.preparing, ready.preparing) == (1, 0)
    assert list(ready.manifest.bundles) == [str(A)]
    assert "“New”" in made("New", ready).problems[str(uuid(2))][0].message


def test_keys_and_settings_come_from_the_snapshot_alone(rows: list[MessageRow]) -> None:
    before = compiled(rows)
    settings = Settings(require_identity_token=True)
    now = replace(snapshot(*rows, audiences=STORED, settings=settings), keys=frozenset({b"\x02" * 32}))
    after = compile_org(now, NOW_MS, before.parts)
    assert (after.manifest.settings, after.manifest.keys) == (settings, now.keys)


def test_messages_that_are_not_in_the_org_any_more_are_not_remembered(rows: list[MessageRow]) -> None:
    after = compiled(rows[:1], compiled(rows))
    assert list(after.parts.messages) == [str(rows[0].id)]
    assert set(after.parts.bundles) == {EVERYONE, str(A)}
    assert check(after, check(compiled(rows))).bundles.keys() == after.manifest.bundles.keys()


def with_bundle(made: Compiled, bundle: Bundle) -> Compiled:
    """As a bug of ours would have made it."""
    sha = sha_of(data := bundle.encode())
    shas = {**made.manifest.bundles, bundle.audience_id: sha}
    return replace(made, manifest=replace(made.manifest, bundles=shas), bundles={**made.bundles, sha: data})


def flawed(made: Compiled) -> Iterator[tuple[str, Compiled]]:
    """What is wrong, with every other bundle as it was."""
    manifest = made.manifest
    b = Bundle.decode(made.bundles[manifest.bundles[str(B)]])
    first, second = b.messages
    trigger = {"url": {"op": "regex", "value": "x"}}
    yield "cannot be compiled", with_bundle(made, replace(b, messages=(first, replace(second, trigger=trigger))))
    yield (
        "without a bundle",
        with_bundle(made, replace(b, messages=(first, replace(second, exclude_audience_ids=(str(MISSING),))))),
    )
    yield "2 messages where", with_bundle(made, replace(b, messages=(first,)))
    yield "4 messages where the manifest says 3", with_bundle(made, replace(b, messages=(first, second, second)))
    yield "cannot be compiled", with_bundle(made, replace(b, rule={"trait": 5}))
    yield "lacks features", replace(made, manifest=replace(manifest, features=()))
    fewer = {audience_id: sha for audience_id, sha in manifest.bundles.items() if audience_id != str(A)}
    yield "without a bundle", replace(made, manifest=replace(manifest, bundles=fewer))


def test_what_an_edge_would_refuse_is_refused_however_much_of_it_was_checked_before(rows: list[MessageRow]) -> None:
    made = compiled(rows)
    checked = check(made)
    flaws = list(flawed(made))
    assert len(flaws) == 7
    for before in (None, checked, check(made, checked)):
        for reason, wrong in flaws:
            with pytest.raises(TableError, match=reason):
                check(wrong, before)
        check(made, before)
