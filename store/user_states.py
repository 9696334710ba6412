"""Postgres rows → user states, as edges evaluate against them."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import tables
from wire.userstate import Seen, UserState

# Joins: Postgres keeps the plan it made while the table was small, and for `= ANY` that one reads all of an org.
_CUSTOMERS = text(
    """
    SELECT customers.subject, rev, traits, stamps
    FROM unnest(CAST(:subjects AS text[])) AS asked (subject)
    JOIN customers ON customers.org_id = :org_id AND customers.subject = asked.subject
    """
).columns(traits=tables.customers.c.traits.type, stamps=tables.customers.c.stamps.type)

_RINGS = text(
    """
    SELECT rings.subject, feature_id, recent_ms
    FROM unnest(CAST(:subjects AS text[])) AS asked (subject)
    CROSS JOIN LATERAL (
        SELECT * FROM event_rings WHERE org_id = :org_id AND subject = asked.subject OFFSET 0
    ) AS rings
    """
)

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


async def read_user_states(
    connection: AsyncConnection, org_id: UUID, subjects: Collection[str]
) -> dict[str, UserState]:
    """The states of those of the subjects who have a row in `customers`; a claimed visitor has none.

    `connection` must see one snapshot throughout: a rev must never stand over older content. Every ring is in the
    state, also one whose feature is not gathered yet: which ones are must not change what stands under a rev.
    """
    named: dict[str, Any] = {"org_id": org_id, "subjects": sorted(subjects)}
    memberships = await _grouped(connection, _MEMBERSHIPS, named)
    seen = await _grouped(connection, _SEEN, named)
    aliases = await _grouped(connection, _ALIASES, named)
    rings = await _grouped(connection, _RINGS, named)
    return {
        row.subject: UserState(
            rev=row.rev,
            traits=row.traits,
            stamps={name: (received_ms, bytes.fromhex(id_)) for name, (received_ms, id_) in row.stamps.items()},
            static_audiences=frozenset(str(each.audience_id) for each in memberships[row.subject]),
            seen={str(each.message_id): _seen(each) for each in seen[row.subject]},
            aliases=frozenset(each.anonymous_id for each in aliases[row.subject]),
            rings={each.feature_id: tuple(each.recent_ms) for each in rings[row.subject]},
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
