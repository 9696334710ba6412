"""Acknowledged events that user states may not contain yet, so that whoever wrote reads what they wrote."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from operator import itemgetter
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

_SMALL_BYTES: Final = 200
"""Of what no rule looks at, which is cheaper to keep than to leave."""

_AT_A_STEP: Final = 20

_ALWAYS = MESSAGE_EVENTS | {IDENTIFIED}

NOT_LAID_OVER = Counter("inapp_edge_events_not_laid_over", "Acknowledged events that rules count only once recorded")


_who = itemgetter(Event._fields.index("org_id"), Event._fields.index("user_id"), Event._fields.index("anonymous_id"))


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
        self._batches: dict[int, set[Key]] = {}
        self._ids: set[bytes] = set()
        self._recorded: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._batches)

    def adding(self, number: int, events: Sequence[Event]) -> Steps[None]:
        """Lays a batch over, a few events at a step; what was laid over counts at once."""
        concerned = self._batches.setdefault(number, set())
        for place in range(0, len(events), _AT_A_STEP):
            for (org_id, _, _), theirs in groupby(events[place : place + _AT_A_STEP], _who):
                for subject in self._lay(number, org_id, theirs):
                    concerned.add((org_id, subject))
                    self._on_change((org_id, subject))
            yield

    def subjects(self, number: int) -> set[Key]:
        """Whose states the batch changes."""
        return set(self._batches.get(number, ()))

    def dropping(self, number: int) -> Steps[None]:
        """The states in memory contain the batch. One customer at a step."""
        concerned = self._batches.get(number, set())
        while concerned:
            self._lift(number, *concerned.pop())
            yield
        self._batches.pop(number, None)

    def events(self, key: Key) -> list[Laid]:
        """What the subject did, each event once however often it was sent, oldest first."""
        org_id, subject = key
        org = self._orgs.get(org_id)
        laid = org.laid.get(subject) if org else None
        if laid is None:
            return []
        newest_first = chain.from_iterable(_read(laid[number]) for number in sorted(laid, reverse=True))
        return list(islice(newest_first, MOST_OF_ONE))[::-1]

    def claims(self, key: Key) -> list[str]:
        """Anonymous ids that the user has just claimed, oldest claim first."""
        return list(dict.fromkeys([event.claims for event in self.events(key) if event.claims is not None]))

    def _lay(self, number: int, org_id: UUID, events: Iterable[Event]) -> Iterable[str]:
        """Events of one customer. Returns the subjects whom they concern."""
        org = self._orgs.get(org_id) or _Org()
        taken = [_slim(event) for event in events if self._takes(org, event)]
        if not taken:
            return ()
        self._orgs[org_id] = org
        subject = taken[0].subject
        claimed = [subjects.anonymous(event.claims) for event in taken if event.claims is not None]
        for each in (subject, *claimed):
            org.laid.setdefault(each, {}).setdefault(number, [])
        org.laid[subject][number] += taken
        return {subject, *claimed}

    def _takes(self, org: "_Org", event: Event) -> bool:
        id_ = event.id_bytes
        if self._is_known(id_):
            return False
        needed = _counted_bytes(event)
        if needed and not self._has_room(org, needed):
            NOT_LAID_OVER.inc()
            return False
        org.bytes += needed
        self._all_bytes += needed
        self._ids.add(id_)
        return True

    def _lift(self, number: int, org_id: UUID, subject: str) -> None:
        org = self._orgs[org_id]
        laid = org.laid[subject].pop(number)
        if not org.laid[subject]:
            del org.laid[subject]
        freed = sum(map(_counted_bytes, laid))
        org.bytes -= freed
        self._all_bytes -= freed
        ids = [event.id_bytes for event in laid]
        self._ids.difference_update(ids)
        self._recorded.update(dict.fromkeys(ids))
        while len(self._recorded) > MOST_RECORDED:
            self._recorded.popitem(last=False)
        if not org.laid:
            del self._orgs[org_id]
        self._on_change((org_id, subject))

    def _is_known(self, id_: bytes) -> bool:
        if id_ in self._recorded:
            self._recorded.move_to_end(id_)
            return True
        return id_ in self._ids

    def _has_room(self, org: "_Org", needed: int) -> bool:
        return self._all_bytes + needed <= self._most_bytes and org.bytes + needed <= self._most_bytes // ORG_SHARE


class _Org:
    """`laid`: by subject, then by batch. A visitor whom a user took over stands there too, be it with no event."""

    __slots__ = ("bytes", "laid")

    def __init__(self) -> None:
        self.bytes = 0
        self.laid: dict[str, dict[int, list[Event | Laid]]] = {}


def _read(events: list[Event | Laid]) -> Iterator[Laid]:
    """The newest first, each of them made ready when it is first asked for: most customers are asked for by no one
    until what they did is recorded."""
    for place in reversed(range(len(events))):
        event = events[place]
        if not isinstance(event, Laid):
            event = events[place] = Laid(event)
        yield event


def _slim(event: Event) -> Event:
    """Without what no rule looks at, where that is large."""
    if len(event.context) + len(event.session_id or "") <= _SMALL_BYTES:
        return event
    return event._replace(context=b"{}", session_id=None)


def _counted_bytes(event: Event | Laid) -> int:
    """None of those that messages and traits depend on: they are always laid over."""
    return 0 if event.type in _ALWAYS else _EVENT_BYTES + len(event.properties)
