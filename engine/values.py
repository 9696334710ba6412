"""What the value of a trait says to all clauses that take it as it is; see `engine.columns`."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from math import inf, nextafter
from typing import Any, Final, NamedTuple, cast

from engine.clauses import number, value_test
from engine.columns import MASKS_A_STEP, Asked, Scale, ranges, said_if
from engine.patterns import TextTest, text_test
from engine.steps import Steps
from wire.operands import ORDERS
from wire.rule_tree import Compare, PatternOp

MOST_TEXTS: Final = 256
_LONGEST_TEXT: Final = 64
"""Of the first so many texts, up to this length, it is remembered what tests of text say: most traits are words."""

_NAMING: Final = frozenset({"eq", "in"})
_ORDERING: Final = frozenset({"gt", "gte", "lt", "lte"})
_TESTING: Final = frozenset({"contains", "starts_with", "ends_with", "glob"})

_NUMBERS: Final = Scale(number, lambda found: nextafter(found, inf))

Tests = Sequence[tuple[Callable[[Any], bool], int, int]]
"""(the test, mask where it fails, mask where it holds)."""

ValueLookup = tuple[str, Mapping[str | None, int], int | None, Callable[[object], int]]
"""(trait; what texts say, None among them; what other texts say, None: ask; what any value but None says)."""


class _Texts(NamedTuple):
    """`known`: those that clauses name, and what they say; `other`: what others say; `tests` have a say besides."""

    known: dict[str | None, int]
    other: int
    tests: Tests


class _Numbers(NamedTuple):
    """`known` and `other` as for texts; what is said besides stands in `ranges` by `edges`, see `engine.columns`."""

    known: Mapping[float, int]
    other: int
    edges: Sequence[float]
    ranges: Sequence[int]


class _Value:
    """`tests`: by whether they look into lists."""

    def __init__(self, tests: Mapping[bool, Tests], texts: _Texts, numbers: _Numbers) -> None:
        every = [*tests[True], *tests[False]]
        self.known = {} if texts.tests else texts.known
        self.known[None] = _tested(every, None)
        self._truths = (_tested(every, False), _tested(every, True))
        self._list = _tested(tests[False], [])
        self._list_tests = tests[True]
        self._texts = texts
        self._numbers = numbers

    def mask(self, value: object) -> int:
        if type(value) is str:
            return self._text_mask(value)
        if type(value) is bool:
            return self._truths[value]
        if (found := number(value)) is not None:
            known, other, edges, said = self._numbers
            return known.get(found, other) | said[bisect_right(edges, found)]
        return self._list | _tested(self._list_tests, value)

    def _text_mask(self, text: str) -> int:
        known, other, tests = self._texts
        mask = known.get(text, other) | _tested(tests, text)
        if len(self.known) < MOST_TEXTS and len(text) <= _LONGEST_TEXT:
            self.known[text] = mask
        return mask


def value_lookup(name: str, asked: Sequence[Asked]) -> Steps[ValueLookup]:
    """Raises ValueError for what `parse_rule` would have refused."""
    into_lists = yield from _tests([each for each in asked if each.asks.op == "contains"])
    others = yield from _tests([each for each in asked if each.asks.op != "contains"])
    kinds: defaultdict[str, list[Asked]] = defaultdict(list)
    for each in asked:
        kinds[_kind(each.asks)].append(each)
    named, ordered, tested = kinds["named"], kinds["ordered"], kinds["tested"]
    same = _tested((yield from _tests(kinds["same"])), "")
    on_text = said_if(ordered) | same
    edges, said = yield from ranges(ordered, _NUMBERS, said_if(tested) | same)
    known_texts, known_numbers = yield from _known(named, on_text)
    text_tests = [(_text_test(each.asks), each.if_false, each.if_true) for each in tested]
    texts = _Texts(known_texts, said_if(named) | on_text, text_tests)
    numbers = _Numbers(known_numbers, said_if(named), edges, said)
    value = _Value({True: into_lists, False: others}, texts, numbers)
    return name, value.known, None if text_tests else texts.other, value.mask


def _kind(compare: Compare) -> str:
    """How it depends on which text or which number a trait is; `same`: not at all."""
    if compare.op in _NAMING:
        return "named"
    if isinstance(compare.value, str) and compare.op in _ORDERING | _TESTING:
        return "tested"
    return "ordered" if compare.op in _ORDERING else "same"


def _tests(asked: Sequence[Asked]) -> Steps[Tests]:
    tests = []
    for each in asked:
        yield
        tests.append((value_test(each.asks.op, each.asks.value), each.if_false, each.if_true))
    return tests


def _text_test(compare: Compare) -> TextTest:
    order, operand = ORDERS.get(compare.op), str(compare.value)
    if order is None:
        return text_test(cast(PatternOp, compare.op), operand)
    return lambda text: bool(order(text, operand))


def _tested(tests: Tests, value: object) -> int:
    mask = 0
    for test, if_false, if_true in tests:
        mask |= if_true if test(value) else if_false
    return mask


def _known(asked: Sequence[Asked], on_text: int) -> Steps[tuple[dict[str | None, int], dict[float, int]]]:
    """The texts and the numbers that clauses name → what they say. Where the same clauses do, it is one mask."""
    naming: defaultdict[str | float, list[Hashable]] = defaultdict(list)
    for each in asked:
        yield
        for operand in _operands(each.asks):
            naming[operand].append(each.key)
    masks: dict[tuple[Hashable, ...], tuple[int, int]] = {}
    texts, numbers = dict[str | None, int](), dict[float, int]()
    for place, (operand, keys) in enumerate(naming.items()):
        if place % MASKS_A_STEP == 0:
            yield
        so = tuple(keys)
        if so not in masks:
            masks[so] = (said_if(asked, so), said_if(asked, so) | on_text)
        if isinstance(operand, str):
            texts[operand] = masks[so][1]
        else:
            numbers[operand] = masks[so][0]
    return texts, numbers


def _operands(compare: Compare) -> set[str | float]:
    """Those that are text or numbers."""
    operands = compare.value if isinstance(compare.value, tuple) else (compare.value,)
    found = {operand if isinstance(operand, str) else number(operand) for operand in operands}
    return {operand for operand in found if operand is not None}
