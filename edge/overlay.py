"""Acknowledged events that user states may not contain yet, so that whoever wrote reads what they wrote."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from edge.users import Key
from wire import subjects
from wire.events import IDENTIFIED, MESSAGE_EVENTS, Event

_LAID_OVER = MESSAGE_EVENTS | {IDENTIFIED}


class Overlay:
    """By subject and by batch of the spool. Grows no larger than the spool, whose batches it mirrors."""

    def __init__(self) -> None:
        self._batches: dict[int, list[Event]] = {}
        self._by_subject: dict[Key, dict[int, list[Event]]] = {}

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, number: int, events: Iterable[Event]) -> None:
        kept = self._batches[number] = [event for event in events if event.type in _LAID_OVER]
        for event in kept:
            for key in _keys(event):
                self._by_subject.setdefault(key, {}).setdefault(number, []).append(event)

    def subjects(self, number: int) -> set[Key]:
        """Whose states the batch changes."""
        return {key for event in self._batches.get(number, ()) for key in _keys(event)}

    def drop(self, number: int) -> None:
        """The states in memory contain the batch."""
        for key in self.subjects(number):
            batches = self._by_subject[key]
            del batches[number]
            if not batches:
                del self._by_subject[key]
        self._batches.pop(number, None)

    def events(self, key: Key) -> list[Event]:
        """What the subject did, each event once however often it was sent, oldest first."""
        found: dict[UUID, Event] = {}
        for event in self._of(key):
            if event.subject == key[1]:
                found.setdefault(event.id, event)
        return list(found.values())

    def claims(self, key: Key) -> list[str]:
        """Anonymous ids that the user has just claimed, oldest claim first."""
        found = [event.claims for event in self._of(key) if event.claims is not None and event.subject == key[1]]
        return list(dict.fromkeys(found))

    def _of(self, key: Key) -> list[Event]:
        batches = self._by_subject.get(key)
        return [] if batches is None else [event for number in sorted(batches) for event in batches[number]]


def _keys(event: Event) -> Iterator[Key]:
    """The subject, and the anonymous visitor whom it takes over."""
    yield event.org_id, event.subject
    if event.claims is not None:
        yield event.org_id, subjects.anonymous(event.claims)
