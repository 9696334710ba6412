"""Who somebody is, as far as this edge knows: projected state, what was just acknowledged, and who they were before."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar
from uuid import UUID

from edge.overlay import Overlay
from edge.users import Entry, Users, note_unreadable
from engine.decide import Eligible, Person, eligible, person
from engine.features import FeatureIndex
from engine.state import Laid, union, with_events
from engine.table import OrgTable
from wire import subjects
from wire.codec import DecodeError
from wire.userstate import MOST_ALIASES, UserState

T = TypeVar("T")

NOTHING_KNOWN = UserState()

NOTHING = Eligible(0, None)

_SEEN_BYTES = 200
_MOMENT_BYTES = 40


class Who:
    """Whom a request is about; at least one id is there. `subject`: the user, else the visitor.

    `present`: the device's visitor, where that is somebody besides the user.
    """

    __slots__ = ("anonymous_id", "org_id", "present", "subject")

    def __init__(self, org_id: UUID, user_id: str | None, anonymous_id: str | None) -> None:
        self.org_id = org_id
        self.anonymous_id = anonymous_id
        self.present = None if user_id is None else anonymous_id
        self.subject = subjects.anonymous(anonymous_id or "") if user_id is None else subjects.user(user_id)


class Basis:
    """The states of which something was made. It stands until any of them, or what is laid over it, changes, and again
    once it was found to come to the same."""

    __slots__ = ("_entry", "_others", "_version")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.rest_on(entries)

    def rest_on(self, entries: Sequence[Entry]) -> None:
        """As they are now, theirs first of whom it was made."""
        self._entry, *others = entries
        self._version = self._entry.version
        self._others = tuple([(entry, entry.version) for entry in others])

    def stands(self) -> bool:
        if self._entry.version != self._version or self._entry.era.over:
            return False
        for entry, version in self._others:  # noqa: SIM110 - quicker than all() for one or two
            if entry.version != version or entry.era.over:
                return False
        return True

    def use(self) -> None:
        """Those who are asked about are not the first to make room for others."""
        self._entry.used = True
        for entry, _ in self._others:
            entry.used = True


class Known:
    """Somebody whose rules were evaluated: what that came to, and of what it was made.

    `may` is what they may get by the index of messages that was asked about last; `may_get` renews it.
    """

    __slots__ = ("_index", "_people", "_since_ms", "anonymous_id", "basis", "may", "person")

    def __init__(
        self, person: Person, table: OrgTable, now_ms: int, anonymous_id: str | None, entries: Sequence[Entry]
    ) -> None:
        self.person = person
        self.anonymous_id = anonymous_id
        self.basis = Basis(entries)
        self.may = NOTHING
        self._since_ms = now_ms
        self._people = table.people
        self._index = -1

    def is_current(self, table: OrgTable, now_ms: int) -> bool:
        """Whether nothing is known since that could change what the rules said, the table's own rules included."""
        changes_ms = self.person.changes_ms
        is_now = self._since_ms <= now_ms and (changes_ms is None or now_ms < changes_ms)
        return is_now and self._people == table.people and self.basis.stands()

    def confirm(self, person: Person, table: OrgTable, now_ms: int, entries: Sequence[Entry]) -> bool:
        """Takes over what was found out anew, if that comes to the same and for at least as long: then answers that
        were made of the basis hold again. False: it does not, and nothing is taken over."""
        if (
            self._people != table.people
            or person.audiences != self.person.audiences
            or person.seen != self.person.seen
            or _is_earlier(person.changes_ms, self.person.changes_ms)
        ):
            return False
        if person.changes_ms != self.person.changes_ms or now_ms < self._since_ms:
            self._index = -1  # `may` was worked out to end otherwise, or of a later time
        self.person, self._since_ms = person, now_ms
        self.basis.rest_on(entries)
        return True

    def may_get(self, table: OrgTable, now_ms: int) -> Eligible:
        """Worked out once and kept until its next change."""
        changes_ms = self.may.changes_ms
        if self._index != table.index.number or (changes_ms is not None and now_ms >= changes_ms):
            self.may, self._index = eligible(table, self.person, now_ms), table.index.number
        return self.may

    def size_bytes(self, table: OrgTable) -> int:
        """What it takes beyond somebody who has seen nothing in a small org, about."""
        seen = sum([_SEEN_BYTES + _MOMENT_BYTES * len(what.recent_ms) for what in self.person.seen.values()])
        return seen + table.index.mask_bytes


class Read(NamedTuple):
    """`laid`: what is laid over each of the subjects that make up a person, theirs first; `entries`: of the same."""

    entries: Sequence[Entry]
    laid: Mapping[str, Sequence[Laid]]


