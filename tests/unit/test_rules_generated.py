"""What rules are compiled to: it means what they say, for whatever rules and people, and does nothing twice."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, get_args
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import gates, values, wiring
from engine.clauses import compile_clause
from engine.rules import MOST_LOOKS, Membership, compile_rules
from tests.support import naive_rules, rule_cases
from tests.support.rule_cases import NOW_MS, STATIC_ID, Happening, Somebody, critical_moments, rings_of
from wire.features import feature_id
from wire.rule_tree import MOVING_OPS, AllOf, AnyOf, Compare, EventCount, InAudience, Not, Op, Rule

HOUR_MS = 3_600_000
NOW = "2026-03-15T12:00:00Z"
ACTIVE = EventCount("*", within="1h")
BOUGHT = EventCount("bought", within="1d")
RECENT = Compare("seen", "within_last", "1h")
NOBODY = Somebody()


SIZES = st.sampled_from([(64, 16, 256), (1, 0, 1), (2, 3, 0)])
"""How many clauses a column has, how many of a gate are repeated, how many texts are remembered."""


class Reads(Mapping[str, Any]):
    """A mapping that notes what is read of it."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self.of: list[str] = []

    def __getitem__(self, name: str) -> Any:
        self.of.append(name)
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


def compiled(rules: Mapping[str, Rule], sizes: tuple[int, int, int] = (64, 16, 256)) -> Membership:
    with ExitStack() as patches:
        for (module, name), size in zip(
            ((wiring, "MOST_CLAUSES"), (gates, "MOST_REPEATED"), (values, "MOST_TEXTS")), sizes, strict=True
        ):
            patches.enter_context(patch.object(module, name, size))
        return compile_rules(rules)


def evaluated(rule: Rule, somebody: Somebody = NOBODY, now_ms: int = NOW_MS) -> tuple[bool, int | None]:
    mask, change_ms = compile_rules({"it": rule}).evaluate(
        somebody.traits, rings_of(somebody.history, [rule]), frozenset(), now_ms
    )
    return bool(mask), change_ms


def did(*happenings: tuple[str, int], **traits: object) -> Somebody:
    """(type, how many ms ago) of each event."""
    return Somebody(traits, tuple(Happening(type_, NOW_MS - ago_ms) for type_, ago_ms in happenings))


@settings(max_examples=300, deadline=None)
@given(
    rules=rule_cases.AUDIENCES,
    somebody=rule_cases.PEOPLE,
    static=st.sampled_from([frozenset[str](), frozenset({STATIC_ID})]),
    now_ms=rule_cases.NOWS_MS,
    sizes=SIZES,
)
def test_what_is_compiled_agrees_with_walking_the_rules_at_every_moment_that_matters(
    rules: dict[str, Rule], somebody: Somebody, static: frozenset[str], now_ms: int, sizes: tuple[int, int, int]
) -> None:
    membership, rings = compiled(rules, sizes), rings_of(somebody.history, rules.values())
    named = frozenset(membership.ids)

    def members(at_ms: int) -> frozenset[str]:
        return naive_rules.members(rules, somebody, static, at_ms) & named

    held, change_ms = membership.evaluate(somebody.traits, rings, static, now_ms)
    assert membership.ids_of(held) == members(now_ms)
    later = [at_ms for at_ms in critical_moments(somebody, now_ms) if at_ms > now_ms]
    until = [at_ms for at_ms in later if change_ms is None or at_ms < change_ms]
    assert {members(at_ms) for at_ms in until} <= {members(now_ms)}
    if change_ms is not None:
        assert change_ms > now_ms
        assert members(change_ms - 1) == members(now_ms) != members(change_ms)
        assert membership.ids_of(membership.evaluate(somebody.traits, rings, static, change_ms)[0]) == members(
            change_ms
        )


ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 1.0, 0.5, 2**53 + 1, 10**400, math.inf, -math.inf, math.nan,
    "", "a", "ab", "ba", "1", "true", "None", "é", "2.1", "v2.1.0", "2026-01-01", "2026-01-01T00:00:00Z", "2" * 99,
    [], ["a"], ("a",), [["a"]], ["ab", 1], [True], [1.0], [None], {}, {"a": 1}, {"1": "a"},
]  # fmt: skip
SCALARS: list[Any] = ["", "a", "1", "é", "true", 0, 1, 1.0, -0.5, 2**53, 1e300, True, False]
ORDERED: list[Any] = [scalar for scalar in SCALARS if not isinstance(scalar, bool)]
OPERANDS: dict[str, Sequence[Any]] = {
    **dict.fromkeys(("eq", "neq", "contains", "not_contains"), SCALARS),
    **dict.fromkeys(("in", "nin"), (("a", ""), (1, "a"), (True, 1.0), (0,), (False,))),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), ORDERED),
    **dict.fromkeys(("starts_with", "ends_with"), ("", "a", "1")),
    "glob": ["*", "a*", "", "*1"],
    **dict.fromkeys(("exists", "not_exists"), (None,)),
    **dict.fromkeys(("before", "after"), ("2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z")),
    **{f"version_{order}": ["2.1", "1", "3.0"] for order in ("eq", "gt", "gte", "lt", "lte")},
}


