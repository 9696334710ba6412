"""Acknowledged events that user states may not contain yet, so that whoever wrote reads what they wrote."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from edge.users import Key
from wire import subjects
from wire.events import IDENTIFIED, MESSAGE_EVENTS, Event

MOST_COUNTED: Final = 100_000
"""Events that are only counted by rules, of all customers together: each takes up to 1 kB beside its properties. Past
that, as when the recorder is away for long, those that come count once they are recorded."""

MOST_OF_ONE: Final = 5_000
"""Events of one customer, the newest: each fetch of theirs goes over them all."""

_ALWAYS = MESSAGE_EVENTS | {IDENTIFIED}

NOT_LAID_OVER = Counter("inapp_edge_events_not_laid_over", "Acknowledged events that rules count only once recorded")


class Overlay:
    """By subject and by batch of the spool, whose batches it mirrors."""

    def __init__(self, most_counted: int = MOST_COUNTED) -> None:
        self._most_counted = most_counted
        self._counted = 0
        self._batches: dict[int, list[Event]] = {}
        self._by_subject: dict[Key, dict[int, list[Event]]] = {}

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, number: int, events: Iterable[Event]) -> None:
        kept = self._batches[number] = [_lean(event) for event in events if self._takes(event)]
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
        self._counted -= sum(event.type not in _ALWAYS for event in self._batches.pop(number, ()))

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

    def _takes(self, event: Event) -> bool:
        if event.type in _ALWAYS:
            return True
        if self._counted >= self._most_counted:
            NOT_LAID_OVER.inc()
            return False
        self._counted += 1
        return True

    def _of(self, key: Key) -> list[Event]:
        batches = self._by_subject.get(key)
        if batches is None:
            return []
        newest_first = chain.from_iterable(reversed(batches[number]) for number in sorted(batches, reverse=True))
        return list(islice(newest_first, MOST_OF_ONE))[::-1]


def _lean(event: Event) -> Event:
    """Without what no rule looks at."""
    return replace(event, context=b"{}", session_id=None)


def _keys(event: Event) -> Iterator[Key]:
    """The subject, and the anonymous visitor whom it takes over."""
    yield event.org_id, event.subject
    if event.claims is not None:
        yield event.org_id, subjects.anonymous(event.claims)
