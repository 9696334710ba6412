"""A message among those that it competes with, as an edge would have them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.explain import queries
from admin.explain.table import Targeted, targeted, unusable_audiences, with_rivals
from admin.messages.checks import Readable, rule_problems
from admin.messages.document import document_of
from admin.messages.schemas import MessageProblem
from admin.messages.service import show
from engine.audiences import Audiences
from engine.table import OrgTable, TableError
from wire.problems import MISSING, Problem

log = structlog.get_logger("admin")

_UNPREPARED = "No edge can use this message as it is stored; write it anew."


class Rival(NamedTuple):
    name: str
    priority: int


class Scene(NamedTuple):
    """`rivals`: the others in the table, by id."""

    message: Targeted
    table: OrgTable
    rivals: Mapping[str, Rival]

    @property
    def delay_s(self) -> int:
        return (self.message.message.trigger or {}).get("delaySeconds") or 0


class Unfit(NamedTuple):
    """No edge can have the message."""

    problems: Sequence[MessageProblem]


async def read_scene(connection: AsyncConnection, row: Row[Any], audiences: Audiences, now_ms: int) -> Scene | Unfit:
    """As if the message were published and active, which its status says."""
    if problems := _problems(row, now_ms):
        return Unfit(problems)
    message = targeted(row)
    if problems := unusable_audiences(message, audiences):
        return Unfit(problems)
    rows = await queries.rivals_of(connection, row, message.message.slot, now_ms)
    sound = [rival for rival in rows if not rival.preparing and not _problems(rival, now_ms)]
    try:
        table = with_rivals(message, [targeted(rival) for rival in sound], audiences)
    except TableError as error:
        log.warning("message_not_prepared", message_id=message.message.id, reason=str(error))
        return Unfit([MessageProblem(pointer="", code="invalid_value", message=_UNPREPARED)])
    return Scene(message, table, {str(rival.id): Rival(rival.name, rival.priority) for rival in sound})


def _problems(row: Row[Any], now_ms: int) -> Sequence[MessageProblem]:
    """What the compiler found, or would find."""
    shown = show(row, now_ms)
    if shown.problems:
        return shown.problems
    unset = [Problem("/appearance", *MISSING)] if shown.render_slot is None else []
    found = [*unset, *rule_problems(Readable(document_of(row), unset))]
    return [MessageProblem(**problem._asdict()) for problem in found]