class People:
    def __init__(self, users: Users, overlay: Overlay) -> None:
        self._users = users
        self._overlay = overlay

    def known(self, who: Who, table: OrgTable, now_ms: int, *, verified: bool = True) -> Known | None:
        """Somebody, from memory alone; None when something has to be read for that."""
        entry = self._users.peek((who.org_id, who.subject))
        if entry is None:
            return None
        known: Known | None = entry.known
        if known is not None and (known.anonymous_id != who.anonymous_id or known.person.verified != verified):
            known = None
        if known is not None and known.is_current(table, now_ms):
            return known
        return self._evaluate(who, entry, known, table, now_ms, verified=verified)

    def _evaluate(
        self, who: Who, entry: Entry, before: Known | None, table: OrgTable, now_ms: int, *, verified: bool
    ) -> Known | None:
        """`before`: what was found out about the very same."""
        laid = self._laid(who)
        entries = [entry, *(self._users.peek((who.org_id, name)) for name in list(laid)[1:])]
        there = [each for each in entries if each is not None and each.encoded is not None]
        if len(there) < len(laid):
            return None
        state = self.state(who, Read(there, laid), table.features)
        if state is None:
            return None
        somebody = person(table, state, {}, now_ms, verified=verified)
        if before is not None and before.confirm(somebody, table, now_ms, there):
            known = before
        else:
            known = Known(somebody, table, now_ms, who.anonymous_id, there)
        self._users.remember((who.org_id, who.subject), known, known.size_bytes(table))
        return known

    async def read(self, who: Who, then: "Callable[[Read | None], T]") -> T:
        """What `then` makes of what somebody's state is made of; None: that cannot be known now. See `Users.ask`."""
        # Taken before the states are read: what leaves the overlay meanwhile may be missing in what was read.
        laid = self._laid(who)

        def of(entries: list[Entry | None]) -> T:
            there = [entry for entry in entries if entry is not None]
            return then(Read(there, laid) if len(there) == len(laid) else None)

        return await self._users.ask(who.org_id, list(laid), of)

    def state(self, who: Who, read: "Read", features: FeatureIndex) -> UserState | None:
        """The state of a user, an anonymous visitor, or both as one; None: it cannot be decoded.

        `features`: of which the acknowledged events count too.
        """
        try:
            states = {name: entry.state() for name, entry in zip(read.laid, read.entries, strict=True)}
        except DecodeError as error:
            note_unreadable((who.org_id, who.subject), error)
            return None
        return as_one(states, read.laid, features, 0 if who.present is None else 1)

    def _laid(self, who: Who) -> dict[str, list[Laid]]:
        """What is laid over each of those whose states make up the person: theirs, their device's, and of those whom
        they have just claimed."""
        org_id, events = who.org_id, self._overlay.events
        laid = {who.subject: events((org_id, who.subject))}
        claimed = self._overlay.claims((org_id, who.subject))[:MOST_ALIASES] if laid[who.subject] else []
        for visitor in claimed if who.present is None else [who.present, *claimed]:
            name = subjects.anonymous(visitor)
            laid[name] = events((org_id, name))
        return laid


def _is_earlier(moment_ms: int | None, than_ms: int | None) -> bool:
    """None: never."""
    return moment_ms is not None and (than_ms is None or moment_ms < than_ms)


def as_one(
    states: Mapping[str, UserState], laid: Mapping[str, Iterable[Laid]], features: FeatureIndex, present: int
) -> UserState:
    """The first of `states`, with what was laid over, united with the others unless they are contained already.

    The first `present` of the others come whatever the user has claimed.
    """
    subject, *visitors = states
    if not visitors:
        return with_events(states[subject], laid[subject], features)
    absorbed, joining = _visitors(states[subject], visitors, present)
    person = with_events(states[subject], chain.from_iterable(laid[name] for name in (subject, *absorbed)), features)
    for visitor in joining:
        person = union(person, with_events(states[visitor], laid[visitor], features))
    return person


def _visitors(user: UserState, visitors: Sequence[str], present: int) -> tuple[list[str], list[str]]:
    """(those that the user's state contains, those that are to be united with it).

    The first `present` of the visitors come whatever the user has claimed; of the others as many as may be claimed.
    """
    absorbed = [visitor for visitor in visitors if subjects.bare_id(visitor) in user.aliases]
    unclaimed = [visitor for visitor in visitors if visitor not in absorbed]
    joining = {*visitors[:present], *unclaimed[: max(MOST_ALIASES - len(user.aliases), 0)]}
    return absorbed, [visitor for visitor in unclaimed if visitor in joining]
