"""Acknowledged events that user states may not contain yet, so that whoever wrote reads what they wrote."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from edge.users import Key
from engine.state import Laid
from engine.steps import Steps
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

_AT_A_STEP: Final = 20

_ALWAYS = MESSAGE_EVENTS | {IDENTIFIED}

NOT_LAID_OVER = Counter("inapp_edge_events_not_laid_over", "Acknowledged events that rules count only once recorded")


BySubject = dict[str, list[Laid]]
"""What was laid over in one org. A visitor whom a user took over stands there too, be it with no event."""


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
        self._all_bytes = 0
        self._orgs: dict[UUID, _Org] = {}
        self._batches: dict[int, dict[UUID, BySubject]] = {}
        self._ids: set[int] = set()
        self._recorded: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._batches)

    def adding(self, number: int, events: Sequence[Event]) -> Steps[None]:
        """Lays a batch over, a few events at a step; what was laid over counts at once."""
        batch = self._batches.setdefault(number, {})
        for place in range(0, len(events), _AT_A_STEP):
            for org_id, part in groupby(events[place : place + _AT_A_STEP], attrgetter("org_id")):
                self._lay(number, org_id, batch.setdefault(org_id, {}), part)
            yield

    def subjects(self, number: int) -> set[Key]:
        """Whose states the batch changes."""
        batch = self._batches.get(number, {})
        return {(org_id, subject) for org_id, laid in batch.items() for subject in laid}

    def dropping(self, number: int) -> Steps[None]:
        """The states in memory contain the batch. One customer at a step."""
        for org_id, laid in self._batches.get(number, {}).items():
            while laid:
                subject, events = laid.popitem()
                self._lift(number, org_id, subject, events)
                yield
        self._batches.pop(number, None)

    def events(self, key: Key) -> list[Laid]:
        """What the subject did, each event once however often it was sent, oldest first."""
        org_id, subject = key
        org = self._orgs.get(org_id)
        numbers = org.numbers.get(subject) if org else None
        if numbers is None:
            return []
        newest_first = chain.from_iterable(
            reversed(self._batches[number][org_id][subject]) for number in sorted(numbers, reverse=True)
        )
        return list(islice(newest_first, MOST_OF_ONE))[::-1]

    def claims(self, key: Key) -> list[str]:
        """Anonymous ids that the user has just claimed, oldest claim first."""
        return list(dict.fromkeys([event.claims for event in self.events(key) if event.claims is not None]))

    def _lay(self, number: int, org_id: UUID, laid: BySubject, events: Iterable[Event]) -> None:
        org = self._orgs.get(org_id)
        if org is None:
            org = self._orgs[org_id] = _Org()
        changed = set()
        for event in self._taken(org, events):
            concerned = [event.subject] if event.claims is None else [event.subject, subjects.anonymous(event.claims)]
            for subject in concerned:
                if subject not in laid:
                    laid[subject] = []
                    org.numbers.setdefault(subject, []).append(number)
            laid[event.subject].append(event)
            changed.update(concerned)
        for subject in changed:
            self._on_change((org_id, subject))

    def _taken(self, org: "_Org", events: Iterable[Event]) -> Iterator[Laid]:
        for event in events:
            needed = _counted_bytes(event)
            if self._is_known(event.id.int):
                continue
            if needed and not self._has_room(org, needed):
                NOT_LAID_OVER.inc()
                continue
            org.bytes += needed
            self._all_bytes += needed
            self._ids.add(event.id.int)
            yield Laid(event)

    def _lift(self, number: int, org_id: UUID, subject: str, laid: Iterable[Laid]) -> None:
        org = self._orgs[org_id]
        org.numbers[subject].remove(number)
        if not org.numbers[subject]:
            del org.numbers[subject]
        for event in laid:
            needed = _counted_bytes(event)
            org.bytes -= needed
            self._all_bytes -= needed
            self._ids.discard(event.id.int)
            self._recorded[event.id.int] = None
        while len(self._recorded) > MOST_RECORDED:
            self._recorded.popitem(last=False)
        if not org.numbers:
            del self._orgs[org_id]
        self._on_change((org_id, subject))

    def _is_known(self, id_: int) -> bool:
        if id_ in self._recorded:
            self._recorded.move_to_end(id_)
            return True
        return id_ in self._ids

    def _has_room(self, org: "_Org", needed: int) -> bool:
        return self._all_bytes + needed <= self._most_bytes and org.bytes + needed <= self._most_bytes // ORG_SHARE


class _Org:
    """`numbers`: of the batches that concern a subject."""

    __slots__ = ("bytes", "numbers")

    def __init__(self) -> None:
        self.bytes = 0
        self.numbers: dict[str, list[int]] = {}


def _counted_bytes(event: Event | Laid) -> int:
    """None of those that messages and traits depend on: they are always laid over."""
    return 0 if event.type in _ALWAYS else _EVENT_BYTES + len(event.properties)
