"""Who did what: one row a write, in the write's own transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audit import queries
from service.http import current_request_id

Changes = Mapping[str, tuple[Any, Any]]
"""Field → (before, after). Never a secret, never a customer's traits."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts in an org: a key, or the command line (`key_id` None)."""

    org_id: UUID
    key_id: UUID | None
    name: str

    @classmethod
    def cli(cls, org_id: UUID) -> "Actor":
        return cls(org_id, None, "cli")


@dataclass(frozen=True, slots=True)
class Target:
    type: str
    id: str


async def record(
    connection: AsyncConnection, actor: Actor, action: str, target: Target, changes: Changes, now_ms: int
) -> None:
    """`action`: such as `message.publish`."""
    await queries.insert_row(
        connection,
        org_id=actor.org_id,
        key_id=actor.key_id,
        actor=actor.name,
        action=action,
        target_type=target.type,
        target_id=target.id,
        request_id=current_request_id() or None,
        changes={field: list(pair) for field, pair in changes.items()},
        created_ms=now_ms,
    )


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """The fields that differ; one that is on one side only is null on the other."""
    fields = dict.fromkeys((*before, *after))
    pairs = {field: (before.get(field), after.get(field)) for field in fields}
    return {field: pair for field, pair in pairs.items() if not same(*pair)}


def same(before: Any, after: Any) -> bool:
    """Whether they are the same JSON: to Python 1 and true are equal, to a rule they are not."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(same(before[name], after[name]) for name in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(same, before, after))
    return before == after and isinstance(before, bool) is isinstance(after, bool)
