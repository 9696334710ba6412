"""One org's rows as plain values, read in the transaction that gives them their revision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import JSON, Column, Row, Select, String, cast, exists, literal_column, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from compiler.lease import NOW_MS, LeaseLostError, Term
from engine.audiences import StoredAudience
from store.audiences import stored_audiences
from store.tables import api_keys, compiler_lease, in_app_messages, orgs, outbox
from wire.bundle import Settings, Version

_ATTEMPTS = 10
_RETRIED = frozenset({"40001", "40P01"})
"""SQLSTATEs of a serialization failure and of a deadlock."""


class MessageRow(NamedTuple):
    """A published message as it is stored, unchecked. `content`, `appearance`, `trigger`, `frequency_cap`: JSON text.

    Equal rows are the same message to the last character, so that what was made of one holds for the other.
    """

    id: UUID
    version: int
    type: str
    content: str
    appearance: str
    trigger: str | None
    frequency_cap: str | None
    audience_id: UUID | None
    exclude_audience_ids: Sequence[UUID]
    starts_ms: int | None
    ends_ms: int | None
    priority: int
    slot: str | None
    created_ms: int
    active: bool


_MESSAGE_COLUMNS = [in_app_messages.c[name] for name in MessageRow._fields]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An outbox row that the snapshot takes in."""

    id: int
    created_ms: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that an org's bundles are made of, as of one moment. `keys`: digests of its live public keys."""

    org_id: UUID
    version: Version
    settings: Settings
    keys: frozenset[bytes]
    audiences: tuple[StoredAudience, ...]
    messages: tuple[MessageRow, ...]
    waiting: tuple[Waiting, ...] = ()


async def take_snapshot(postgres: AsyncEngine, org_id: UUID, term: Term) -> Snapshot:
    """Raises LeaseLostError when the term is over.

    The revision is raised first, in the same transaction, so that a later revision always means a later snapshot:
    a transaction that began before another one's end cannot raise the same org's revision after it.
    """
    isolated = postgres.execution_options(isolation_level="REPEATABLE READ")
    attempt = 1
    while True:
        try:
            async with isolated.begin() as connection:
                return await _take(connection, org_id, term)
        except DBAPIError as error:
            if attempt == _ATTEMPTS or getattr(error.orig, "sqlstate", None) not in _RETRIED:
                raise
        attempt += 1


async def _take(connection: AsyncConnection, org_id: UUID, term: Term) -> Snapshot:
    await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
    version, settings = await _raise_revision(connection, org_id, term)
    return Snapshot(
        org_id,
        version,
        settings,
        frozenset([row.digest for row in await _rows(connection, _live_keys(org_id))]),
        tuple(await stored_audiences(connection, org_id)),
        tuple(map(MessageRow._make, await _rows(connection, _messages(org_id)))),
        tuple(Waiting(row.id, row.created_ms) for row in await _rows(connection, _waiting(org_id))),
    )


async def _raise_revision(connection: AsyncConnection, org_id: UUID, term: Term) -> tuple[Version, Settings]:
    lease = compiler_lease.c
    held = exists().where(
        lease.generation == term.generation,
        lease.epoch == term.epoch,
        lease.holder == term.holder,
        lease.expires_ms > literal_column(NOW_MS),
    )
    raised = (
        update(orgs)
        .where(orgs.c.id == org_id, held)
        .values(bundle_revision=orgs.c.bundle_revision + 1)
        .returning(orgs.c.bundle_revision, orgs.c.require_identity_token, orgs.c.identity_secret)
    )
    row = (await connection.execute(raised)).one_or_none()
    if row is None:
        raise LeaseLostError(f"epoch {term.epoch} is over")
    version = Version(term.generation, term.epoch, row.bundle_revision)
    return version, Settings(row.require_identity_token, row.identity_secret)


def _live_keys(org_id: UUID) -> Select[Any]:
    key = api_keys.c
    return select(key.digest).where(key.org_id == org_id, key.kind == "pk", key.revoked_ms.is_(None))


def _messages(org_id: UUID) -> Select[Any]:
    message = in_app_messages.c
    return (
        select(*[_as_text(column) if _is_json(column) else column for column in _MESSAGE_COLUMNS])
        .where(message.org_id == org_id, message.published_ms.is_not(None), message.archived_ms.is_(None))
        .order_by(message.id)
    )


def _waiting(org_id: UUID) -> Select[Any]:
    return select(outbox.c.id, outbox.c.created_ms).where(outbox.c.org_id == org_id)


def _is_json(column: Column[Any]) -> bool:
    return isinstance(column.type, JSON)


def _as_text(column: Column[Any]) -> Any:
    """JSON is parsed message by message and not by the driver, where one unreadable value would fail the whole org."""
    return cast(column, String).label(column.name)


async def _rows(connection: AsyncConnection, query: Select[Any]) -> Sequence[Row[Any]]:
    rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    return rows
