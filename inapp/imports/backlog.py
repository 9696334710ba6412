"""What the recorder has not applied yet, and waiting for it."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from store import inbox
from store.tables import inbox as rows

MOST_WAITING = 20
"""Rows of the org in the inbox: enough for the recorder to be always at work, and little to hold up others."""

_PAUSE_S = 0.05
_STILL_S = 5.0
"""A queue whose head does not move for so long has nobody who works on it."""

_queued = rows.c.kind.in_((inbox.EVENTS, inbox.ERASE, inbox.MEMBERS))


class Waiting(NamedTuple):
    """`mine`: rows of ours. `head`: the row, of whichever org, that is the recorder's next."""

    mine: int
    head: int | None


async def newest_row(connection: AsyncConnection, org_id: UUID) -> int:
    """The last row that the org asks for now; 0 when there is none."""
    query = select(func.coalesce(func.max(rows.c.id), 0)).where(_queued, rows.c.org_id == org_id)
    return int((await connection.execute(query)).scalar_one())


async def until_applied(
    postgres: AsyncEngine, org_id: UUID, say: Callable[[int, bool], None], *, but: int = 0, last: int | None = None
) -> None:
    """Waits until at most `but` of the org's rows, those up to the row `last`, are left.

    `say(rows, still)` is called while there are more; `still`: nobody seems to work on them.
    """
    head, since_s = None, time.monotonic()
    while True:
        async with postgres.connect() as connection:
            waiting = await _ask(connection, org_id, last)
        if waiting.mine <= but:
            return
        if waiting.head != head:
            head, since_s = waiting.head, time.monotonic()
        say(waiting.mine, time.monotonic() - since_s >= _STILL_S)
        await asyncio.sleep(_PAUSE_S)


async def _ask(connection: AsyncConnection, org_id: UUID, last: int | None) -> Waiting:
    mine = rows.c.org_id == org_id if last is None else (rows.c.org_id == org_id) & (rows.c.id <= last)
    query = select(func.count().filter(mine), func.min(rows.c.id)).where(_queued)
    return Waiting(*(await connection.execute(query)).one())
