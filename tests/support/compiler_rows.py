"""Rows as the compiler reads them, and the same written to Postgres."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from compiler.snapshot import MessageRow, Snapshot
from engine.audiences import StoredAudience
from store import outbox, tables
from store.ids import new_id
from wire.apikeys import digest, mint
from wire.bundle import Settings, Version

ORG = UUID(int=7)
NOW_MS = 1_800_000_000_000
VERSION = Version(1, 1, 1)
KEY = b"\x01" * 32

CONTENT: Mapping[str, Any] = {"title": "Go Pro", "body": "More of everything", "ctaText": None, "dismissible": True}
APPEARANCE: Mapping[str, Any] = {"position": "center", "theme": "auto", "backgroundColor": "#112233", "anchor": None}
_JSON_COLUMNS = ("content", "appearance", "trigger", "frequency_cap")


def uuid(number: int) -> UUID:
    return UUID(int=number)


def message_row(number: int = 1, **changes: Any) -> MessageRow:
    """A modal for everyone, published and active, but for `changes`, where JSON columns are the values in them."""
    fields: dict[str, Any] = {
        "id": uuid(number),
        "version": 1,
        "type": "modal",
        "content": dict(CONTENT),
        "appearance": dict(APPEARANCE),
        "trigger": None,
        "frequency_cap": None,
        "audience_id": None,
        "exclude_audience_ids": (),
        "starts_ms": None,
        "ends_ms": None,
        "active": True,
        "priority": 50,
        "slot": None,
        "created_ms": NOW_MS - 1000 + number,
    }
    return MessageRow(**{name: as_stored(name, value) for name, value in (fields | changes).items()})


def as_stored(name: str, value: Any) -> Any:
    """JSON columns are text; a text that is given for one is what stands there."""
    return json.dumps(value) if name in _JSON_COLUMNS and not isinstance(value, str | None) else value


def audience_row(number: int, rule: object, name: str | None = None, *, preparing: bool = False) -> StoredAudience:
    rule_json = None if rule is None else json.dumps(rule)
    return StoredAudience(uuid(number), name or f"Audience {number}", rule_json, preparing)


def snapshot(
    *messages: MessageRow, audiences: Sequence[StoredAudience] = (), settings: Settings | None = None
) -> Snapshot:
    return Snapshot(ORG, VERSION, settings or Settings(), frozenset({KEY}), tuple(audiences), messages)


@dataclass(frozen=True, slots=True)
class Authored:
    """What admin would have written for one org."""

    postgres: AsyncEngine
    org_id: UUID

    async def announce(self) -> None:
        async with self.postgres.begin() as connection:
            await outbox.announce(connection, self.org_id, NOW_MS)

    async def add_message(self, *, announce: bool = True, **changes: Any) -> UUID:
        async with self.postgres.begin() as connection:
            message_id = await insert_message(connection, self.org_id, **changes)
            if announce:
                await outbox.announce(connection, self.org_id, NOW_MS)
        return message_id

    async def change_message(self, message_id: UUID, *, announce: bool = True, **values: Any) -> None:
        async with self.postgres.begin() as connection:
            table = tables.in_app_messages
            await connection.execute(table.update().where(table.c.id == message_id).values(**values))
            if announce:
                await outbox.announce(connection, self.org_id, NOW_MS)

    async def add_audience(self, rule: object, name: str = "Audience", *, preparing: bool = False) -> UUID:
        audience_id = new_id()
        values = {"id": audience_id, "org_id": self.org_id, "name": name, "rule": rule, "preparing": preparing}
        async with self.postgres.begin() as connection:
            await connection.execute(insert(tables.audiences).values(**values, created_ms=NOW_MS, updated_ms=NOW_MS))
        return audience_id

    async def problems_of(self, message_id: UUID) -> list[dict[str, str]]:
        async with self.postgres.connect() as connection:
            table = tables.in_app_messages
            found: list[dict[str, str]] = (
                await connection.execute(
                    table.select().with_only_columns(table.c.problems).where(table.c.id == message_id)
                )
            ).scalar_one()
        return found

    async def outbox_ids(self) -> list[int]:
        async with self.postgres.connect() as connection:
            table = tables.outbox
            rows = await connection.execute(table.select().where(table.c.org_id == self.org_id).order_by(table.c.id))
            return [row.id for row in rows]

    async def revision(self) -> int:
        async with self.postgres.connect() as connection:
            table = tables.orgs
            found: int = (
                await connection.execute(
                    table.select().with_only_columns(table.c.bundle_revision).where(table.c.id == self.org_id)
                )
            ).scalar_one()
        return found

    async def add_key(self, kind: Any = "pk", revoked_ms: int | None = None) -> bytes:
        text = mint(kind, "prod", self.org_id)
        async with self.postgres.begin() as connection:
            await connection.execute(
                insert(tables.api_keys).values(
                    id=new_id(),
                    org_id=self.org_id,
                    kind=kind,
                    env="prod",
                    name="A key",
                    hint=text[-4:],
                    digest=digest(text),
                    created_ms=NOW_MS,
                    revoked_ms=revoked_ms,
                )
            )
        return digest(text)


async def author(postgres: AsyncEngine, **settings: Any) -> Authored:
    """A new org with nothing in it."""
    org_id = new_id()
    async with postgres.begin() as connection:
        await connection.execute(
            insert(tables.orgs).values(id=org_id, name="Acme", plan="starter", created_ms=NOW_MS, **settings)
        )
    return Authored(postgres, org_id)


async def insert_message(connection: AsyncConnection, org_id: UUID, **changes: Any) -> UUID:
    """Published and active, but for `changes`."""
    message_id: UUID = changes.pop("id", None) or new_id()
    values = {
        "id": message_id,
        "org_id": org_id,
        "name": "A message",
        "type": "modal",
        "version": 1,
        "content": dict(CONTENT),
        "appearance": dict(APPEARANCE),
        "priority": 50,
        "created_ms": NOW_MS,
        "updated_ms": NOW_MS,
        "published_ms": NOW_MS,
    }
    await connection.execute(insert(tables.in_app_messages).values(**(values | changes)))
    return message_id
