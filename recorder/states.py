"""Postgres rows → the user states that edges evaluate against."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import tables
from wire import subjects
from wire.userstate import Seen, UserState

_ERASED_LIFE_S = 86_400
_UNKNOWN_LIFE_S = 60


@dataclass(frozen=True, slots=True)
class Projection:
    """What to put at a subject's key. `life_s`: 0 when it stays."""

    subject: str
    state: UserState
    life_s: int = 0


_OWNERS = text(
    """
    SELECT anonymous_id, subject FROM customer_aliases
    WHERE org_id = :org_id AND anonymous_id = ANY(CAST(:anonymous_ids AS text[]))
    """
)

# A join: Postgres keeps the plan it made while the table was small, and for `= ANY` that one reads all of an org.
_CUSTOMERS = text(
    """
    SELECT customers.subject, rev, traits, stamps
    FROM unnest(CAST(:subjects AS text[])) AS asked (subject)
    JOIN customers ON customers.org_id = :org_id AND customers.subject = asked.subject
    """
).columns(traits=tables.customers.c.traits.type, stamps=tables.customers.c.stamps.type)

_ALIASES = text(
    """
    SELECT subject, anonymous_id FROM customer_aliases
    WHERE org_id = :org_id AND subject = ANY(CAST(:subjects AS text[]))
    """
)

_MEMBERSHIPS = text(
    """
    SELECT subject, audience_id FROM audience_members
    WHERE org_id = :org_id AND subject = ANY(CAST(:subjects AS text[]))
    """
)

_SEEN = text(
    """
    SELECT state.subject, message_id, impressions, clicks, dismissals, recent_ms
    FROM message_user_state AS state
    JOIN in_app_messages AS messages ON messages.id = state.message_id AND messages.org_id = state.org_id
    WHERE state.org_id = :org_id AND state.subject = ANY(CAST(:subjects AS text[])) AND messages.archived_ms IS NULL
    """
)

_TOMBSTONES = text(
    """
    SELECT subject, rev FROM erased_customers
    WHERE org_id = :org_id AND subject = ANY(CAST(:subjects AS text[]))
    """
)


async def read_states(connection: AsyncConnection, org_id: UUID, asked: Collection[str]) -> list[Projection]:
    """The states of these subjects, and of the users that own them.

    `connection` must see one snapshot throughout: a rev must never stand over older content.
    """
    owners = await _owners(connection, org_id, asked)
    named: dict[str, Any] = {"org_id": org_id, "subjects": sorted({*asked, *owners.values()})}
    states = await _states(connection, named)
    visitors = {visitor: _for_visitor(states[owner]) for visitor, owner in owners.items() if owner in states}
    absent = set(named["subjects"]) - states.keys() - visitors.keys()
    erased = {row.subject: row.rev for row in await connection.execute(_TOMBSTONES, named) if row.subject in absent}
    return [
        *(Projection(subject, state) for subject, state in (states | visitors).items()),
        *(Projection(subject, UserState(rev=rev), _ERASED_LIFE_S) for subject, rev in erased.items()),
        *(Projection(subject, UserState(), _UNKNOWN_LIFE_S) for subject in absent - erased.keys()),
    ]


async def _owners(connection: AsyncConnection, org_id: UUID, asked: Collection[str]) -> dict[str, str]:
    """Claimed visitor → user, of those that are asked for."""
    visitors = [subjects.bare_id(subject) for subject in asked if not subjects.is_user(subject)]
    if not visitors:
        return {}
    rows = await connection.execute(_OWNERS, {"org_id": org_id, "anonymous_ids": visitors})
    return {subjects.anonymous(row.anonymous_id): row.subject for row in rows}


async def _states(connection: AsyncConnection, named: Mapping[str, Any]) -> dict[str, UserState]:
    memberships = await _grouped(connection, _MEMBERSHIPS, named)
    seen = await _grouped(connection, _SEEN, named)
    aliases = await _grouped(connection, _ALIASES, named)
    return {
        row.subject: UserState(
            rev=row.rev,
            traits=row.traits,
            stamps={name: (received_ms, bytes.fromhex(id_)) for name, (received_ms, id_) in row.stamps.items()},
            static_audiences=frozenset(str(each.audience_id) for each in memberships[row.subject]),
            seen={str(each.message_id): _seen(each) for each in seen[row.subject]},
            aliases=frozenset(each.anonymous_id for each in aliases[row.subject]),
        )
        for row in await connection.execute(_CUSTOMERS, named)
    }


async def _grouped(
    connection: AsyncConnection, statement: TextClause, named: Mapping[str, Any]
) -> Mapping[str, list[Row[Any]]]:
    """Rows by subject; an empty list for everybody else."""
    grouped: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in await connection.execute(statement, named):
        grouped[row.subject].append(row)
    return grouped


def _seen(row: Row[Any]) -> Seen:
    return Seen(row.impressions, row.clicks, row.dismissals, tuple(row.recent_ms))


def _for_visitor(owner: UserState) -> UserState:
    """A claimed visitor keeps what its user has seen, so that caps hold; traits stay with the user."""
    return UserState(rev=owner.rev, seen=owner.seen)
