"""The import of one file, from where it stands to its end."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from inapp.imports import backlog, position
from inapp.imports.position import Position
from inapp.imports.reading.check import Customer, Rejected, check
from inapp.imports.reading.records import Record
from inapp.imports.reading.source import Source
from inapp.imports.report import Report

CHUNK_RECORDS = 500
CHUNK_BYTES = 1024 * 1024
"""In one transaction and one row of the inbox, except that a record stays whole."""


class Watcher(Protocol):
    """Who is told how it goes."""

    def phase(self, doing: str) -> None: ...
    def at(self, byte: int, lines: int) -> None: ...
    def waiting(self, rows: int, still: bool) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(slots=True)
class Run:
    """`position` None: it has not begun. `handed_over`: all lines are in the recorder's hands."""

    org_id: UUID
    source: Source
    digest: bytes
    report: Report
    again: bool
    watcher: Watcher
    position: Position | None = None
    handed_over: bool = False

    async def whole(self, postgres: AsyncEngine) -> Position:
        """Until the recorder has applied everything. Raises what `position.begin` raises, and FileChangedError."""
        records = self.source.records()
        async with postgres.begin() as connection:
            here = await position.begin(connection, self.org_id, self.digest, self.source.name, again=self.again)
        self.report.begin()
        self.position = here
        if here.next_line > 1:
            self.watcher.note(f"Going on at line {here.next_line:,}.")
        self.watcher.phase("Import")
        for chunk in chunks(records):
            here = await self._take_in(postgres, here, chunk)
        self.source.expect_unchanged()
        await self._finish(postgres, here)
        return here

    async def _take_in(self, postgres: AsyncEngine, here: Position, chunk: list[Record]) -> Position:
        """What is in already is only checked, for the report."""
        outcomes = [check(record) for record in chunk]
        for outcome in outcomes:
            if isinstance(outcome, Rejected):
                self.report.add(outcome)
        fresh = [outcome for outcome in outcomes if outcome.line >= here.next_line]
        self.watcher.at(chunk[-1].end_byte, len(fresh))
        if not fresh:
            await asyncio.sleep(0)  # Ctrl-C gets through
            return here
        self.source.expect_unchanged()
        customers = [outcome for outcome in fresh if isinstance(outcome, Customer)]
        bad = len(fresh) - len(customers)
        async with postgres.begin() as connection:
            moved = await position.move_on(connection, here, customers, bad, chunk[-1].next_line)
        self.position = moved
        await backlog.until_applied(postgres, self.org_id, self.watcher.waiting, but=backlog.MOST_WAITING)
        return moved

    async def _finish(self, postgres: AsyncEngine, here: Position) -> None:
        """The report is in its place before the import is said to be finished: nobody would write it again."""
        self.report.finish()
        async with postgres.begin() as connection:
            await position.finish(connection, here)
            last = await backlog.newest_row(connection, self.org_id)
        self.handed_over = True
        await backlog.until_applied(postgres, self.org_id, self.watcher.waiting, last=last)


def chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    size_bytes = 0
    for record in records:
        size_bytes += len(record.data)
        if chunk and (len(chunk) == CHUNK_RECORDS or size_bytes > CHUNK_BYTES):
            yield chunk
            chunk, size_bytes = [], len(record.data)
        chunk.append(record)
    if chunk:
        yield chunk
