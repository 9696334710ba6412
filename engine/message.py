"""A stored message whose parts are sound → the message that is decided about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from wire import codec, times
from wire.bundle import CompiledMessage, FrequencyCap
from wire.message import render_slot

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """The columns of a message that edges are given. Those of type `object` are JSON as it stands there."""

    id: UUID
    version: int
    type: str
    content: object
    appearance: object
    trigger: object
    frequency_cap: object
    audience_id: UUID | None
    exclude_audience_ids: Sequence[UUID]
    starts_ms: int | None
    ends_ms: int | None
    priority: int
    slot: str | None
    created_ms: int


def compiled(row: StoredMessage) -> CompiledMessage:
    """Of a row without problems: its JSON has the shapes that the compiler checks."""
    slot = render_slot(row.type, row.slot, cast(Json, row.appearance))
    trigger, cap = _trigger(row.trigger), _cap(row.frequency_cap)
    return CompiledMessage(
        id=str(row.id),
        version=row.version,
        type=row.type,
        slot=slot,
        priority=row.priority,
        created_ms=row.created_ms,
        exclude_audience_ids=tuple(sorted({str(audience_id) for audience_id in row.exclude_audience_ids})),
        starts_ms=row.starts_ms,
        ends_ms=row.ends_ms,
        trigger=trigger,
        cap=cap,
        json=codec.canonical_json(
            {
                "id": str(row.id),
                "version": row.version,
                "type": row.type,
                "slot": slot,
                "priority": row.priority,
                "content": row.content,
                "appearance": row.appearance,
                "trigger": trigger,
                "frequencyCap": _cap_json(cap),
                "startsAt": times.to_iso_or_none(row.starts_ms),
                "endsAt": times.to_iso_or_none(row.ends_ms),
            }
        ),
    )


def canonical_id(text: str) -> str:
    """`text` itself when it is no UUID; nothing has such an id."""
    try:
        return str(UUID(text))
    except ValueError:
        return text


def _trigger(stored: object) -> Json | None:
    """Keys in one order, so that equal triggers are equal bytes; ids as Postgres writes them."""
    if stored is None:
        return None
    trigger: dict[str, Any] = codec.from_json(codec.canonical_json(stored))
    if trigger.get("audienceId") is not None:
        trigger["audienceId"] = canonical_id(trigger["audienceId"])
    return trigger


def _cap(stored: object) -> FrequencyCap | None:
    """None as well for a cap that limits nothing: it must not make the message depend on the user's state."""
    cap = cast(Json, stored or {})
    limits = cap.get("maxImpressions"), cap.get("perSeconds"), cap.get("minIntervalSeconds")
    stop_after = tuple(sorted(set(cap.get("stopAfter") or ())))
    if limits[0] is None and not limits[2] and not stop_after:
        return None
    return FrequencyCap(*limits, stop_after)


def _cap_json(cap: FrequencyCap | None) -> Json | None:
    if cap is None:
        return None
    return {
        "maxImpressions": cap.max_impressions,
        "perSeconds": cap.per_s,
        "minIntervalSeconds": cap.min_interval_s,
        "stopAfter": list(cap.stop_after),
    }
