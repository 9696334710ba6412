"""One message: its row → what the edge decides about, or every reason why that cannot be had."""

from collections.abc import Callable
from typing import cast

from compiler import fields
from compiler.snapshot import MessageRow
from engine.audiences import Audiences
from engine.message import Json, canonical_id, compiled
from wire import times
from wire.bundle import CompiledMessage
from wire.problems import EVENT_TYPE_MISSING, Problem, child_pointer
from wire.rules import RuleError, parse_pattern, parse_where


class MessageError(ValueError):
    """A message cannot be compiled; `problems` has every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.pointer}: {problem.message}" for problem in problems))
        self.problems = problems


def compile_message(row: MessageRow, audiences: Audiences) -> CompiledMessage:
    """Raises MessageError."""
    problems = [
        *fields.type_problems(row.type),
        *fields.shape_problems(fields.Content, row.content, "/content"),
        *_appearance_problems(row),
        *_trigger_problems(row.trigger, audiences),
        *_audience_problems(row, audiences),
        *_window_problems(row),
        *_cap_problems(row.frequency_cap),
        *fields.slot_problems(row.slot),
    ]
    if problems:
        raise MessageError(problems)
    return compiled(row)


def _appearance_problems(row: MessageRow) -> list[Problem]:
    model = fields.TooltipAppearance if row.type == "tooltip" else fields.Appearance
    return fields.shape_problems(model, row.appearance, "/appearance")


def _trigger_problems(trigger: object, audiences: Audiences) -> list[Problem]:
    if trigger is None:
        return []
    problems = fields.shape_problems(fields.Trigger, trigger, "/trigger")
    if not isinstance(trigger, dict):
        return problems
    for name, parse in (("where", parse_where), ("url", parse_pattern), ("screen", parse_pattern)):
        problems += _rule_problems(trigger.get(name), parse, child_pointer("/trigger", name))
    if trigger.get("where") and trigger.get("eventType") is None:
        problems.append(Problem("/trigger/where", *EVENT_TYPE_MISSING))
    if isinstance(audience_id := trigger.get("audienceId"), str):
        problems += audiences.problems(canonical_id(audience_id), "/trigger/audienceId")
    return problems


def _rule_problems(value: object, parse: Callable[..., object], pointer: str) -> list[Problem]:
    if value is None:
        return []
    try:
        parse(value, pointer=pointer)
    except RuleError as error:
        return error.problems
    return []


def _audience_problems(row: MessageRow, audiences: Audiences) -> list[Problem]:
    problems = [] if row.audience_id is None else audiences.problems(str(row.audience_id), "/audienceId")
    for index, audience_id in enumerate(row.exclude_audience_ids):
        problems += audiences.problems(str(audience_id), f"/excludeAudienceIds/{index}")
    return problems


def _window_problems(row: MessageRow) -> list[Problem]:
    return [
        Problem(pointer, "out_of_range", "Must be a time in the years 1 to 9999.")
        for pointer, moment_ms in (("/startsAt", row.starts_ms), ("/endsAt", row.ends_ms))
        if moment_ms is not None and not times.can_be_written(moment_ms)
    ]


def _cap_problems(cap: object) -> list[Problem]:
    if cap is None:
        return []
    return fields.shape_problems(fields.Cap, cap, "/frequencyCap") or fields.cap_problems(cast(Json, cap))
