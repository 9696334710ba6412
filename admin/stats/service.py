"""Statistics, from what the recorder counted. Raises ApiError."""

from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from admin.errors import not_found, refused
from admin.messages.queries import select_message
from admin.stats import queries
from admin.stats.queries import Counts, People
from admin.stats.schemas import Interval, MessageStats, OrgStats, Point, StatsQuery, Totals
from wire import times

MAX_POINTS = 2_000
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_STEP_MS: Final[dict[Interval, int]] = {"hour": _HOUR_MS, "day": _DAY_MS}
_DEFAULT_RANGE_MS = 30 * _DAY_MS


async def org_stats(connection: AsyncConnection, org_id: UUID, now_ms: int) -> OrgStats:
    messages = await queries.message_counts(connection, org_id, now_ms)
    totals = _totals(await queries.org_counts(connection, org_id), await queries.org_people(connection, org_id))
    return OrgStats(total=messages.total, active=messages.active, **totals.model_dump())


async def message_stats(
    connection: AsyncConnection, org_id: UUID, message_id: UUID, query: StatsQuery, now_ms: int
) -> MessageStats:
    if await select_message(connection, org_id, message_id) is None:
        raise not_found()
    step_ms = _STEP_MS[query.interval]
    starts = range_starts(query, now_ms, step_ms)
    counted = await queries.series_of(connection, org_id, message_id, starts.start, starts.stop, step_ms)
    counts = await queries.totals_of(connection, org_id, message_id)
    totals = _totals(counts, await queries.people_of(connection, org_id, message_id))
    return MessageStats(
        **totals.model_dump(),
        message_id=message_id,
        interval=query.interval,
        series=[_point(at_ms, counted.get(at_ms, Counts())) for at_ms in starts],
    )


def range_starts(query: StatsQuery, now_ms: int, step_ms: int) -> range:
    """The start of every interval that the range touches."""
    ends_ms = now_ms if query.ends_ms is None else query.ends_ms
    starts_ms = ends_ms - _DEFAULT_RANGE_MS if query.starts_ms is None else query.starts_ms
    if starts_ms >= ends_ms:
        raise refused("/query/to", "ends_before_it_starts", "'to' must lie after 'from'.")
    starts = range(starts_ms - starts_ms % step_ms, -(-ends_ms // step_ms) * step_ms, step_ms)
    if len(starts) > MAX_POINTS:
        message = f"This range has {len(starts):,} points; ask for at most {MAX_POINTS:,}, or for days."
        raise refused("/query/from", "too_many_points", message)
    return starts


def _totals(counts: Counts, seen: People) -> Totals:
    return Totals(
        impressions=counts.impressions,
        clicks=counts.clicks,
        dismissals=counts.dismissals,
        unique_impressions=seen.people,
        ctr=counts.clicks / counts.impressions if counts.impressions else 0.0,
        conversions=counts.conversions,
        conversion_rate=seen.converted / seen.pairs if seen.pairs else 0.0,
    )


def _point(at_ms: int, counts: Counts) -> Point:
    return Point(at=times.to_iso(at_ms), **counts._asdict())
