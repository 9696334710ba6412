"""A message as a JSON document: what an author writes, what a merge patch changes, what a version keeps."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from admin import payloads
from admin.messages import checks
from admin.messages.schemas import Appearance, Content, FrequencyCap, Goal, MessageSpec, Trigger
from admin.payloads import Payload
from wire import times
from wire.message import MessageType, Position, render_slot
from wire.problems import NO_OBJECT, Problem
from wire.rule_tree import to_json
from wire.rules import RuleError, parse_where

Document = dict[str, Any]

_PATCH_DEPTH = 4
_OBJECTS = ("content", "trigger", "appearance", "frequencyCap", "goal")
_MOMENTS = ("startsAt", "endsAt")
_POSITIONS: Mapping[MessageType, Position] = {
    "banner": "top",
    "modal": "center",
    "slideout": "bottom",
    "tooltip": "bottom",
}


def merge(target: Mapping[str, Any], patch: Mapping[str, Any], depth: int = _PATCH_DEPTH) -> Document:
    """RFC 7396, but that a null stays where it was given, so that validation sees it: there it stands for the default.

    No field lies deeper than `depth`; what is given there is taken as it is.
    """
    merged = dict(target)
    for name, value in patch.items():
        before = merged.get(name)
        if isinstance(value, dict) and depth > 1:
            merged[name] = merge(before if isinstance(before, dict) else {}, value, depth - 1)
        else:
            merged[name] = value
    return merged


def document_of(row: Row[Any]) -> Document:
    """The authored fields of a stored message, also those that no author can have written: they fail every check."""
    return {
        "name": row.name,
        "type": row.type,
        "content": _in_order(row.content, Content),
        "trigger": _in_order(row.trigger, Trigger),
        "audienceId": _text(row.audience_id),
        "excludeAudienceIds": [str(audience_id) for audience_id in row.exclude_audience_ids],
        "appearance": _in_order(row.appearance, Appearance),
        "startsAt": _moment(row.starts_ms),
        "endsAt": _moment(row.ends_ms),
        "active": row.active,
        "priority": row.priority,
        "slot": row.slot,
        "frequencyCap": _in_order(row.frequency_cap, FrequencyCap),
        "goal": _in_order(row.goal, Goal),
    }


def problems_of(document: Document) -> list[Problem]:
    """What of a stored message does not fit the shape of one. What an author may leave out must be there by then.

    The goal is looked at more closely: the compiler, which finds out about all other parts, does not read it.
    """
    shape = payloads.shape_problems(MessageSpec, document)
    unset = [Problem("/appearance", *NO_OBJECT)] if document["appearance"] is None else []
    return [*shape, *unset, *checks.goal_problems(checks.Readable(document, shape))]


def shown(document: Document) -> Document:
    """The fields as the API gives them: null where nothing that fits is stored."""
    objects = {name: value if isinstance(value := document[name], dict) else None for name in _OBJECTS}
    moments = {name: times.to_iso(value) if isinstance(value := document[name], int) else value for name in _MOMENTS}
    type_ = document["type"] if document["type"] in _POSITIONS else None
    place = _place(type_, document["slot"], objects["appearance"])
    return {**document, **objects, **moments, "type": type_, "renderSlot": place}


def columns_of(spec: MessageSpec) -> dict[str, Any]:
    """The columns that a checked spec fills."""
    return {
        "name": spec.name or (spec.content.title or "").strip() or spec.type,
        "type": spec.type,
        "content": spec.content.model_dump(by_alias=True),
        "trigger": _trigger(spec.trigger),
        "audience_id": spec.audience_id,
        "exclude_audience_ids": spec.exclude_audience_ids,
        "appearance": _appearance(spec.appearance, spec.type),
        "starts_ms": spec.starts_at,
        "ends_ms": spec.ends_at,
        "active": spec.active,
        "priority": spec.priority,
        "slot": spec.slot,
        "frequency_cap": _cap(spec.frequency_cap),
        "goal": _goal(spec.goal),
    }


def _in_order(stored: Any, model: type[Payload]) -> Any:
    """The fields of an object as people write them: Postgres keeps them in an order of its own."""
    if not isinstance(stored, dict):
        return stored
    names = [field.alias or name for name, field in model.model_fields.items()]
    ordered = {name: stored[name] for name in names if name in stored} | stored
    return {**ordered, "where": _readable_where(ordered["where"])} if "where" in ordered else ordered


def _readable_where(where: object) -> object:
    """In normal form, if it can be read."""
    try:
        return where if where is None else _where(where)
    except RuleError:
        return where


def _trigger(trigger: Trigger | None) -> Document | None:
    if trigger is None or trigger == Trigger():
        return None
    fields = trigger.model_dump(by_alias=True)
    return {**fields, "where": _where(trigger.where), "audienceId": _text(trigger.audience_id)}


def _goal(goal: Goal | None) -> Document | None:
    return None if goal is None else {**goal.model_dump(by_alias=True), "where": _where(goal.where)}


def _where(where: object) -> list[Any]:
    """In normal form."""
    return [to_json(leaf, leaf="property") for leaf in parse_where(where)]


def _appearance(appearance: Appearance, type_: MessageType) -> Document:
    return {**appearance.model_dump(by_alias=True), "position": appearance.position or _POSITIONS[type_]}


def _cap(cap: FrequencyCap | None) -> Document | None:
    return None if cap is None or cap == FrequencyCap() else cap.model_dump(by_alias=True)


def _moment(ms: int | None) -> str | int | None:
    """The number itself where no calendar has it: no check takes that for a moment."""
    return times.to_iso_or_none(ms) if ms is None or times.can_be_written(ms) else ms


def _place(type_: str | None, slot: str | None, appearance: Document | None) -> str | None:
    """None where nothing says it."""
    if type_ is None or appearance is None:
        return slot
    try:
        return render_slot(type_, slot, appearance)
    except KeyError:
        return None


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)
