"""Acknowledged events that user states may not contain yet, so that whoever wrote reads what they wrote."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from edge.users import Key
from engine.state import Laid
from wire import subjects
from wire.events import IDENTIFIED, MESSAGE_EVENTS, Event

MOST_BYTES: Final = 128 * 1024 * 1024
"""Of events that are only counted by rules, of all orgs together. Past that, as when the recorder is away for long,
those that come count once they are recorded."""

ORG_SHARE: Final = 4
"""One org may use no more than this part of MOST_BYTES, however idle the others are: they read what they wrote
though it floods this edge."""

MOST_OF_ONE: Final = 1_000
"""Events of one customer, the newest: each fetch of theirs goes over them all, some microseconds each, while
everybody else waits. A person leaves far fewer behind in the seconds that recording takes."""

MOST_RECORDED: Final = 50_000
"""Ids of events that have left, the latest to be asked for: about 150 bytes each."""

_EVENT_BYTES: Final = 1_000
"""What an event takes beside its properties, at most."""

_ALWAYS = MESSAGE_EVENTS | {IDENTIFIED}

NOT_LAID_OVER = Counter("inapp_edge_events_not_laid_over", "Acknowledged events that rules count only once recorded")


class Overlay:
    """By subject and by batch of the spool, whose batches it mirrors.

    An event that is sent again is not laid over again, as it will not be recorded again: with another moment it would
    count twice until then. That holds for what this edge took in and laid over itself, of late and since it started;
    what was first sent to another edge counts twice on this one until its repetition has been through the recorder.

    `on_change` is called with each subject for whom something is laid over, or no longer is.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, on_change: Callable[[Key], None] = lambda key: None) -> None:
        self._on_change = on_change
        self._most_bytes = most_bytes
        self._bytes: defaultdict[UUID, int] = defaultdict(int)
        self._all_bytes = 0
        self._batches: dict[int, list[Laid]] = {}
        self._by_subject: dict[Key, dict[int, list[Laid]]] = {}
        self._ids: set[bytes] = set()
        self._recorded: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, number: int, events: Iterable[Event]) -> None:
        kept = self._batches[number] = [Laid.of(event) for event in events if self._takes(event)]
        for event in kept:
            for key in _keys(event):
                self._by_subject.setdefault(key, {}).setdefault(number, []).append(event)
                self._on_change(key)

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
            self._on_change(key)
        for event in self._batches.pop(number, ()):
            self._use(event.org_id, -_counted_bytes(event))
            self._ids.discard(event.id.bytes)
            self._recorded[event.id.bytes] = None
        while len(self._recorded) > MOST_RECORDED:
            self._recorded.popitem(last=False)

    def events(self, key: Key) -> list[Laid]:
        """What the subject did, each event once however often it was sent, oldest first."""
        return [event for event in self._of(key) if event.subject == key[1]]

    def claims(self, key: Key) -> list[str]:
        """Anonymous ids that the user has just claimed, oldest claim first."""
        found = [event.claims for event in self._of(key) if event.claims is not None and event.subject == key[1]]
        return list(dict.fromkeys(found))

    def _takes(self, event: Event) -> bool:
        id_, needed = event.id.bytes, _counted_bytes(event)
        if self._is_known(id_):
            return False
        if needed and not self._has_room(event.org_id, needed):
            NOT_LAID_OVER.inc()
            return False
        self._use(event.org_id, needed)
        self._ids.add(id_)
        return True

    def _is_known(self, id_: bytes) -> bool:
        if id_ in self._recorded:
            self._recorded.move_to_end(id_)
            return True
        return id_ in self._ids

    def _has_room(self, org_id: UUID, needed: int) -> bool:
        used = self._bytes.get(org_id, 0)
        return self._all_bytes + needed <= self._most_bytes and used + needed <= self._most_bytes // ORG_SHARE

    def _use(self, org_id: UUID, more_bytes: int) -> None:
        self._all_bytes += more_bytes
        self._bytes[org_id] += more_bytes
        if not self._bytes[org_id]:
            del self._bytes[org_id]

    def _of(self, key: Key) -> list[Laid]:
        batches = self._by_subject.get(key)
        if batches is None:
            return []
        newest_first = chain.from_iterable(reversed(batches[number]) for number in sorted(batches, reverse=True))
        return list(islice(newest_first, MOST_OF_ONE))[::-1]


def _counted_bytes(event: Event) -> int:
    """None of those that messages and traits depend on: they are always laid over."""
    return 0 if event.type in _ALWAYS else _EVENT_BYTES + len(event.properties)


def _keys(event: Event) -> Iterator[Key]:
    """The subject, and the anonymous visitor whom it takes over."""
    yield event.org_id, event.subject
    if event.claims is not None:
        yield event.org_id, subjects.anonymous(event.claims)
