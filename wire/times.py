"""Moments: integer milliseconds since the epoch (UTC) inside, ISO 8601 with offset in JSON."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

EARLIEST_MS = -62_135_596_800_000
"""The beginning of the year 1."""
LATEST_MS = 253_402_300_799_999
"""The end of the year 9999."""


def can_be_written(ms: int) -> bool:
    return EARLIEST_MS <= ms <= LATEST_MS


def to_iso(ms: int) -> str:
    """`1767225600000` → `2026-01-01T00:00:00.000Z`.

    What lies before the year 1 or after 9999 becomes the nearest moment that can be written: a column holds any
    number, and one absurd moment must not keep everything around it from being shown.
    """
    minute, rest_ms = divmod(min(max(ms, EARLIEST_MS), LATEST_MS), 60_000)
    return f"{_minute(minute)}:{rest_ms // 1_000:02d}.{rest_ms % 1_000:03d}Z"


@lru_cache(maxsize=1_024)
def _minute(minute: int) -> str:
    """Of many moments that are written one after the other, most lie in the same few minutes."""
    return (EPOCH + timedelta(minutes=minute)).isoformat(timespec="minutes").removesuffix("+00:00")


def to_iso_or_none(ms: int | None) -> str | None:
    return None if ms is None else to_iso(ms)


def from_datetime(moment: datetime) -> int:
    """Milliseconds of an aware datetime, rounded down. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z or +02:00")
    since = moment - EPOCH
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000


def from_iso(text: str) -> int:
    """Milliseconds of an ISO 8601 time with offset. Raises ValueError, also for a time without offset.

    For events, whose clients cannot be corrected: it takes every form of ISO 8601 that Python reads. What authors write
    and rules compare goes through `wire.literals.moment_ms`, which takes only what Postgres reads alike.
    """
    return from_datetime(datetime.fromisoformat(text))
