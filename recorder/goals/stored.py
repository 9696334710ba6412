"""What messages are to bring about: their goals, as far as a transaction is about them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.clauses import compile_where
from wire import codec
from wire.codec import DecodeError
from wire.message import DEFAULT_GOAL_S, MAX_GOAL_S
from wire.rule_tree import Compare
from wire.rules import RuleError, parse_where


class MessageKey(NamedTuple):
    org_id: UUID
    message_id: UUID


@dataclass(frozen=True, slots=True)
class Deed:
    """An event of this type, with properties that pass the test. Goals that differ only in their time share one."""

    event_type: str
    written: str
    """What tells `where` apart: to Python, 1 is True."""
    where: tuple[Compare, ...] = field(compare=False)
    is_done_with: Callable[[Mapping[str, Any]], bool] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Goal:
    """A deed, at most `within_ms` after an impression."""

    deed: Deed
    within_ms: int


Goals = Mapping[MessageKey, Goal]

_WITH_ANY = text(
    """
    SELECT asked.org_id FROM unnest(CAST(:org_ids AS uuid[])) AS asked (org_id)
    WHERE EXISTS (SELECT FROM in_app_messages AS messages WHERE messages.org_id = asked.org_id AND goal IS NOT NULL)
    """
)

_CONCERNED = text(
    """
    SELECT messages.org_id, messages.id, CAST(goal AS text) AS goal
    FROM in_app_messages AS messages
    JOIN unnest(CAST(:org_ids AS uuid[])) AS asked (org_id) ON messages.org_id = asked.org_id
    WHERE goal IS NOT NULL
        AND (goal ->> 'eventType' = ANY(CAST(:types AS text[])) OR id = ANY(CAST(:message_ids AS uuid[])))
    """
)


async def orgs_with_any(connection: AsyncConnection, org_ids: Collection[UUID]) -> frozenset[UUID]:
    """Those of the orgs of which at least one message has a goal."""
    return frozenset((await connection.execute(_WITH_ANY, {"org_ids": list(org_ids)})).scalars())


async def concerned(
    connection: AsyncConnection, org_ids: Collection[UUID], types: Iterable[str], message_ids: Iterable[UUID]
) -> Goals:
    """The goals that events of these types may reach, and those of these messages. Unreadable ones are left out."""
    asked = {"org_ids": list(org_ids), "types": list(types), "message_ids": list(message_ids)}
    rows = await connection.execute(_CONCERNED, asked)
    read = {MessageKey(row.org_id, row.id): read_goal(row.goal) for row in rows}
    return {key: goal for key, goal in read.items() if goal is not None}


@lru_cache(maxsize=4096)
def read_goal(stored: str) -> Goal | None:
    """None where admin shows a problem of the message."""
    try:
        goal = codec.from_json(stored)
        where = parse_where(goal.get("where") or [])
        event_type, within_s = goal["eventType"], goal.get("withinSeconds", DEFAULT_GOAL_S)
    except (DecodeError, RuleError, AttributeError, KeyError):
        return None
    if not isinstance(event_type, str) or type(within_s) is not int or not 1 <= within_s <= MAX_GOAL_S:
        return None
    return Goal(Deed(event_type, repr(where), where, compile_where(where)), within_s * 1000)
