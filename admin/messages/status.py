"""A message's status, derived from its row and the moment; in Python for one, in SQL for a filter."""

from typing import Any

from sqlalchemy import ColumnElement, Row, Text, and_, any_, cast, exists, not_, or_

from admin.messages.schemas import Status
from store.tables import audiences, in_app_messages

_a, _m = audiences.c, in_app_messages.c

is_preparing: ColumnElement[bool] = (
    exists()
    .where(
        _a.org_id == _m.org_id,
        _a.preparing,
        or_(
            _a.id == _m.audience_id,
            _a.id == any_(_m.exclude_audience_ids),
            cast(_a.id, Text) == _m.trigger["audienceId"].astext,
        ),
    )
    .correlate(in_app_messages)
)
"""Whether an audience that the message names, and those that this one refers to, is not ready yet."""


def status_of(row: Row[Any], now_ms: int) -> Status:
    """The first that applies: archived, draft, ended, paused, preparing, scheduled, live.

    `row.preparing`: the value of `is_preparing`.
    """
    if row.archived_ms is not None:
        return "archived"
    if row.published_ms is None:
        return "draft"
    if row.ends_ms is not None and now_ms >= row.ends_ms:
        return "ended"
    return _of_running(row, now_ms) if row.active else "paused"


def _of_running(row: Row[Any], now_ms: int) -> Status:
    if row.preparing:
        return "preparing"
    return "scheduled" if row.starts_ms is not None and now_ms < row.starts_ms else "live"


def has_status(status: Status, now_ms: int) -> ColumnElement[bool]:
    """`status_of(row, now_ms) == status`."""
    published = and_(_m.archived_ms.is_(None), _m.published_ms.is_not(None))
    unended = and_(published, or_(_m.ends_ms.is_(None), _m.ends_ms > now_ms))
    running = and_(unended, _m.active)
    ready = and_(running, not_(is_preparing))
    conditions: dict[Status, ColumnElement[bool]] = {
        "archived": _m.archived_ms.is_not(None),
        "draft": and_(_m.archived_ms.is_(None), _m.published_ms.is_(None)),
        "ended": and_(published, _m.ends_ms <= now_ms),
        "paused": and_(unended, not_(_m.active)),
        "preparing": and_(running, is_preparing),
        "scheduled": and_(ready, _m.starts_ms > now_ms),
        "live": and_(ready, or_(_m.starts_ms.is_(None), _m.starts_ms <= now_ms)),
    }
    return conditions[status]
