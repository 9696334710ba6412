"""Whether a message is published as it stands: what no edge can know, since it would not have it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row

from admin.explain import words
from admin.explain.schemas import Check, PreparingAudience, StatusDetails
from admin.messages.schemas import MessageProblem
from engine.explain import ARCHIVED, DRAFT, INVALID, PAUSED, PREPARING

_MOST_PROBLEMS = 3


class Obstacle(NamedTuple):
    reason: str
    text: str


def status_check(row: Row[Any], problems: Sequence[MessageProblem], preparing: Sequence[PreparingAudience]) -> Check:
    """`preparing`: the message's audiences whose events are still being gathered."""
    found = list(_obstacles(row, problems, preparing))
    return Check(
        check="status",
        passes=not found,
        reason=found[0].reason if found else None,
        text=" ".join(obstacle.text for obstacle in found) or "It is published and active.",
        changes_at=None,
        details=StatusDetails(
            reasons=[obstacle.reason for obstacle in found], problems=list(problems), preparing=list(preparing)
        ),
    )


def _obstacles(
    row: Row[Any], problems: Sequence[MessageProblem], preparing: Sequence[PreparingAudience]
) -> Iterator[Obstacle]:
    if row.archived_ms is not None:
        yield Obstacle(ARCHIVED, "It is archived, and stays so: write another one.")
    if row.published_ms is None:
        yield Obstacle(DRAFT, "It is a draft: publish it.")
    if not row.active:
        yield Obstacle(PAUSED, "It is paused: set 'active' to true.")
    if problems:
        first = [f"{problem.pointer}: {problem.message}" for problem in problems[:_MOST_PROBLEMS]]
        more = ["…"] if len(problems) > _MOST_PROBLEMS else []
        yield Obstacle(INVALID, f"It cannot be served as it is. {' '.join([*first, *more])}")
    if preparing:
        waiting = ", ".join(f"{words.quoted(one.name)} ({one.progress} %)" for one in preparing)
        yield Obstacle(PREPARING, f"Past events that decide about an audience are still being gathered: {waiting}.")
