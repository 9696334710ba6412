"""One message: its row → what a bundle holds of it, or every reason why that cannot be had."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from compiler import fields
from compiler.snapshot import MessageRow
from engine.audiences import Audiences
from engine.message import Json, StoredMessage, canonical_id, compiled
from wire import codec, times
from wire.bundle import EVERYONE
from wire.codec import DecodeError
from wire.problems import EVENT_TYPE_MISSING, Problem, child_pointer
from wire.rules import RuleError, parse_pattern, parse_where


@dataclass(frozen=True, slots=True, eq=False)
class ReadMessage:
    """All that follows from a row by itself, whatever audiences there are: it holds for as long as the row is the same.

    `audience_id`: of the bundle that it belongs to. `needs`: the audiences that it names. `problems`: its own.
    `encoded`: what bundles hold of it, empty when it has problems.
    """

    row: MessageRow
    id: str
    audience_id: str
    needs: tuple[str, ...]
    problems: tuple[Problem, ...]
    encoded: bytes


def read_message(row: MessageRow) -> ReadMessage:
    stored = _stored(row)
    problems = tuple(_problems(stored))
    return ReadMessage(
        row,
        str(row.id),
        EVERYONE if row.audience_id is None else str(row.audience_id),
        tuple(audience_id for _, audience_id in _named(row, stored.trigger)),
        problems,
        b"" if problems else compiled(stored).encode(),
    )


def problems_of(message: ReadMessage, audiences: Audiences) -> list[Problem]:
    """Every reason why it cannot be compiled, its own first."""
    named = _named(message.row, _json(message.row.trigger))
    theirs = (audiences.problems(audience_id, pointer) for pointer, audience_id in named)
    return [*message.problems, *(problem for problems in theirs for problem in problems)]


def _stored(row: MessageRow) -> StoredMessage:
    return StoredMessage(
        id=row.id,
        version=row.version,
        type=row.type,
        content=_json(row.content),
        appearance=_json(row.appearance),
        trigger=_json(row.trigger),
        frequency_cap=_json(row.frequency_cap),
        audience_id=row.audience_id,
        exclude_audience_ids=row.exclude_audience_ids,
        starts_ms=row.starts_ms,
        ends_ms=row.ends_ms,
        priority=row.priority,
        slot=row.slot,
        created_ms=row.created_ms,
    )


def _json(stored: str | None) -> object:
    """The value; the text itself where it is not JSON that Python can hold, which no check accepts."""
    if stored is None:
        return None
    try:
        parsed: object = codec.from_json(stored)
    except DecodeError:
        return stored
    return parsed


def _named(row: MessageRow, trigger: object) -> Iterator[tuple[str, str]]:
    """(pointer, id) of each place that names an audience."""
    if row.audience_id is not None:
        yield "/audienceId", str(row.audience_id)
    for index, audience_id in enumerate(row.exclude_audience_ids):
        yield f"/excludeAudienceIds/{index}", str(audience_id)
    when = trigger.get("audienceId") if isinstance(trigger, dict) else None
    if isinstance(when, str):
        yield "/trigger/audienceId", canonical_id(when)


def _problems(row: StoredMessage) -> list[Problem]:
    return [
        *fields.type_problems(row.type),
        *fields.shape_problems(fields.Content, row.content, "/content"),
        *_appearance_problems(row),
        *_trigger_problems(row.trigger),
        *_window_problems(row),
        *_cap_problems(row.frequency_cap),
        *fields.slot_problems(row.slot),
    ]


def _appearance_problems(row: StoredMessage) -> list[Problem]:
    model = fields.TooltipAppearance if row.type == "tooltip" else fields.Appearance
    return fields.shape_problems(model, row.appearance, "/appearance")


def _trigger_problems(trigger: object) -> list[Problem]:
    if trigger is None:
        return []
    problems = fields.shape_problems(fields.Trigger, trigger, "/trigger")
    if not isinstance(trigger, dict):
        return problems
    for name, parse in (("where", parse_where), ("url", parse_pattern), ("screen", parse_pattern)):
        problems += _rule_problems(trigger.get(name), parse, child_pointer("/trigger", name))
    if trigger.get("where") and trigger.get("eventType") is None:
        problems.append(Problem("/trigger/where", *EVENT_TYPE_MISSING))
    return problems


def _rule_problems(value: object, parse: Callable[..., object], pointer: str) -> list[Problem]:
    if value is None:
        return []
    try:
        parse(value, pointer=pointer)
    except RuleError as error:
        return error.problems
    return []


def _window_problems(row: StoredMessage) -> list[Problem]:
    return [
        Problem(pointer, "out_of_range", "Must be a time in the years 1 to 9999.")
        for pointer, moment_ms in (("/startsAt", row.starts_ms), ("/endsAt", row.ends_ms))
        if moment_ms is not None and not times.can_be_written(moment_ms)
    ]


def _cap_problems(cap: object) -> list[Problem]:
    if cap is None:
        return []
    return fields.shape_problems(fields.Cap, cap, "/frequencyCap") or fields.cap_problems(cast(Json, cap))
