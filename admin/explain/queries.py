from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.messages.status import is_preparing
from admin.messages.stored import readable
from store.tables import customer_aliases, in_app_messages, orgs

_m = in_app_messages.c
_MOST_RIVALS = 1_000


async def rivals_of(
    connection: AsyncConnection, message: Row[Any], render_slot: str, now_ms: int
) -> Sequence[Row[Any]]:
    """Published messages of the same slot that come before this one, those that start later too, the first first."""
    place = _m.appearance[case((_m.type == "tooltip", "anchor"), else_="position")].astext
    slot = func.coalesce(_m.slot, _m.type + ":" + place)
    query = (
        select(*(readable(column) for column in _m), is_preparing.label("preparing"))
        .where(
            _m.org_id == message.org_id,
            _m.published_ms.is_not(None),
            _m.archived_ms.is_(None),
            _m.active,
            or_(_m.ends_ms.is_(None), _m.ends_ms > now_ms),
            slot == render_slot,
            _comes_before(message),
        )
        .order_by(_m.priority.desc(), _m.created_ms, _m.id)
        .limit(_MOST_RIVALS)
    )
    rows: Sequence[Any] = (await connection.execute(query)).all()
    return rows


def _comes_before(message: Row[Any]) -> ColumnElement[bool]:
    older = or_(
        _m.created_ms < message.created_ms,
        and_(_m.created_ms == message.created_ms, _m.id < message.id),
    )
    return or_(_m.priority > message.priority, and_(_m.priority == message.priority, older))


async def asks_for_tokens(connection: AsyncConnection, org_id: UUID) -> bool:
    query = select(orgs.c.require_identity_token).where(orgs.c.id == org_id)
    return bool((await connection.execute(query)).scalar_one())


async def owner_of(connection: AsyncConnection, org_id: UUID, anonymous_id: str) -> str | None:
    """The subject of the user who claimed the visitor."""
    c = customer_aliases.c
    query = select(c.subject).where(c.org_id == org_id, c.anonymous_id == anonymous_id)
    found: str | None = (await connection.execute(query)).scalar_one_or_none()
    return found
