"""In which audiences a customer is, decided as the edges decide it."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audiences.queries import every_audience
from admin.audiences.rules import usable_rules
from engine.rules import Membership, compile_rules
from store.user_states import read_user_states
from wire import codec
from wire.userstate import UserState

_COMPILED_ORGS = 16
"""Whose rules stay compiled: hundreds of them take a while."""


class Standing(NamedTuple):
    """`within`: rows of the audiences that the customer is in; `preparing`: of those that nobody can tell yet."""

    within: list[Row[Any]]
    preparing: list[Row[Any]]


async def standing_of(connection: AsyncConnection, org_id: UUID, subject: str, now_ms: int) -> Standing:
    """By name. Audiences that cannot be used are in neither list."""
    audiences = await every_audience(connection, org_id)
    states = await read_user_states(connection, org_id, [subject])
    ready = _ready(audiences)
    mask, _ = _evaluated(ready, states.get(subject, UserState()), now_ms)
    within = ready.ids_of(mask)
    return Standing(
        [row for row in audiences if str(row.id) in within],
        [row for row in audiences if row.preparing],
    )


def _evaluated(membership: Membership, state: UserState, now_ms: int) -> tuple[int, int | None]:
    return membership.evaluate(state.traits, state.rings, state.static_audiences, now_ms)


def _ready(audiences: Iterable[Row[Any]]) -> Membership:
    return _compiled(codec.canonical_json({str(row.id): row.rule for row in audiences if not row.preparing}))


@lru_cache(maxsize=_COMPILED_ORGS)
def _compiled(rules_json: bytes) -> Membership:
    """Of the ids of audiences with their rules; null of a static one."""
    others = {UUID(audience_id): rule for audience_id, rule in codec.from_json(rules_json).items()}
    return compile_rules(usable_rules(others), [str(id_) for id_, rule in others.items() if rule is None])