@pytest.mark.parametrize("op", sorted(set(get_args(Op)) - MOVING_OPS))
@pytest.mark.parametrize("beside", [None, Compare("x", "ends_with", "b"), Compare("x", "gt", 0.5)])
def test_looking_up_means_what_the_test_of_the_comparison_means(op: Any, beside: Rule | None) -> None:
    """Twice: what a text says may be remembered."""
    compares = [Compare("x", op, operand) for operand in OPERANDS[op]]
    rules: dict[str, Rule] = {f"{number}": compare for number, compare in enumerate(compares)}
    membership = compile_rules(rules if beside is None else {"beside": beside, **rules})
    for value in [*ODD_VALUES, *ODD_VALUES]:
        held, _ = membership.evaluate({"x": value}, {}, frozenset(), NOW_MS)
        expected = {f"{number}" for number, compare in enumerate(compares) if compile_clause(compare)({"x": value})}
        assert membership.ids_of(held) - {"beside"} == expected, value


MOVING = st.builds(
    EventCount,
    st.sampled_from("ef"),
    st.just(()),
    st.sampled_from(["gte", "gt", "lte", "lt", "eq", "neq"]),
    st.integers(0, 3),
    st.sampled_from(["1s", "2s", "1m", "1h"]),
) | st.builds(Compare, st.sampled_from("ab"), st.just("within_last"), st.sampled_from(["1s", "1m", "1h"]))
MOVING_RULES = st.recursive(
    MOVING,
    lambda parts: (
        st.builds(AllOf, st.lists(parts, min_size=1, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(parts, min_size=1, max_size=3).map(tuple))
        | st.builds(Not, parts)
    ),
    max_leaves=8,
)
MOVING_PEOPLE = st.builds(
    Somebody,
    st.dictionaries(st.sampled_from("ab"), rule_cases.moments(), max_size=2),
    st.lists(
        st.builds(
            Happening,
            st.sampled_from("ef"),
            st.sampled_from([0, 1, 500, 999, 1_000, 1_001, 59_000, 60_000, HOUR_MS - 1, HOUR_MS]).map(
                lambda ago_ms: NOW_MS - ago_ms
            ),
        ),
        max_size=6,
    ).map(tuple),
)


@settings(max_examples=300, deadline=None)
@given(rule=MOVING_RULES, somebody=MOVING_PEOPLE)
def test_every_change_from_now_to_the_last_is_foretold(rule: Rule, somebody: Somebody) -> None:
    membership, rings = compile_rules({"it": rule}), rings_of(somebody.history, [rule])
    foretold, at_ms = [], NOW_MS
    while True:
        held, change_ms = membership.evaluate(somebody.traits, rings, frozenset(), at_ms)
        foretold.append((at_ms, bool(held)))
        if change_ms is None:
            break
        at_ms = change_ms
    seen, happened = None, []
    for at_ms in [NOW_MS, *(moment for moment in critical_moments(somebody, NOW_MS) if moment > NOW_MS)]:
        holds = bool(naive_rules.members({"it": rule}, somebody, frozenset(), at_ms))
        if holds is not seen:
            happened.append((at_ms, holds))
            seen = holds
    assert foretold == happened


@pytest.mark.parametrize(
    ("op", "count", "held"),
    [
        ("gte", 0, "tttt"), ("gte", 2, "fftt"), ("gt", 0, "fttt"), ("gt", 2, "ffft"),
        ("lte", 0, "tfff"), ("lte", 2, "tttf"), ("lt", 0, "ffff"), ("lt", 2, "ttff"),
        ("eq", 0, "tfff"), ("eq", 2, "fftf"), ("neq", 0, "fttt"), ("neq", 2, "ttft"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("within", [None, "1h"])
def test_a_count_is_compared(op: Any, count: int, held: str, within: str | None) -> None:
    leaf = EventCount("e", (), op, count, within)
    people = [did(*[("e", 1_000 + number) for number in range(times)]) for times in range(4)]
    assert "".join("t" if evaluated(leaf, somebody)[0] else "f" for somebody in people) == held


def test_the_last_millisecond_of_a_window_counts() -> None:
    twice = EventCount("e", count=2, within="1h")
    assert evaluated(twice, did(("e", 5), ("e", HOUR_MS))) == (True, NOW_MS + 1)
    assert evaluated(twice, did(("e", 5), ("e", HOUR_MS + 1))) == (False, None)


def test_what_rises_after_something_fell_is_no_change() -> None:
    nudge = AllOf((ACTIVE, Not(BOUGHT)))
    assert evaluated(nudge, did(("seen", 0), ("bought", 0))) == (False, None)
    assert evaluated(nudge, did(("seen", 0), ("bought", 86_400_000))) == (False, NOW_MS + 1)
    assert evaluated(nudge, did(("seen", 0), ("bought", 86_400_001))) == (True, NOW_MS + HOUR_MS + 1)
    assert evaluated(Not(nudge), did(("seen", 0), ("bought", 0))) == (True, None)


def test_a_date_to_come_takes_over_from_what_falls_after_it() -> None:
    either = AnyOf((RECENT, EventCount("e", within="1s")))
    assert evaluated(either, did(("e", 0), seen="2026-03-15T12:00:00.500Z")) == (True, NOW_MS + 500 + HOUR_MS + 1)


def test_a_date_to_come_keeps_together_what_would_otherwise_have_fallen_for_good() -> None:
    rule = AllOf((AnyOf((RECENT, EventCount("e", within="1s"))), Not(EventCount("f", within="1m"))))
    somebody = did(("e", 0), ("f", 0), seen="2026-03-15T12:00:30Z")
    assert evaluated(rule, somebody) == (False, NOW_MS + 60_001)
    assert evaluated(rule, somebody, NOW_MS + 60_001) == (True, NOW_MS + 30_000 + HOUR_MS + 1)


def test_moments_are_exact_at_the_end_of_time() -> None:
    at_ms = 253_402_300_799_999
    held = evaluated(Compare("seen", "within_last", "365d"), Somebody({"seen": "9999-12-31T23:59:59.999Z"}), at_ms)
    assert held == (True, at_ms + 365 * 86_400_000 + 1)


HOSTILE = [
    "'", '"', "\\", "\n", "\r", "\0", "{0}", "{x}", "{", "}", "%s", "#", "k0", "mask", "now", "no", "yes", "lambda:0",
    '"); __import__("os").abort() #', "__import__('os')", "\n return 0", "\u2028", "名", "é", "31337", "0.31337",
]  # fmt: skip


def hostile_rules() -> dict[str, Rule]:
    """Every op and place in which an author's text or number can stand."""
    leaves: list[Rule] = []
    for text in HOSTILE:
        ops: list[Any] = ["eq", "neq", "contains", "not_contains", "starts_with", "ends_with", "gt", "lte"]
        leaves += [Compare(text, op, text) for op in ops]
        leaves += [Compare(text, "in", (text, "x")), Compare(text, "nin", (text, 31_337)), Compare(text, "exists")]
        leaves += [Compare(text, "eq", True), Compare(text, "within_last", "31337s")]
        leaves += [
            EventCount(text, (Compare(text, "eq", text),), "gte", 377, "31337s"),
            EventCount(text, (), "eq", 377),
        ]
    numbers = (31_337, -31_337, 0.31337, 1e300)
    leaves += [Compare("n", op, number) for number in numbers for op in ("eq", "gt", "contains")]
    leaves += [Compare("d", "before", "2031-03-03T07:31:33.337Z"), Compare("v", "version_gte", "31337.31337")]
    leaves += [Compare("g", "glob", text.replace("\\", "\\\\")) for text in HOSTILE]
    return {f"{HOSTILE[number % len(HOSTILE)]}-{number}": leaf for number, leaf in enumerate(leaves)}


def test_hostile_names_and_values_mean_themselves() -> None:
    rules, now = hostile_rules(), NOW_MS
    for text in HOSTILE:
        somebody = Somebody({text: text, "n": 0.31337, "g": text}, (Happening(text, now, {text: text}),))
        held, _ = compile_rules(rules).evaluate(
            somebody.traits, rings_of(somebody.history, rules.values()), frozenset(), now
        )
        assert compile_rules(rules).ids_of(held) == naive_rules.members(rules, somebody, frozenset(), now)


def test_each_trait_is_looked_at_once_for_each_way_of_reading_it_and_each_ring_once_whoever_asks() -> None:
    leaves: list[Rule] = [
        Compare("x", "eq", "a"), Compare("x", "gt", 3), Compare("x", "gt", 4), Compare("x", "version_gt", "1"),
        Compare("x", "not_within_last", "1h"), Compare("x", "within_last", "2h"), Compare("x", "before", NOW),
        EventCount("e"), EventCount("e", count=3), EventCount("e", within="1h"), EventCount("e", op="eq", within="2h"),
    ]  # fmt: skip
    rules = {f"{number}": AnyOf((leaf, AllOf(tuple(leaves)))) for number, leaf in enumerate(leaves)}
    ring = feature_id("e", ())
    traits, rings = Reads({"x": "2020-01-01"}), Reads({ring: (NOW_MS - 1,)})
    compile_rules(rules).evaluate(traits, rings, frozenset(), NOW_MS)
    assert (traits.of, rings.of) == (["x"] * 3, [ring])


def test_each_distinct_clause_is_computed_once_whoever_asks() -> None:
    asked: list[object] = []

    def counting(_op: str, operand: Any) -> Any:
        def holds(value: object) -> bool:
            if isinstance(value, list):
                asked.append(operand)
            return True

        return holds

    same = Compare("x", "glob", "a*")
    rules: dict[str, Rule] = {
        "a": same, "b": Not(same), "c": AnyOf((Compare("x", "glob", "b*"), same)), "d": AllOf((same, Not(same))),
        "e": Compare("y", "in", (1, "a")), "f": Compare("y", "nin", (1, "a")),
    }  # fmt: skip
    with patch.object(values, "value_test", counting):
        membership = compile_rules(rules)
    held, _ = membership.evaluate({"x": [], "y": []}, {}, frozenset(), NOW_MS)
    assert membership.ids_of(held) == {"a", "c", "e"}
    assert sorted(map(str, asked)) == ["(1, 'a')", "a*", "b*"]


@pytest.mark.parametrize("rule", [RECENT, Not(RECENT), AllOf((RECENT, Not(BOUGHT))), AnyOf((ACTIVE, Not(RECENT)))])
def test_the_first_change_is_found_by_one_look_at_the_first_moment_that_matters(rule: Rule) -> None:
    """Windows over what decides nothing are not looked at."""
    decided = AnyOf((Compare("seen", "exists"), Compare("seen", "within_last", "1s")))
    membership = compile_rules({"decided": decided, "it": AllOf((rule, decided))})
    looks = count_looks(membership)
    _, change_ms = membership.evaluate({"seen": NOW}, {feature_id("*", ()): (NOW_MS - 5,)}, frozenset(), NOW_MS)
    assert change_ms is not None
    assert looks() == 2


def test_looking_for_the_next_change_ends_after_as_many_looks_as_moments() -> None:
    lengths = [f"{n}m" for n in range(1, 40)]
    pairs = [
        AllOf((AnyOf((Compare("y", "within_last", length), Not(ACTIVE))), Not(Compare("x", "within_last", length))))
        for length in lengths
    ]
    membership = compile_rules({"it": AllOf((AnyOf(tuple(pairs)), RECENT))})
    looks = count_looks(membership)
    active = {feature_id("*", ()): (NOW_MS,)}
    membership.evaluate({"x": NOW, "y": NOW, "seen": NOW}, active, frozenset(), NOW_MS)
    moments = {*lengths, RECENT.value, ACTIVE.within}
    assert len(lengths) < looks() <= 1 + len(moments)


@pytest.mark.parametrize(
    "shared", [Compare("x", "eq", "a"), EventCount("e", op="eq", count=2), AllOf((RECENT, ACTIVE))]
)
def test_audiences_of_one_rule_object_are_each_decided(shared: Rule) -> None:
    within = AnyOf((shared, Compare("y", "exists")))
    rules: dict[str, Rule] = {"a": within, "b": shared, "c": shared, "d": Not(shared), "e": AllOf((within, shared))}
    membership = compile_rules(rules)
    for somebody in (did(("e", 1), ("e", 2), x="a", seen=NOW), did(y=1)):
        held, _ = membership.evaluate(somebody.traits, rings_of(somebody.history, rules.values()), frozenset(), NOW_MS)
        assert membership.ids_of(held) == naive_rules.members(rules, somebody, frozenset(), NOW_MS)


def nested(depth: int, leaf: Rule) -> Rule:
    for level in range(depth):
        leaf = (AllOf, AnyOf)[level % 2]((leaf, Compare("level", "gte", level))) if level % 3 else Not(leaf)
    return leaf


@pytest.mark.parametrize("leaf", [Compare("x", "eq", "a"), ACTIVE, AllOf((ACTIVE, Not(BOUGHT)))])
@pytest.mark.parametrize("depth", [10, 220])
def test_deep_rules_are_compiled(depth: int, leaf: Rule) -> None:
    rule = nested(depth, leaf)
    for level in (-1, 0, depth // 2, depth):
        for somebody in (did(("e", 0), x="a", level=level), did(("bought", 0), level=level)):
            expected = bool(naive_rules.members({"it": rule}, somebody, frozenset(), NOW_MS))
            assert evaluated(rule, somebody)[0] is expected


def test_long_chains_of_references_are_compiled() -> None:
    rules: dict[str, Rule] = {"0": ACTIVE}
    rules |= {f"{number}": Not(InAudience(f"{number - 1}")) for number in range(1, 500)}
    membership = compile_rules(rules)
    held, change_ms = membership.evaluate({}, {feature_id("*", ()): (NOW_MS,)}, frozenset(), NOW_MS)
    assert membership.ids_of(held) == {f"{number}" for number in range(0, 500, 2)}
    assert change_ms == NOW_MS + HOUR_MS + 1


def many(audiences: int, leaves: int) -> dict[str, Rule]:
    """Each with its own conditions and some of its neighbour's."""
    return {
        f"{number}": AllOf(
            (
                AnyOf(tuple(Compare(f"t{(number + n) % 50}", "eq", f"{n}") for n in range(leaves - 2))),
                Not(Compare(f"t{number % 50}", "gt", number)),
                EventCount(f"e{number % 7}", count=1 + number % 3, within=f"{1 + number % 5}d"),
            )
        )
        for number in range(audiences)
    }


def test_large_rules_that_share_conditions_mean_what_they_say() -> None:
    rules, somebody = many(300, 200), did(("e1", 5), ("e1", 6), ("e2", 7), t3="3", t7="190", t12=9)
    membership = compile_rules(rules)
    held, _ = membership.evaluate(somebody.traits, rings_of(somebody.history, rules.values()), frozenset(), NOW_MS)
    assert membership.ids_of(held) == naive_rules.members(rules, somebody, frozenset(), NOW_MS) != frozenset()


def test_audiences_that_refer_to_each_other_take_no_more_room_than_their_rules() -> None:
    def room(audiences: int) -> int:
        own = [AnyOf((Compare(f"t{number}", "exists"), Compare("x", "eq", number))) for number in range(audiences)]
        rules: dict[str, Rule] = {"0": own[0], "1": own[1]}
        for number in range(2, audiences):
            rules[f"{number}"] = AllOf((own[number], InAudience(f"{number - 1}"), Not(InAudience(f"{number - 2}"))))
        gates = compile_rules(rules).gates
        return sum(len(gate.clauses()) for gate in (*gates.audiences.values(), *gates.inner))

    assert room(200) < 2.2 * room(100)


def test_an_evaluation_looks_ahead_only_so_often_and_then_says_until_when_nothing_changes() -> None:
    lengths = range(1, 201)
    flips = tuple(
        AnyOf((Compare("at", "within_last", f"{seconds}s"), Compare("at", "not_within_last", f"{seconds}s")))
        for seconds in lengths
    )
    membership = compile_rules(
        {"it": AllOf((*flips[:100], Compare("at", "within_last", "1d"))), "other": AllOf(flips[100:])}
    )
    looks = count_looks(membership)
    held, change_ms = membership.evaluate({"at": "2026-03-15T12:00:00Z"}, {}, frozenset(), NOW_MS)
    assert looks() <= MOST_LOOKS + 1
    assert membership.ids_of(held) == {"it", "other"}
    assert change_ms is not None
    assert NOW_MS < change_ms <= NOW_MS + 86_400_001
    for at_ms in (change_ms - 1, NOW_MS + 1):
        assert membership.evaluate({"at": "2026-03-15T12:00:00Z"}, {}, frozenset(), at_ms)[0] == held


def count_looks(membership: Membership) -> Callable[[], int]:
    looks = 0
    held = membership._held

    def counting(*arguments: Any) -> int:
        nonlocal looks
        looks += 1
        return held(*arguments)

    membership._held = counting  # type: ignore[method-assign, assignment]
    return lambda: looks
