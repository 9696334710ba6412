"""Moments: integer milliseconds since the epoch (UTC) inside, ISO 8601 with offset in JSON."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def to_iso(ms: int) -> str:
    """`1767225600000` → `2026-01-01T00:00:00.000Z`."""
    return (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def to_iso_or_none(ms: int | None) -> str | None:
    return None if ms is None else to_iso(ms)


def from_datetime(moment: datetime) -> int:
    """Milliseconds of an aware datetime, rounded down. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z or +02:00")
    return (moment - EPOCH) // MILLISECOND


def from_iso(text: str) -> int:
    """Milliseconds of an ISO 8601 time with offset. Raises ValueError, also for a time without offset.

    For events, whose clients cannot be corrected: it takes every form of ISO 8601 that Python reads. What authors write
    and rules compare goes through `wire.literals.moment_ms`, which takes only what Postgres reads alike.
    """
    return from_datetime(datetime.fromisoformat(text))
