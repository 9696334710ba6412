"""What each op of the rule language can be compared with."""

from collections.abc import Callable, Mapping
from typing import Final

from wire.literals import duration_ms, glob_literals, moment_ms, version_parts
from wire.rule_tree import Scalar

_TextOperand = tuple[Callable[[str], object], str, str]
_ANY_TEXT: Final[_TextOperand] = (lambda text: True, "", "")
_GLOB: Final[_TextOperand] = (
    lambda text: glob_literals(text) is not None,
    "invalid_glob",
    "In a glob, '\\' stands only before '*' or another '\\'.",
)
_MOMENT: Final[_TextOperand] = (
    lambda text: "T" in text and moment_ms(text) is not None,
    "invalid_date",
    "Give a date and time with its offset, like 2026-12-01T09:00:00Z or 2026-12-01T09:00:00+01:00.",
)
_DURATION: Final[_TextOperand] = (
    duration_ms,
    "invalid_duration",
    "Give a whole number with s, m, h, d or w, like 14d; more than nothing, at most 365d.",
)
_VERSION: Final[_TextOperand] = (
    version_parts,
    "invalid_version",
    "Give one to four numbers with dots between them, like 2.10.0.",
)
_TEXT_OPERANDS: Final[Mapping[str, _TextOperand]] = {
    "starts_with": _ANY_TEXT,
    "ends_with": _ANY_TEXT,
    "glob": _GLOB,
    "before": _MOMENT,
    "after": _MOMENT,
    "within_last": _DURATION,
    "not_within_last": _DURATION,
    **dict.fromkeys(("version_eq", "version_gt", "version_gte", "version_lt", "version_lte"), _VERSION),
}


def refuse_operand(op: str, scalar: Scalar) -> tuple[str, str] | None:
    """(code, message) when a well-formed scalar is not what `op` compares with."""
    if op in ("gt", "gte", "lt", "lte"):
        return ("wrong_type", f"'{op}' compares with a number or a string.") if isinstance(scalar, bool) else None
    if op not in _TEXT_OPERANDS:
        return None
    if not isinstance(scalar, str):
        return "wrong_type", f"'{op}' compares with a string."
    fits, code, message = _TEXT_OPERANDS[op]
    return None if fits(scalar) else (code, message)
