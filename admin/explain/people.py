"""Who an edge would take somebody for."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from admin.explain import queries
from engine.state import union
from store.user_states import read_user_states
from wire import subjects
from wire.userstate import UserState


class Somebody(NamedTuple):
    state: UserState
    known: bool


async def find(connection: AsyncConnection, org_id: UUID, user_id: str | None, anonymous_id: str | None) -> Somebody:
    """A user, an anonymous visitor, or both as one; somebody of whom nothing is known has the empty state."""
    user = None if user_id is None else (await _states(connection, org_id, subjects.user(user_id)))
    if anonymous_id is None or (user is not None and anonymous_id in user.aliases):
        return Somebody(user or UserState(), user is not None)
    visitor = await _visitor(connection, org_id, anonymous_id)
    united = union(user or UserState(), visitor or UserState()) if user_id is not None else visitor or UserState()
    return Somebody(united, user is not None or visitor is not None)


async def _visitor(connection: AsyncConnection, org_id: UUID, anonymous_id: str) -> UserState | None:
    """A claimed visitor keeps what its user has seen, and nothing else."""
    owner = await queries.owner_of(connection, org_id, anonymous_id)
    if owner is None:
        return await _states(connection, org_id, subjects.anonymous(anonymous_id))
    state = await _states(connection, org_id, owner)
    return None if state is None else UserState(seen=state.seen)


async def _states(connection: AsyncConnection, org_id: UUID, subject: str) -> UserState | None:
    return (await read_user_states(connection, org_id, [subject])).get(subject)
