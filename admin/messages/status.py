"""A message's status, derived from its row and the moment; in Python for one, in SQL for a filter."""

from typing import Any

from sqlalchemy import ColumnElement, Row, and_, not_, or_

from admin.messages.schemas import Status
from store.tables import in_app_messages

_m = in_app_messages.c


def status_of(row: Row[Any], now_ms: int) -> Status:
    """The first that applies: archived, draft, ended, paused, scheduled, live."""
    if row.archived_ms is not None:
        return "archived"
    if row.published_ms is None:
        return "draft"
    if row.ends_ms is not None and now_ms >= row.ends_ms:
        return "ended"
    if not row.active:
        return "paused"
    if row.starts_ms is not None and now_ms < row.starts_ms:
        return "scheduled"
    return "live"


def has_status(status: Status, now_ms: int) -> ColumnElement[bool]:
    """`status_of(row, now_ms) == status`."""
    published = and_(_m.archived_ms.is_(None), _m.published_ms.is_not(None))
    unended = and_(published, or_(_m.ends_ms.is_(None), _m.ends_ms > now_ms))
    conditions: dict[Status, ColumnElement[bool]] = {
        "archived": _m.archived_ms.is_not(None),
        "draft": and_(_m.archived_ms.is_(None), _m.published_ms.is_(None)),
        "ended": and_(published, _m.ends_ms <= now_ms),
        "paused": and_(unended, not_(_m.active)),
        "scheduled": and_(unended, _m.active, _m.starts_ms > now_ms),
        "live": and_(unended, _m.active, or_(_m.starts_ms.is_(None), _m.starts_ms <= now_ms)),
    }
    return conditions[status]
