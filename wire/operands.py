"""What each op of the rule language can be compared with."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from wire.literals import duration_ms, glob_literals, moment_ms, version_parts
from wire.plain import Flaw
from wire.rule_tree import Scalar

ORDERS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "before": operator.lt,
    "after": operator.gt,
    "version_eq": operator.eq,
    "version_gt": operator.gt,
    "version_gte": operator.ge,
    "version_lt": operator.lt,
    "version_lte": operator.le,
}
"""Ops that order a value against their operand, once both are numbers, text, moments or versions."""


class _TextOperand(NamedTuple):
    fits: Callable[[str], bool]
    flaw: Flaw


_GLOB: Final = _TextOperand(
    lambda text: glob_literals(text) is not None,
    Flaw("invalid_glob", "In a glob, '\\' stands only before '*' or another '\\'."),
)
_MOMENT: Final = _TextOperand(
    lambda text: "T" in text and moment_ms(text) is not None,
    Flaw(
        "invalid_timestamp",
        "Give a date and time with its offset, like 2026-12-01T09:00:00Z or 2026-12-01T09:00:00+01:00;"
        " a date alone is not enough here.",
    ),
)
_DURATION: Final = _TextOperand(
    lambda text: duration_ms(text) is not None,
    Flaw("invalid_duration", "Give a whole number with s, m, h, d or w, like 14d; more than nothing, at most 365d."),
)
_VERSION: Final = _TextOperand(
    lambda text: version_parts(text) is not None,
    Flaw("invalid_version", "Give one to four numbers with dots between them, like 2.10.0."),
)
_TEXT_OPERANDS: Final[Mapping[str, _TextOperand | None]] = {
    "starts_with": None,
    "ends_with": None,
    "glob": _GLOB,
    "before": _MOMENT,
    "after": _MOMENT,
    "within_last": _DURATION,
    "not_within_last": _DURATION,
    **dict.fromkeys(("version_eq", "version_gt", "version_gte", "version_lt", "version_lte"), _VERSION),
}


def operand_flaw(op: str, scalar: Scalar) -> Flaw | None:
    """Why a well-formed scalar is not what `op` compares with."""
    if op in ("gt", "gte", "lt", "lte"):
        return Flaw("wrong_type", f"'{op}' compares with a number or text.") if isinstance(scalar, bool) else None
    if op not in _TEXT_OPERANDS:
        return None
    if not isinstance(scalar, str):
        return Flaw("wrong_type", f"'{op}' compares with text.")
    operand = _TEXT_OPERANDS[op]
    return None if operand is None or operand.fits(scalar) else operand.flaw
