"""Which leaves decide a rule."""

from collections.abc import Iterator
from itertools import chain, combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reasons import deciding, holds, must_change, pointed_leaves
from wire.rule_tree import AllOf, AnyOf, Compare, InAudience, Not, Rule, to_json

LEAF = Compare("x", "exists")
RULES: st.SearchStrategy[Rule] = st.recursive(
    st.just(LEAF),
    lambda parts: (
        st.lists(parts, max_size=3).map(lambda some: AllOf(tuple(some)))
        | st.lists(parts, max_size=3).map(lambda some: AnyOf(tuple(some)))
        | parts.map(Not)
    ),
    max_leaves=6,
)


def decided_by(rule: Rule, *holding: str) -> list[str]:
    return deciding(rule, holding.__contains__)


def test_a_lone_leaf_decides_by_itself() -> None:
    assert decided_by(LEAF) == decided_by(LEAF, "") == [""]
    assert (holds(LEAF, [].__contains__), holds(LEAF, [""].__contains__)) == (False, True)


def test_all_parts_are_needed_to_hold_and_the_first_that_fails_is_enough() -> None:
    rule = AllOf((LEAF, LEAF, LEAF))
    assert decided_by(rule, "/all/0", "/all/1", "/all/2") == ["/all/0", "/all/1", "/all/2"]
    assert decided_by(rule, "/all/0") == ["/all/1"]


def test_the_first_part_that_holds_is_enough_and_all_are_needed_to_fail() -> None:
    rule = AnyOf((LEAF, LEAF, LEAF))
    assert decided_by(rule, "/any/1", "/any/2") == ["/any/1"]
    assert decided_by(rule) == ["/any/0", "/any/1", "/any/2"]


def test_a_part_that_fails_for_one_reason_is_preferred_to_one_that_fails_for_two() -> None:
    assert decided_by(AllOf((AnyOf((LEAF, LEAF)), LEAF))) == ["/all/1"]


def test_nothing_decides_a_rule_without_leaves() -> None:
    assert decided_by(AllOf(())) == decided_by(Not(AnyOf(()))) == []
    assert holds(AllOf(()), [].__contains__) is not holds(AnyOf(()), [].__contains__)


def test_leaves_are_named_by_the_json_pointers_of_the_rule() -> None:
    rule = AllOf((Not(AnyOf((LEAF, InAudience("id")))), LEAF))
    assert [leaf.pointer for leaf in pointed_leaves(rule)] == ["/all/0/not/any/0", "/all/0/not/any/1", "/all/1"]
    for leaf in pointed_leaves(rule):
        assert at_pointer(to_json(rule), leaf.pointer) == to_json(leaf.condition)


@given(RULES, st.data())
def test_what_decides_is_enough_and_no_smaller_set_is(rule: Rule, data: st.DataObject) -> None:
    pointers = [leaf.pointer for leaf in pointed_leaves(rule)]
    holding = data.draw(st.sets(st.sampled_from(pointers))) if pointers else set()
    sufficient = [some for some in subsets(pointers) if is_enough(rule, some, holding, pointers)]
    decided = deciding(rule, holding.__contains__)
    assert tuple(decided) in sufficient
    assert len(decided) == min(map(len, sufficient))


@given(RULES, st.data())
def test_what_must_change_turns_the_rule_over_and_no_smaller_set_does(rule: Rule, data: st.DataObject) -> None:
    pointers = [leaf.pointer for leaf in pointed_leaves(rule)]
    holding = data.draw(st.sets(st.sampled_from(pointers))) if pointers else set()
    now = holds(rule, holding.__contains__)
    ways = [some for some in subsets(pointers) if holds(rule, (holding ^ set(some)).__contains__) is not now]
    turned = tuple(must_change(rule, holding.__contains__))
    assert turned in ways if ways else turned == ()
    assert len(turned) == min(map(len, ways), default=0)


def is_enough(rule: Rule, kept: tuple[str, ...], holding: set[str], pointers: list[str]) -> bool:
    """Whether the verdict stays, whatever the leaves that are not kept say."""
    expected = holds(rule, holding.__contains__)
    others = [pointer for pointer in pointers if pointer not in kept]
    known = {pointer for pointer in kept if pointer in holding}
    for truths in product([False, True], repeat=len(others)):
        held = known | {pointer for pointer, holds in zip(others, truths, strict=True) if holds}
        if holds(rule, held.__contains__) is not expected:
            return False
    return True


def subsets(pointers: list[str]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(pointers, size) for size in range(len(pointers) + 1))


def at_pointer(document: object, pointer: str) -> object:
    for token in pointer.split("/")[1:]:
        document = document[int(token)] if isinstance(document, list) else document[token]  # type: ignore[index]
    return document


@pytest.mark.parametrize("holding", [(), ("",)])
def test_not_is_decided_by_what_is_in_it(holding: tuple[str, ...]) -> None:
    assert decided_by(Not(LEAF), *(f"/not{pointer}" for pointer in holding)) == ["/not"]
