"""A recorder's parts around one database and one Redis, and what a test wants to see of both."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID, uuid4

from redis.asyncio import Redis
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from recorder.batches.consume import BLOCK_MS, Consumer
from recorder.features.keep import Features
from recorder.inbox.work import Inbox
from recorder.ledger import Ledger
from recorder.record import Recorded
from recorder.states.project import Projector
from service.connect import blocking_redis_client, redis_client
from service.supervise import cancel
from store import inbox, outbox, tables
from store.connect import create_engine
from store.features import mark_preparing
from store.ids import new_id
from wire import codec, events, keys
from wire.events import Event, EventBatch
from wire.userstate import UserState

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
_STOP_S = 30.0


def event(
    org_id: UUID,
    type_: str = "report.exported",
    user: str | None = None,
    visitor: str | None = None,
    at_ms: int = NOW_MS,
    *,
    properties: dict[str, Any] | bytes | None = None,
    received_ms: int | None = None,
    id_: UUID | None = None,
) -> Event:
    """`at_ms` is when it occurred and, unless told otherwise, when it was received."""
    encoded = properties if isinstance(properties, bytes) else codec.to_json(properties or {})
    received_ms = at_ms if received_ms is None else received_ms
    return Event((id_ or uuid4()).bytes, org_id, type_, user, visitor, min(at_ms, received_ms), received_ms, encoded)


@dataclass
class World:
    database_url: str
    redis_url: str
    engine: AsyncEngine
    redis: Redis
    blocking: Redis
    org_id: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.engine, lambda: NOW_MS)
        self.projector = Projector(self.engine, self.redis)
        self.inbox = Inbox(self.engine, self.database_url, self.ledger, self.projector)
        self.features = Features(self.engine, self.database_url, self.ledger, self.projector)

    def consumer(self, name: str = "one") -> Consumer:
        return Consumer(self.redis, self.blocking, self.ledger, self.projector, name)

    # What happens

    def event(self, type_: str = "report.exported", user: str | None = None, **fields: Any) -> Event:
        return event(self.org_id, type_, user, **fields)

    def identify(self, user: str | None = "ada", visitor: str | None = None, **fields: Any) -> Event:
        return self.event(events.IDENTIFIED, user, visitor=visitor, **fields)

    def about(self, message_id: UUID, type_: str = events.IMPRESSION, user: str | None = None, **fields: Any) -> Event:
        return self.event(type_, user, properties={"messageId": str(message_id)}, **fields)

    async def record(self, *recorded: Event) -> Recorded:
        """Stored and projected."""
        done = await self.ledger.record(recorded)
        await self.projector.project(done.touched)
        return done

    async def ship(self, batch: EventBatch, body: bytes | None = None) -> None:
        """As an edge does."""
        body = batch.encode() if body is None else body
        entry: Any = events.entry(batch.spool, batch.number, len(batch.events), body)
        await self.redis.xadd(keys.events(keys.event_shard(batch.spool)), entry)

    async def ask_members(self, audience_id: UUID, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Asked of the recorder, and done."""
        async with self.engine.begin() as connection:
            await inbox.ask_members(connection, self.org_id, audience_id, add, remove, NOW_MS)
        await self.inbox.work_off()

    async def ask_erase(self, subject: str, erased_ms: int = NOW_MS) -> None:
        """Asked of the recorder, and done."""
        async with self.engine.begin() as connection:
            await inbox.ask_erase(connection, self.org_id, subject, erased_ms)
        await self.inbox.work_off()

    async def ask_events(self, *asked: Event) -> None:
        """Asked of the recorder, and not done yet."""
        async with self.engine.begin() as connection:
            await inbox.ask_events(connection, self.org_id, asked, NOW_MS)

    async def settle_features(self) -> None:
        """What audiences ask for is adopted, gathered and, if nobody asks any more, removed."""
        await self.features.look()
        while await self.features.turn():
            pass

    async def publish(self) -> None:
        """As a compiler does: nothing that is published needs what no rule asks for."""
        await self.execute(text("DELETE FROM outbox"))
        await self.execute(text("UPDATE orgs SET bundle_revision = bundle_revision + 1"))

    # What an org has

    async def add_org(self, org_id: UUID | None = None) -> UUID:
        org_id = org_id or self.org_id
        await self.execute(insert(tables.orgs), id=org_id, name="Acme", plan="pro", created_ms=0)
        return org_id

    async def add_message(
        self, org_id: UUID | None = None, *, archived_ms: int | None = None, goal: Any = None
    ) -> UUID:
        message_id = new_id()
        await self.execute(
            insert(tables.in_app_messages),
            id=message_id,
            org_id=org_id or self.org_id,
            name="Hello",
            type="banner",
            version=1,
            content={},
            appearance={},
            priority=50,
            created_ms=0,
            updated_ms=0,
            archived_ms=archived_ms,
            goal=goal,
        )
        return message_id

    async def add_audience(self, rule: object = None, org_id: UUID | None = None) -> UUID:
        """As admin does; without a rule it is a static one."""
        audience_id, org_id = new_id(), org_id or self.org_id
        row = {"id": audience_id, "org_id": org_id, "name": str(audience_id), "rule": rule}
        await self._author(org_id, insert(tables.audiences).values(**row, created_ms=0, updated_ms=0))
        return audience_id

    async def change_rule(self, audience_id: UUID, rule: object) -> None:
        mine = tables.audiences.c.id == audience_id
        await self._author(self.org_id, update(tables.audiences).where(mine).values(rule=rule))

    async def delete_audience(self, audience_id: UUID) -> None:
        await self._author(self.org_id, delete(tables.audiences).where(tables.audiences.c.id == audience_id))

    async def _author(self, org_id: UUID, change: Any) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(select(tables.orgs).where(tables.orgs.c.id == org_id).with_for_update())
            await connection.execute(change)
            await mark_preparing(connection, org_id)
            await outbox.announce(connection, org_id, NOW_MS)

    # What has become of it

    async def execute(self, statement: Any, **parameters: Any) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(statement, parameters)

    async def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(query), parameters)]

    async def count(self, table: str) -> int:
        [(number,)] = await self.rows(f"SELECT count(*) FROM {table}")
        return int(number)

    async def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that the ledger holds, to compare."""
        return {
            table: sorted(await self.rows(f"SELECT CAST({table} AS text) FROM {table}"))
            for table in (
                "events",
                "customers",
                "customer_aliases",
                "in_app_message_impressions",
                "in_app_message_conversions",
                "message_stats_hourly",
                "message_user_state",
                "audience_members",
                "rejected_events",
                "erased_customers",
                "event_rings",
            )
        }

    async def preparing(self) -> set[UUID]:
        return {id_ for (id_,) in await self.rows("SELECT id FROM audiences WHERE preparing")}

    async def kept(self) -> list[tuple[Any, ...]]:
        """(event, kept, ready) of each feature."""
        return await self.rows("SELECT event, kept, ready FROM event_features ORDER BY event, kept")

    async def state(self, subject: str, org_id: UUID | None = None) -> UserState | None:
        data: Any = await self.redis.get(keys.user(org_id or self.org_id, subject))
        return None if data is None else UserState.decode(data)

    async def known_state(self, subject: str) -> UserState:
        state = await self.state(subject)
        assert state is not None
        return state

    async def changes(self) -> list[dict[bytes, bytes]]:
        entries: Any = await self.redis.xrange(keys.CHANGES)
        return [fields for _, fields in entries]


class Runs(Protocol):
    """A part of the recorder that is at work until it is cancelled."""

    async def run(self) -> None: ...


@asynccontextmanager
async def at_work(*parts: Runs) -> AsyncIterator[None]:
    """Whatever is asked inside the block, by whomever, is done as it comes. A part that fails fails the test."""
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
        assert not [task for task in tasks if task.done()]
    finally:
        await asyncio.gather(*[cancel(task, _STOP_S) for task in tasks])
        assert all(task.cancelled() for task in tasks), tasks


@asynccontextmanager
async def recorder_world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    engine = create_engine(database_url)
    async with redis_client(redis_url) as redis, blocking_redis_client(redis_url, BLOCK_MS) as blocking:
        try:
            yield World(database_url, redis_url, engine, redis, blocking)
        finally:
            await engine.dispose()
