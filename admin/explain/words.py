"""Conditions and values said to people."""

import json
from collections.abc import Mapping
from typing import Any, Final

from engine import caps
from engine.judging import Tally
from wire import times
from wire.bundle import FrequencyCap
from wire.rule_tree import ANY_EVENT, NEGATIONS, Compare, Condition, CountOp, EventCount, Leaf, Op, to_json
from wire.userstate import Seen

MOST_CHARACTERS: Final = 100
MOST_ITEMS: Final = 10
_MOST_SAID: Final = 5
"""Items of a list in a sentence."""
_MOST_WHERES: Final = 3

_PHRASES: Final[Mapping[Op, str]] = {
    "eq": "be {}",
    "in": "be one of {}",
    "gt": "be greater than {}",
    "gte": "be at least {}",
    "lt": "be less than {}",
    "lte": "be at most {}",
    "contains": "contain {}",
    "starts_with": "start with {}",
    "ends_with": "end with {}",
    "glob": "look like {}",
    "exists": "be set",
    "before": "lie before {}",
    "after": "lie after {}",
    "within_last": "lie within the last {}",
    "version_eq": "be version {}",
    "version_gt": "be a version after {}",
    "version_gte": "be version {} or later",
    "version_lt": "be a version before {}",
    "version_lte": "be version {} or earlier",
}
_PLAIN: Final = frozenset(op for op in _PHRASES if op.startswith("version_")) | {"within_last", "before", "after"}
"""Ops whose operand reads better without quotation marks."""

_OPPOSITE: Final[Mapping[CountOp, CountOp]] = {
    "gte": "lt", "lt": "gte", "gt": "lte", "lte": "gt", "eq": "neq", "neq": "eq"
}  # fmt: skip
_COUNTS: Final[Mapping[CountOp, str]] = {
    "gte": "at least {}", "gt": "more than {}", "lte": "at most {}", "lt": "fewer than {}",
    "eq": "exactly {}", "neq": "any number but {}",
}  # fmt: skip


def cut(value: Any) -> Any:
    """A JSON value in a size to be shown: long texts and lists end in “…”, deep objects are left out."""
    return _cut(value, depth=3)


def quoted(value: Any) -> str:
    """A value in a sentence."""
    if isinstance(value, str):
        return f"“{_short(value)}”"
    if isinstance(value, list | tuple):
        more = ["…"] if len(value) > _MOST_SAID else []
        return ", ".join([*map(quoted, value[:_MOST_SAID]), *more]) or "nothing"
    return _short(json.dumps(value, ensure_ascii=False))


def is_so(compare: Compare, value: Any) -> str:
    """`plan is “pro”`."""
    field = _short(compare.field)
    return f"{field} is not set" if value is None else f"{field} is {quoted(value)}"


def would_have_to(compare: Compare, *, hold: bool) -> str:
    """`it would have to be “free”`, or with `hold` false: `it must not be “free”`."""
    phrase, is_positive = _phrase(compare)
    return f"it would have to {phrase}" if hold is is_positive else f"it must not {phrase}"


def happened(leaf: EventCount, counted: Tally) -> str:
    """`checkout.viewed: 1 within 7d (the newest at …)`."""
    number = f"{counted.number} or more" if counted.or_more else str(counted.number)
    within = "ever" if leaf.within is None else f"within {leaf.within}"
    newest = "" if counted.newest_ms is None else f" (the newest at {times.to_iso(counted.newest_ms)})"
    return f"{_event(leaf)}: {number} {within}{newest}"


def number_needed(leaf: EventCount, *, hold: bool) -> str:
    """`at least 3 are needed`."""
    number = _COUNTS[leaf.op if hold else _OPPOSITE[leaf.op]].format(leaf.count)
    return f"{number} {'is' if leaf.count == 1 else 'are'} needed"


def condition_json(condition: Condition, leaf: Leaf = "trait") -> dict[str, Any]:
    """The condition as its author wrote it, cut to a size to be shown."""
    return {name: cut(part) for name, part in to_json(condition, leaf=leaf).items()}


def counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def capped(reason: str | None, cap: FrequencyCap, seen: Seen) -> str:
    times_seen = counted(seen.impressions, "time")
    match reason:
        case caps.STOPPED_BY_CLICK:
            return "The customer clicked it, after which it is not shown again."
        case caps.STOPPED_BY_DISMISSAL:
            return "The customer dismissed it, after which it is not shown again."
        case caps.CAP_REACHED:
            within = "" if cap.per_s is None else f" within {counted(cap.per_s, 'second')}"
            most = counted(cap.max_impressions or 0, "time")
            return f"The customer saw it {times_seen}; it is shown at most {most}{within}."
        case caps.TOO_SOON:
            return f"The customer saw it less than {counted(cap.min_interval_s or 0, 'second')} ago."
    return f"The customer saw it {times_seen}, which its frequency cap allows."


def _event(leaf: EventCount) -> str:
    """`report.exported whose pages must be at least 3`."""
    named = "any event" if leaf.event == ANY_EVENT else leaf.event
    wheres = []
    for compare in leaf.where[:_MOST_WHERES]:
        phrase, is_positive = _phrase(compare)
        wheres.append(f"{_short(compare.field)} must {'' if is_positive else 'not '}{phrase}")
    more = ["…"] if len(leaf.where) > _MOST_WHERES else []
    return f"{named} whose {' and '.join([*wheres, *more])}" if wheres else named


def _phrase(compare: Compare) -> tuple[str, bool]:
    """What the positive op of a comparison asks for, and whether the comparison asks for that or for its opposite."""
    op = NEGATIONS.get(compare.op, compare.op)
    operand = str(compare.value) if op in _PLAIN else quoted(compare.value)
    return _PHRASES[op].format(operand), op == compare.op


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"


def _cut(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, dict | list | tuple) and depth == 0:
        return "…"
    if isinstance(value, dict):
        return {_short(name): _cut(value[name], depth - 1) for name in list(value)[:MOST_ITEMS]}
    if isinstance(value, list | tuple):
        return [*(_cut(item, depth - 1) for item in value[:MOST_ITEMS]), *(["…"] if len(value) > MOST_ITEMS else [])]
    return value
