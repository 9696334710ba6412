"""Rows of `customers`: locking those that subjects lead to, and writing what a transaction changed."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.rows.traits import Traits
from store import tables
from wire import codec, subjects


class CustomerKey(NamedTuple):
    """Sorts as Postgres does: by org, then by the subject's code points."""

    org_id: UUID
    subject: str


Aliases = Mapping[CustomerKey, CustomerKey]
"""Claimed anonymous visitor → the user that it belongs to."""


class AliasesMovedError(Exception):
    """While we waited for locks an anonymous id was claimed or set free: other customers need locking."""


@dataclass(frozen=True, slots=True)
class Locked:
    """The customers that this transaction holds. `new`: rows made just now; an unchanged one must go again."""

    aliases: Aliases
    new: frozenset[CustomerKey]

    def owner(self, key: CustomerKey) -> CustomerKey:
        return self.aliases.get(key, key)


@dataclass(frozen=True, slots=True)
class Customer:
    traits: Traits
    created_ms: int
    last_seen_ms: int


@dataclass(slots=True)
class Change:
    """What a transaction does to a customer's row. `moves`: the state changes, which takes a new rev."""

    created_ms: int
    last_seen_ms: int
    moves: bool = False
    traits: Traits | None = None

    def cover(self, created_ms: int, last_seen_ms: int) -> None:
        """Widens the time in which the customer is known to have been here."""
        self.created_ms = min(self.created_ms, created_ms)
        self.last_seen_ms = max(self.last_seen_ms, last_seen_ms)


_ALIASES = text(
    """
    SELECT org_id, 'a:' || anonymous_id AS visitor, subject
    FROM customer_aliases
    JOIN unnest(CAST(:org_ids AS uuid[]), CAST(:ids AS text[])) AS asked (org_id, anonymous_id)
    USING (org_id, anonymous_id)
    """
)

_CREATE_MISSING = text(
    """
    INSERT INTO customers (org_id, subject, rev, created_ms, last_seen_ms)
    SELECT org_id, subject, 0, created_ms, 0
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:created_ms AS bigint[]))
        AS asked (org_id, subject, created_ms)
    ON CONFLICT DO NOTHING
    """
)

_LOCK = text(
    """
    SELECT customers.org_id, customers.subject, customers.rev
    FROM customers
    JOIN unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    ON customers.org_id = asked.org_id AND customers.subject = asked.subject
    ORDER BY customers.org_id, customers.subject
    FOR UPDATE OF customers
    """
)

_READ = text(
    """
    SELECT customers.org_id, customers.subject, traits, stamps, created_ms, last_seen_ms
    FROM customers
    JOIN unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    ON customers.org_id = asked.org_id AND customers.subject = asked.subject
    """
).columns(traits=tables.customers.c.traits.type, stamps=tables.customers.c.stamps.type)

_SAVE = text(
    """
    UPDATE customers SET
        created_ms = LEAST(customers.created_ms, change.created_ms),
        last_seen_ms = GREATEST(customers.last_seen_ms, change.last_seen_ms),
        traits = COALESCE(CAST(change.traits AS jsonb), customers.traits),
        stamps = COALESCE(CAST(change.stamps AS jsonb), customers.stamps),
        rev = CASE WHEN change.moves THEN nextval('customer_rev') ELSE customers.rev END
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:created_ms AS bigint[]),
        CAST(:last_seen_ms AS bigint[]), CAST(:moves AS boolean[]), CAST(:traits AS text[]), CAST(:stamps AS text[])
    ) AS change (org_id, subject, created_ms, last_seen_ms, moves, traits, stamps)
    WHERE customers.org_id = change.org_id AND customers.subject = change.subject
    """
)

_DRAW_REVS = text(
    """
    UPDATE customers SET rev = nextval('customer_rev')
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS moved (org_id, subject)
    WHERE customers.org_id = moved.org_id AND customers.subject = moved.subject
    """
)

