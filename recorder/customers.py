"""Rows of `customers`: locking those that subjects lead to, and writing what a transaction changed."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.traits import Traits
from store import tables
from wire import codec, subjects


class CustomerKey(NamedTuple):
    """Sorts as Postgres does: by org, then by the subject's code points."""

    org_id: UUID
    subject: str


Aliases = Mapping[CustomerKey, CustomerKey]
"""Claimed anonymous visitor → the user it belongs to."""


class AliasesMovedError(Exception):
    """An anonymous id was claimed or set free while we waited for locks: other customers need locking."""


@dataclass(frozen=True, slots=True)
class Locked:
    """`new`: rows that were made just now. Whoever is not in `aliases` is their own owner."""

    aliases: Aliases
    new: frozenset[CustomerKey]

    def owner(self, key: CustomerKey) -> CustomerKey:
        return self.aliases.get(key, key)


@dataclass(slots=True)
class Change:
    """What one transaction does to a customer. `moves`: their state changes, so it needs a new rev."""

    first_ms: int
    last_ms: int
    moves: bool = False
    traits: Traits | None = None

    def cover(self, first_ms: int, last_ms: int) -> None:
        self.first_ms = min(self.first_ms, first_ms)
        self.last_ms = max(self.last_ms, last_ms)


@dataclass(frozen=True, slots=True)
class Customer:
    traits: Traits
    created_ms: int
    last_seen_ms: int


_ASKED = "unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)"

_ALIASES = text(
    f"""
    SELECT org_id, anonymous_id, customer_aliases.subject
    FROM customer_aliases JOIN {_ASKED}
    USING (org_id) WHERE anonymous_id = substr(asked.subject, 3)
    """
)

_CREATE_MISSING = text(
    """
    INSERT INTO customers (org_id, subject, rev, created_ms, last_seen_ms)
    SELECT org_id, subject, 0, :now_ms, 0
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    ON CONFLICT DO NOTHING
    """
)
