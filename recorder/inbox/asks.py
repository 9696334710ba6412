"""Rows of the inbox → what they ask for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from recorder.batches.entries import sound_events
from recorder.rows import rejected
from recorder.rows.customers import CustomerKey
from recorder.rows.rejected import Lost
from store import inbox
from wire import codec
from wire.events import Event
from wire.ids import made_id

PROJECT = "project"
"""Our own kind, `{"subjects": [...]}`: whose states to put into Redis, because rows were applied."""


class Row(Protocol):
    """A row of `inbox`."""

    @property
    def id(self) -> int: ...
    @property
    def org_id(self) -> UUID: ...
    @property
    def kind(self) -> str: ...
    @property
    def body(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Track:
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Erase:
    org_id: UUID
    subject: str
    erased_ms: int


@dataclass(frozen=True, slots=True)
class ChangeMembers:
    org_id: UUID
    audience_id: UUID
    add: tuple[str, ...]
    remove: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    lost: Lost


Ask = Track | Erase | ChangeMembers | Unreadable


def read_ask(row: Row) -> Ask:
    try:
        return _READERS[row.kind](row.org_id, row.body)
    except (KeyError, TypeError, ValueError, AttributeError):
        return Unreadable(refused(row, rejected.UNREADABLE_ROW))


def refused(row: Row, reason: str) -> Lost:
    """A row that cannot be applied, as it stands."""
    body = codec.to_json({"kind": row.kind, "body": row.body})
    return Lost(row.org_id, made_id(b"inbox\0%d" % row.id), reason, body)


def subjects_to_project(row: Row) -> list[CustomerKey]:
    return [CustomerKey(row.org_id, subject) for subject in row.body["subjects"]]


def project_bodies(touched: Iterable[CustomerKey]) -> dict[UUID, dict[str, list[str]]]:
    """The body of a PROJECT row for each org."""
    bodies: dict[UUID, dict[str, list[str]]] = {}
    for key in sorted(touched):
        bodies.setdefault(key.org_id, {"subjects": []})["subjects"].append(key.subject)
    return bodies


def _track(_org_id: UUID, body: dict[str, Any]) -> Track:
    return Track(sound_events(inbox.events_of(body)))


def _erase(org_id: UUID, body: dict[str, Any]) -> Erase:
    return Erase(org_id, str(body["subject"]), int(body["erasedMs"]))


def _members(org_id: UUID, body: dict[str, Any]) -> ChangeMembers:
    add, remove = (tuple(map(str, body[name])) for name in ("add", "remove"))
    return ChangeMembers(org_id, UUID(body["audienceId"]), add, remove)


_READERS: dict[str, Callable[[UUID, Any], Ask]] = {inbox.EVENTS: _track, inbox.ERASE: _erase, inbox.MEMBERS: _members}
