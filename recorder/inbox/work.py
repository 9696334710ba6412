"""What admin asked for: rows of `inbox`, in the order of their ids.

The transaction that applies a row deletes it, and adds a row of kind `project` that names the customers whose states
changed. That one is deleted when their states are in Redis. So a recorder that dies in between delays the projection,
but cannot lose it.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Row, Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from recorder import metrics
from recorder.failures import RefusedError
from recorder.inbox.apply import (
    Asked,
    OvertakenError,
    add_project_rows,
    apply,
    events_of,
    for_one_transaction,
    remove_rows,
)
from recorder.inbox.asks import PROJECT, Unreadable, refused, subjects_to_project
from recorder.ledger import Ledger
from recorder.record import Recorded
from recorder.rows.customers import CustomerKey
from recorder.states.project import Projector
from recorder.stopping import run_to_end
from service.logs import one_line
from store import tables
from store.connect import INBOX_CHANNEL, listening

log = structlog.get_logger("inbox")

POLL_S = 1.0
"""The longest time until a row is seen, should its notification get lost."""
_ROWS = 100

_rows = tables.inbox
_HEAD = select(_rows).where(_rows.c.kind != PROJECT).order_by(_rows.c.id).limit(_ROWS)
_TO_PROJECT = select(_rows).where(_rows.c.kind == PROJECT).order_by(_rows.c.id).limit(_ROWS)
_DEPTH = select(func.count()).select_from(_rows).where(_rows.c.kind != PROJECT)

Rows = Sequence[Row[Any]]


class Inbox:
    def __init__(self, postgres: AsyncEngine, database_url: str, ledger: Ledger, projector: Projector) -> None:
        self._postgres = postgres
        self._database_url = database_url
        self._ledger = ledger
        self._projector = projector

    async def run(self) -> None:
        """Until cancelled, and then to the end of what has begun. Errors of Postgres come out."""
        wake = asyncio.Event()
        async with listening(self._database_url, INBOX_CHANNEL, lambda _payload: wake.set()) as connection:
            while not connection.is_closed():
                wake.clear()
                await run_to_end(self.work_off())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await wake.wait()
        raise ConnectionError("the connection that listens to the inbox is closed")

    async def work_off(self) -> None:
        """Everything that is there, also what a recorder did not project because it died, or found no Redis."""
        while asked := for_one_transaction(await self._read(_HEAD)):
            with contextlib.suppress(OvertakenError):
                await self._apply(asked)
        for row in await self._read(_TO_PROJECT):
            await self._project(subjects_to_project(row), [row.id])
        async with self._postgres.connect() as connection:
            metrics.INBOX_DEPTH.set((await connection.execute(_DEPTH)).scalar_one())

    async def _read(self, query: Select[Any]) -> Rows:
        async with self._postgres.connect() as connection:
            rows: Rows = (await connection.execute(query)).all()
            return rows

    async def _apply(self, asked: Sequence[Asked]) -> None:
        now_ms = self._ledger.now_ms()
        try:
            recorded, project_ids = await self._ledger.transact(
                "inbox", lambda connection: apply(connection, asked, now_ms)
            )
        except RefusedError as error:
            recorded, project_ids = await self._apply_refused(asked, error.reason)
        else:
            self._ledger.count(recorded)
        for row, ask in asked:
            if isinstance(ask, Unreadable):
                metrics.LOST.labels(ask.lost.reason).inc()
                log.error("inbox_row_unreadable", id=row.id, kind=row.kind, org_id=row.org_id)
        await self._project(recorded.touched, project_ids)

    async def _apply_refused(self, asked: Sequence[Asked], reason: str) -> tuple[Recorded, list[int]]:
        """Event by event where they are events, so that a bad one does not take the others with it."""
        events = events_of(asked)
        recorded = await self._ledger.record(events)
        if not events:
            await self._ledger.declare_lost([refused(row, reason) for row, _ in asked])

        async def finish(connection: AsyncConnection) -> list[int]:
            await remove_rows(connection, asked)
            return await add_project_rows(connection, recorded.touched, self._ledger.now_ms())

        return recorded, await self._ledger.transact("inbox", finish)

    async def _project(self, touched: Iterable[CustomerKey], project_ids: Sequence[int]) -> None:
        try:
            await self._projector.project(touched)
        except RedisError as error:
            log.warning("projection_postponed", rows=len(project_ids), reason=one_line(error))
            return
        async with self._postgres.begin() as connection:
            await connection.execute(delete(_rows).where(_rows.c.id.in_(project_ids)))
