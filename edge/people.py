"""Who somebody is, as far as this edge knows: projected state, what was just acknowledged, and who they were before."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple
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

NOTHING_KNOWN = UserState()

NOTHING = Eligible(0, 0)

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
    """The states of which something was made. It stands until any of them, or what is laid over it, changes."""

    __slots__ = ("_entry", "_others", "_version")

    def __init__(self, entries: Sequence[Entry]) -> None:
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


class Known:
    """Somebody whose rules were evaluated: what that came to, and of what it was made.

    `may` is what they may get by the latest table that was asked about; `may_get` renews it.
    """

    __slots__ = ("_people", "_since_ms", "_table", "anonymous_id", "basis", "may", "person")

    def __init__(
        self, person: Person, table: OrgTable, now_ms: int, anonymous_id: str | None, entries: Sequence[Entry]
    ) -> None:
        self.person = person
        self.anonymous_id = anonymous_id
        self.basis = Basis(entries)
        self.may = NOTHING
        self._since_ms = now_ms
        self._people = table.people
        self._table = -1

    def is_current(self, table: OrgTable, now_ms: int) -> bool:
        """Whether nothing is known since that could change what the rules said, the table's own rules included."""
        changes_ms = self.person.changes_ms
        is_now = self._since_ms <= now_ms and (changes_ms is None or now_ms < changes_ms)
        return is_now and self._people == table.people and self.basis.stands()

    def may_get(self, table: OrgTable, now_ms: int) -> Eligible:
        """The list is made once and kept until its next change."""
        changes_ms = self.may.changes_ms
        if self._table != table.number or (changes_ms is not None and now_ms >= changes_ms):
            self.may, self._table = eligible(table, self.person, now_ms), table.number
        return self.may

    def size_bytes(self, table: OrgTable) -> int:
        """What it takes beyond somebody who has seen nothing in a small org, about."""
        seen = sum([_SEEN_BYTES + _MOMENT_BYTES * len(what.recent_ms) for what in self.person.seen.values()])
        return seen + len(table.messages) // 7


class Read(NamedTuple):
    """`names`: the subjects that make up a person, theirs first; `laid`: by subject."""

    names: Sequence[str]
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
        if (
            known is not None
            and known.anonymous_id == who.anonymous_id
            and known.person.verified == verified
            and known.is_current(table, now_ms)
        ):
            return known
        return self._evaluate(who, entry, table, now_ms, verified=verified)

    def _evaluate(self, who: Who, entry: Entry, table: OrgTable, now_ms: int, *, verified: bool) -> Known | None:
        names = self._names(who)
        entries = [entry, *(self._users.peek((who.org_id, name)) for name in names[1:])]
        there = [each for each in entries if each is not None and each.encoded is not None]
        if len(there) < len(names):
            return None
        state = self.state(who, Read(names, there, self._laid(who.org_id, names)), table.features)
        if state is None:
            return None
        somebody = person(table, state, {}, now_ms, verified=verified)
        known = Known(somebody, table, now_ms, who.anonymous_id, there)
        self._users.remember((who.org_id, who.subject), known, known.size_bytes(table))
        return known

    async def read(self, who: Who) -> "Read | None":
        """What somebody's state is made of; None: it cannot be known now."""
        names = self._names(who)
        # Taken before the states are read: what leaves the overlay meanwhile may be missing in what was read.
        laid = self._laid(who.org_id, names)
        entries = await self._users.get(who.org_id, names)
        there = [entry for entry in entries if entry is not None]
        return Read(names, there, laid) if len(there) == len(names) else None

    def state(self, who: Who, read: "Read", features: FeatureIndex) -> UserState | None:
        """The state of a user, an anonymous visitor, or both as one; None: it cannot be decoded.

        `features`: of which the acknowledged events count too.
        """
        try:
            states = {name: entry.state() for name, entry in zip(read.names, read.entries, strict=True)}
        except DecodeError as error:
            note_unreadable((who.org_id, who.subject), error)
            return None
        return as_one(read.names, states, read.laid, features, 0 if who.present is None else 1)

    def _names(self, who: Who) -> list[str]:
        """Whose states make up the person: theirs, their device's, and of those whom they have just claimed."""
        present = [] if who.present is None else [who.present]
        claimed = self._overlay.claims((who.org_id, who.subject))[:MOST_ALIASES]
        return [who.subject, *map(subjects.anonymous, dict.fromkeys([*present, *claimed]))]

    def _laid(self, org_id: UUID, names: Iterable[str]) -> dict[str, list[Laid]]:
        return {name: self._overlay.events((org_id, name)) for name in names}


def as_one(
    names: Sequence[str],
    states: Mapping[str, UserState],
    laid: Mapping[str, Iterable[Laid]],
    features: FeatureIndex,
    present: int,
) -> UserState:
    """The first of `names`, with what was laid over, united with the others unless they are contained already.

    The first `present` of the others come whatever the user has claimed.
    """
    subject = names[0]
    absorbed, joining = _visitors(states[subject], names[1:], present)
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
