"""The little grammars inside rule values: moments, durations, versions, globs. Text that does not fit yields None."""

import re
from datetime import UTC, datetime

from wire.times import EPOCH, MILLISECOND

Version = tuple[int, int, int, int]

SECOND_MS = 1_000
DAY_MS = 86_400 * SECOND_MS
MAX_DURATION_MS = 365 * DAY_MS

MOMENT_SHAPE = (
    r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"(T([01][0-9]|2[0-3]):([0-5][0-9])(:([0-5][0-9])(\.[0-9]{1,9})?)?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9]))?"
)
"""A date, alone or with time and offset. Postgres reads this expression too: no syntax on which the two differ."""

VERSION_SHAPE = r"v?[0-9]{1,9}(\.[0-9]{1,9}){0,3}"

_MOMENT = re.compile(MOMENT_SHAPE)
_VERSION = re.compile(VERSION_SHAPE)
_DURATION = re.compile(r"([0-9]{1,12})([smhdw])")
_GLOB_PIECE = re.compile(r"\\[*\\]|[*\\]|[^*\\]", re.DOTALL)
_UNIT_MS = {"s": SECOND_MS, "m": 60 * SECOND_MS, "h": 3_600 * SECOND_MS, "d": DAY_MS, "w": 7 * DAY_MS}


def moment_ms(text: str) -> int | None:
    """ms since the epoch of `2026-01-02T03:04:05.678Z`; a date alone is its midnight in UTC. Finer digits are cut."""
    if _MOMENT.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None  # a day that its month does not have
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND


def duration_ms(text: str) -> int | None:
    """ms of `90s`, `15m`, `12h`, `14d`, `2w`; None as well for nothing at all and for more than 365 days."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    length_ms = int(match[1]) * _UNIT_MS[match[2]]
    return length_ms if 0 < length_ms <= MAX_DURATION_MS else None


def version_parts(text: str) -> Version | None:
    """`1.2`, `v1.2.3`, `1.2.3.4` as four numbers, the missing ones 0."""
    if _VERSION.fullmatch(text) is None:
        return None
    major, minor, patch, build, *_ = [int(part) for part in text.removeprefix("v").split(".")] + [0, 0, 0]
    return major, minor, patch, build


def glob_literals(pattern: str) -> tuple[str, ...] | None:
    r"""The literal runs around the `*`s of a glob, one more than there are `*`s; None when a `\` escapes nothing."""
    literals = [""]
    for piece in _GLOB_PIECE.findall(pattern):
        if piece == "\\":
            return None
        if piece == "*":
            literals.append("")
        else:
            literals[-1] += piece[-1]
    return tuple(literals)
