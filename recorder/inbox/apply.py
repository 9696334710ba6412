"""The transaction that applies rows of the inbox and removes them."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.erase import erase
from recorder.inbox.asks import PROJECT, Ask, ChangeMembers, Erase, Track, Unreadable, project_bodies, read_ask
from recorder.inbox.members import change_members
from recorder.record import Recorded, record
from recorder.rows import rejected
from recorder.rows.customers import CustomerKey
from store import tables
from wire.events import Event

MOST_EVENTS = 2000
"""In one transaction, except that a row stays whole."""

_rows = tables.inbox


class Asked(NamedTuple):
    row: Row[Any]
    ask: Ask


class OvertakenError(Exception):
    """Another recorder has applied these rows."""


def for_one_transaction(rows: Iterable[Row[Any]]) -> list[Asked]:
    """The first row, with those that follow it when all are events."""
    taken: list[Asked] = []
    size = 0
    for row in rows:
        ask = read_ask(row)
        size += len(ask.events) if isinstance(ask, Track) else MOST_EVENTS
        if taken and size > MOST_EVENTS:
            break
        taken.append(Asked(row, ask))
    return taken


def events_of(asked: Iterable[Asked]) -> list[Event]:
    return [event for _, ask in asked if isinstance(ask, Track) for event in ask.events]


async def apply(connection: AsyncConnection, asked: Sequence[Asked], now_ms: int) -> tuple[Recorded, list[int]]:
    """Returns what was recorded, and the ids of the PROJECT rows that it added. Raises OvertakenError."""
    await remove_rows(connection, asked)
    recorded = await _do(connection, asked, now_ms)
    return recorded, await add_project_rows(connection, recorded.touched, now_ms)


async def remove_rows(connection: AsyncConnection, asked: Iterable[Asked]) -> None:
    """Removes the rows. Raises OvertakenError unless all are there."""
    ids = [row.id for row, _ in asked]
    in_order = select(_rows.c.id).where(_rows.c.id.in_(ids)).order_by(_rows.c.id).with_for_update()
    if len((await connection.execute(in_order)).all()) < len(ids):
        raise OvertakenError
    await connection.execute(delete(_rows).where(_rows.c.id.in_(ids)))


async def add_project_rows(connection: AsyncConnection, touched: Iterable[CustomerKey], now_ms: int) -> list[int]:
    """PROJECT rows that name everybody who was touched; returns their ids."""
    rows = [
        {"org_id": org_id, "kind": PROJECT, "body": body, "created_ms": now_ms}
        for org_id, body in project_bodies(touched).items()
    ]
    return [(await connection.execute(insert(_rows).values(row).returning(_rows.c.id))).scalar_one() for row in rows]


async def _do(connection: AsyncConnection, asked: Sequence[Asked], now_ms: int) -> Recorded:
    match asked[0].ask:
        case Track():
            return await record(connection, events_of(asked), now_ms)
        case Erase(org_id, subject, erased_ms):
            return Recorded(touched=await erase(connection, org_id, subject, erased_ms))
        case ChangeMembers(org_id, audience_id, add, remove):
            return Recorded(touched=await change_members(connection, org_id, audience_id, add, remove, now_ms))
        case Unreadable(lost):
            await rejected.add(connection, [lost], now_ms)
            return Recorded()