_DELETE = text(
    """
    DELETE FROM customers
    USING unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    WHERE customers.org_id = asked.org_id AND customers.subject = asked.subject
    """
)


def key_arrays(keys: Iterable[CustomerKey]) -> dict[str, Any]:
    """Parameters `org_ids` and `subjects` for `unnest`."""
    listed = list(keys)
    return {"org_ids": [key.org_id for key in listed], "subjects": [key.subject for key in listed]}


def array_literal(moments_ms: Iterable[int]) -> str:
    """A Postgres array as text: `unnest` cannot take lists of different lengths."""
    return "{" + ",".join(map(str, moments_ms)) + "}"


async def lock(connection: AsyncConnection, first_seen: Mapping[CustomerKey, int]) -> Locked:
    """Locks whoever these subjects lead to, making the missing rows. The values are for `created_ms` of new ones.

    Rows are locked in the order of their keys, so that transactions wait for each other instead of dead-locking.
    Aliases are read again under the locks; raises AliasesMovedError when they lead to somebody else by then.
    """
    visitors = [key for key in first_seen if not subjects.is_user(key.subject)]
    aliases = await read_aliases(connection, visitors)
    created_ms: dict[CustomerKey, int] = {}
    for key, moment_ms in first_seen.items():
        owner = aliases.get(key, key)
        created_ms[owner] = min(moment_ms, created_ms.get(owner, moment_ms))
    owners = sorted(created_ms)
    arrays = key_arrays(owners)
    await connection.execute(_CREATE_MISSING, arrays | {"created_ms": [created_ms[key] for key in owners]})
    rows = (await connection.execute(_LOCK, arrays)).all()
    if len(rows) < len(owners) or aliases != await read_aliases(connection, visitors):
        raise AliasesMovedError
    return Locked(aliases, frozenset(CustomerKey(org_id, subject) for org_id, subject, rev in rows if rev == 0))


async def read_aliases(connection: AsyncConnection, visitors: Collection[CustomerKey]) -> Aliases:
    if not visitors:
        return {}
    arrays = {"org_ids": [key.org_id for key in visitors], "ids": [subjects.bare_id(key.subject) for key in visitors]}
    rows = await connection.execute(_ALIASES, arrays)
    return {CustomerKey(org_id, visitor): CustomerKey(org_id, subject) for org_id, visitor, subject in rows}


async def read(connection: AsyncConnection, keys: Collection[CustomerKey]) -> dict[CustomerKey, Customer]:
    if not keys:
        return {}
    rows = await connection.execute(_READ, key_arrays(keys))
    return {
        CustomerKey(row.org_id, row.subject): Customer(Traits(row.traits, row.stamps), row.created_ms, row.last_seen_ms)
        for row in rows
    }


async def save(connection: AsyncConnection, changes: Mapping[CustomerKey, Change]) -> None:
    """Writes the changes; those that move a state draw its new rev, under the row's lock."""
    if not changes:
        return
    listed = changes.values()
    columns = {
        "created_ms": [change.created_ms for change in listed],
        "last_seen_ms": [change.last_seen_ms for change in listed],
        "moves": [change.moves for change in listed],
        "traits": [_json(change.traits.values if change.traits else None) for change in listed],
        "stamps": [_json(change.traits.stamps if change.traits else None) for change in listed],
    }
    await connection.execute(_SAVE, key_arrays(changes) | columns)


async def draw_revs(connection: AsyncConnection, keys: Collection[CustomerKey]) -> None:
    """For states that move although nothing in these rows does; the transaction holds them."""
    if keys:
        await connection.execute(_DRAW_REVS, key_arrays(keys))


async def delete(connection: AsyncConnection, keys: Collection[CustomerKey]) -> None:
    if keys:
        await connection.execute(_DELETE, key_arrays(keys))


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else codec.to_json(value).decode()
