"""Who somebody is, as far as this edge knows: projected state, what was just acknowledged, and who they were before."""

from collections.abc import Sequence
from itertools import chain
from uuid import UUID

from edge.overlay import Overlay
from edge.users import Users
from engine.features import FeatureIndex
from engine.state import union, with_events
from wire import subjects
from wire.userstate import MOST_ALIASES, UserState

NOTHING_KNOWN = UserState()


class People:
    def __init__(self, users: Users, overlay: Overlay) -> None:
        self._users = users
        self._overlay = overlay

    async def state(
        self, org_id: UUID, user_id: str | None, anonymous_id: str | None, features: FeatureIndex
    ) -> UserState | None:
        """The state of a user, an anonymous visitor, or both as one; None: it cannot be known now.

        `features`: of which the acknowledged events count too.
        """
        if user_id is None:
            return NOTHING_KNOWN if anonymous_id is None else await self._visitor(org_id, anonymous_id, features)
        user = subjects.user(user_id)
        present = [] if anonymous_id is None else [anonymous_id]
        anonymous_ids = dict.fromkeys([*present, *self._overlay.claims((org_id, user))[:MOST_ALIASES]])
        names = [user, *map(subjects.anonymous, anonymous_ids)]
        # Taken before the states are read: what leaves the overlay meanwhile may be missing in what was read.
        overlay = {name: self._overlay.events((org_id, name)) for name in names}
        states = await self._users.get(org_id, names)
        known = {name: state for name, state in zip(names, states, strict=True) if state is not None}
        if len(known) < len(names):
            return None
        absorbed, joining = _visitors(known[user], names[1:], len(present))
        person = with_events(known[user], chain.from_iterable(overlay[name] for name in (user, *absorbed)), features)
        for visitor in joining:
            person = union(person, with_events(known[visitor], overlay[visitor], features))
        return person

    async def _visitor(self, org_id: UUID, anonymous_id: str, features: FeatureIndex) -> UserState | None:
        name = subjects.anonymous(anonymous_id)
        overlay = self._overlay.events((org_id, name))
        (state,) = await self._users.get(org_id, [name])
        return None if state is None else with_events(state, overlay, features)


def _visitors(user: UserState, visitors: Sequence[str], present: int) -> tuple[list[str], list[str]]:
    """(those that the user's state contains, those that are to be united with it).

    The first `present` of the visitors come whatever the user has claimed; of the others as many as may be claimed.
    """
    absorbed = [visitor for visitor in visitors if subjects.bare_id(visitor) in user.aliases]
    unclaimed = [visitor for visitor in visitors if visitor not in absorbed]
    joining = {*visitors[:present], *unclaimed[: max(MOST_ALIASES - len(user.aliases), 0)]}
    return absorbed, [visitor for visitor in unclaimed if visitor in joining]
