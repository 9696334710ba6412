"""What stands in Redis for a subject: a customer's state, that of a claimed visitor, or that of nobody."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.user_states import read_user_states
from wire import subjects
from wire.userstate import UserState

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
    states = await read_user_states(connection, org_id, named["subjects"])
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


def _for_visitor(owner: UserState) -> UserState:
    """A claimed visitor keeps what its user has seen, so that caps hold; traits and rings stay with the user."""
    return UserState(rev=owner.rev, seen=owner.seen)
