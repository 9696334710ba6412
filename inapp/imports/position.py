"""How far the import of a file came, in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, and_, cast, extract, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audit import service as audit
from admin.audit.service import Actor, Changes, Target
from inapp.imports.event_ids import ids_of
from inapp.imports.reading.check import Customer
from store import inbox
from store.tables import customer_imports, orgs
from wire.events import UPDATED, Event

_imports = customer_imports
_NOW_MS = cast(extract("epoch", func.clock_timestamp()) * 1_000, BigInteger)
"""By the database's clock: this machine's may be off, and the moment decides which of two writes is the later one."""


class UnknownOrgError(Exception):
    """There is no such org."""


class AlreadyImportedError(Exception):
    """The file was imported before, from its first line to its last."""

    def __init__(self, finished_ms: int, accepted: int, rejected: int) -> None:
        super().__init__(finished_ms)
        self.finished_ms = finished_ms
        self.accepted = accepted
        self.rejected = rejected


class OvertakenError(Exception):
    """Somebody else imports the same file."""


@dataclass(frozen=True, slots=True)
class Position:
    """`next_line`: the first line that is not in. All lines before it were handed over, or are known to be bad.

    All that the file says counts as said at `started_ms`: what became known since then is newer, and stays.
    """

    org_id: UUID
    digest: bytes
    started_ms: int
    next_line: int = 1
    accepted: int = 0
    rejected: int = 0

    @property
    def row(self) -> ColumnElement[bool]:
        return and_(_imports.c.org_id == self.org_id, _imports.c.digest == self.digest)


async def begin(connection: AsyncConnection, org_id: UUID, digest: bytes, name: str, *, again: bool) -> Position:
    """Where to begin, or to go on. Raises UnknownOrgError and AlreadyImportedError; `again` begins anew."""
    if not (await connection.execute(select(orgs.c.id).where(orgs.c.id == org_id))).first():
        raise UnknownOrgError
    now_ms: int = (await connection.execute(select(_NOW_MS))).scalar_one()
    position = Position(org_id, digest, now_ms)
    new = insert(_imports).values(org_id=org_id, digest=digest, name=name, started_ms=now_ms)
    made = await connection.execute(new.on_conflict_do_nothing().returning(_imports.c.digest))
    if made.first():
        await _note(connection, position, "customer.import", {"file": (None, name)}, now_ms)
        return position
    row = (await connection.execute(select(_imports).where(position.row).with_for_update())).one()
    if again:
        return await _begin_anew(connection, replace(position, started_ms=max(now_ms, row.started_ms + 1)), name)
    if row.finished_ms is not None:
        raise AlreadyImportedError(row.finished_ms, row.accepted, row.rejected)
    return Position(org_id, digest, row.started_ms, row.next_line, row.accepted, row.rejected)


async def move_on(
    connection: AsyncConnection, position: Position, customers: Sequence[Customer], rejected: int, next_line: int
) -> Position:
    """Hands the customers over, and says so, in one transaction. Raises OvertakenError."""
    moved = replace(
        position,
        next_line=next_line,
        accepted=position.accepted + len(customers),
        rejected=position.rejected + rejected,
    )
    values = {"next_line": next_line, "accepted": moved.accepted, "rejected": moved.rejected}
    await _change(connection, position, values)
    if customers:
        now_ms: int = (await connection.execute(select(_NOW_MS))).scalar_one()
        await inbox.ask_events(connection, position.org_id, _events(position, customers), now_ms)
    return moved


async def finish(connection: AsyncConnection, position: Position) -> None:
    """Raises OvertakenError."""
    now_ms: int = (await connection.execute(select(_NOW_MS))).scalar_one()
    await _change(connection, position, {"finished_ms": now_ms})
    counts: Changes = {"accepted": (None, position.accepted), "rejected": (None, position.rejected)}
    await _note(connection, position, "customer.import_finished", counts, now_ms)


async def _begin_anew(connection: AsyncConnection, position: Position, name: str) -> Position:
    values = {"started_ms": position.started_ms, "next_line": 1, "accepted": 0, "rejected": 0, "finished_ms": None}
    await connection.execute(update(_imports).where(position.row).values(name=name, **values))
    await _note(connection, position, "customer.import", {"file": (None, name)}, position.started_ms)
    return position


async def _change(connection: AsyncConnection, position: Position, values: dict[str, int]) -> None:
    """Only from the very position that we know."""
    known = and_(_imports.c.next_line == position.next_line, _imports.c.started_ms == position.started_ms)
    open_ = and_(position.row, known, _imports.c.finished_ms.is_(None))
    if (await connection.execute(update(_imports).where(open_).values(**values))).rowcount != 1:
        raise OvertakenError


async def _note(connection: AsyncConnection, position: Position, action: str, changes: Changes, now_ms: int) -> None:
    target = Target("import", position.digest.hex())
    await audit.record(connection, Actor.cli(position.org_id), action, target, changes, now_ms)


def _events(position: Position, customers: Sequence[Customer]) -> list[Event]:
    id_of = ids_of(position.digest, position.started_ms)
    moment_ms = position.started_ms
    return [
        Event(id_of(line).bytes, position.org_id, UPDATED, user_id, None, moment_ms, moment_ms, properties)
        for line, user_id, _, properties in customers
    ]
