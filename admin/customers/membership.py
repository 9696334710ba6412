"""In which audiences a customer is, decided as the edges decide it."""

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from engine.audiences import StoredAudience, read
from engine.explain import masks
from engine.rules import Membership, compile_rules
from store.audiences import stored_audiences
from store.user_states import read_user_states
from wire.userstate import UserState

_COMPILED_ORGS = 16
"""Whose rules stay compiled: hundreds of them take a while."""


class Standing(NamedTuple):
    """`within`: the audiences that the customer is in; `preparing`: of those that nobody can tell yet."""

    within: list[StoredAudience]
    preparing: list[StoredAudience]


async def standing_of(connection: AsyncConnection, org_id: UUID, subject: str, now_ms: int) -> Standing:
    """By name. Audiences that cannot be used are in neither list."""
    audiences = sorted(await stored_audiences(connection, org_id), key=lambda audience: audience.name)
    states = await read_user_states(connection, org_id, [subject])
    ready = _compiled(tuple(audience for audience in audiences if not audience.preparing))
    _, mask = next(masks(ready, states.get(subject, UserState()), now_ms))
    within = ready.ids_of(mask)
    return Standing(
        [audience for audience in audiences if str(audience.id) in within],
        [audience for audience in audiences if audience.preparing],
    )


@lru_cache(maxsize=_COMPILED_ORGS)
def _compiled(ready: tuple[StoredAudience, ...]) -> Membership:
    audiences = read(ready)
    return compile_rules(audiences.usable_rules, filter(audiences.is_static, audiences.names))
