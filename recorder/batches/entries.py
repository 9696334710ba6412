"""Entries of an `events:{shard}` stream → the batches they carry."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from recorder.rows import rejected
from recorder.rows.rejected import Lost
from wire.codec import DecodeError
from wire.events import Event, EventBatch
from wire.ids import made_id


@dataclass(frozen=True, slots=True)
class Entry:
    """`batch` None: nobody can name it, so it cannot be marked as committed."""

    stream: bytes
    id: bytes
    batch: tuple[UUID, int] | None
    events: tuple[Event, ...] = ()
    lost: tuple[Lost, ...] = ()


def read_entry(stream: bytes, id_: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """An entry whose body cannot be read stands for as many lost events as its sender counted.

    No fields: it was deleted, and waits only for its acknowledgement.
    """
    if not fields:
        return Entry(stream, id_, None)
    name = _name(fields)
    body = fields.get(b"body", b"")
    try:
        return Entry(stream, id_, name, events=sound_events(EventBatch.decode(body).events))
    except DecodeError:
        made = made_id(b"%s\0%d" % (name[0].bytes, name[1]) if name else stream + b"\0" + id_)
        lost = Lost(None, made, rejected.UNDECODABLE_BATCH, body, _count(fields))
        return Entry(stream, id_, name, lost=(lost,))


def sound_events(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """The events, once all are of the types that they promise. Raises DecodeError."""
    if all(map(_is_sound, events)):
        return events
    raise DecodeError("an event's fields are not of their types")


def _is_sound(event: Event) -> bool:
    texts = (event.user_id, event.anonymous_id, event.session_id)
    return (
        isinstance(event.type, str)
        and all(text is None or isinstance(text, str) for text in texts)
        and (event.user_id is not None or event.anonymous_id is not None)
        and isinstance(event.occurred_ms, int)
        and isinstance(event.received_ms, int)
        and _is_utf8(event.properties)
        and _is_utf8(event.context)
    )


def _is_utf8(data: object) -> bool:
    if not isinstance(data, bytes):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _name(fields: Mapping[bytes, bytes]) -> tuple[UUID, int] | None:
    try:
        return UUID(bytes=fields[b"spool"]), int(fields[b"number"])
    except (KeyError, ValueError):
        return None


def _count(fields: Mapping[bytes, bytes]) -> int:
    try:
        return min(max(int(fields[b"count"]), 1), 2**31 - 1)
    except (KeyError, ValueError):
        return 1
