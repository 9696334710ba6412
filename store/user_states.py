"""Postgres rows → user states, as edges evaluate against them."""

import asyncio
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from asyncpg import Record
from sqlalchemy.ext.asyncio import AsyncConnection

from store.connect import fetch
from wire import codec
from wire.userstate import Seen, UserState

STATES_AT_ONCE: Final = 20
"""Made, or encoded, before others in the process have their turn: about a millisecond."""

_STATES: Final = """
    SELECT
        customers.subject,
        rev,
        CAST(traits AS text) AS traits,
        CAST(stamps AS text) AS stamps,
        (
            SELECT array_agg(CAST(audience_id AS text)) FROM audience_members AS members
            WHERE members.org_id = customers.org_id AND members.subject = customers.subject
        ) AS static_audiences,
        (
            SELECT CAST(json_object_agg(
                message_id, json_build_array(impressions, clicks, dismissals, recent_ms)
            ) AS text)
            FROM message_user_state AS state
            CROSS JOIN LATERAL (
                SELECT archived_ms FROM in_app_messages WHERE id = state.message_id AND org_id = state.org_id OFFSET 0
            ) AS message
            WHERE state.org_id = customers.org_id AND state.subject = customers.subject AND archived_ms IS NULL
        ) AS seen,
        (
            SELECT array_agg(anonymous_id) FROM customer_aliases AS aliases
            WHERE aliases.org_id = customers.org_id AND aliases.subject = customers.subject
        ) AS aliases,
        (
            SELECT CAST(json_object_agg(feature_id, recent_ms) AS text) FROM event_rings AS rings
            WHERE rings.org_id = customers.org_id AND rings.subject = customers.subject
        ) AS rings
    FROM unnest(CAST($2 AS text[])) AS asked (subject)
    CROSS JOIN LATERAL (SELECT * FROM customers WHERE org_id = $1 AND subject = asked.subject OFFSET 0) AS customers
"""
"""A row a customer, everything of theirs in it: rows cost more than what is in them. OFFSET and the queries within keep
it a few look-ups a customer; plans that Postgres made while a table was small read all of an org."""


async def read_user_states(
    connection: AsyncConnection, org_id: UUID, subjects: Collection[str]
) -> dict[str, UserState]:
    """The states of those of the subjects who have a row in `customers`; a claimed visitor has none.

    Every ring is in the state, also one whose feature is not gathered yet: which ones are must not change what stands
    under a rev.
    """
    states: dict[str, UserState] = {}
    for number, row in enumerate(await fetch(connection, _STATES, org_id, sorted(subjects))):
        if number % STATES_AT_ONCE == 0:
            await asyncio.sleep(0)
        states[row["subject"]] = _state(row)
    return states


def _state(row: Record) -> UserState:
    _, rev, traits, stamps, static_audiences, seen, aliases, rings = row
    return UserState(
        rev,
        codec.from_json(traits),
        {name: (received_ms, bytes.fromhex(id_)) for name, (received_ms, id_) in codec.from_json(stamps).items()},
        frozenset(static_audiences or ()),
        {
            id_: Seen(impressions, clicks, dismissals, tuple(recent_ms))
            for id_, (impressions, clicks, dismissals, recent_ms) in _object(seen).items()
        },
        frozenset(aliases or ()),
        {id_: tuple(recent_ms) for id_, recent_ms in _object(rings).items()},
    )


def _object(written: str | None) -> dict[str, Any]:
    return codec.from_json(written) if written else {}
