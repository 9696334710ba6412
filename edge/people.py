"""Who somebody is, as far as this edge knows: projected state, what was just acknowledged, and who they were before."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from edge.overlay import Overlay
from edge.users import Users
from engine.state import union, with_events
from wire import subjects
from wire.events import Event
from wire.userstate import MOST_ALIASES, UserState

NOTHING_KNOWN = UserState()


class People:
    def __init__(self, users: Users, overlay: Overlay) -> None:
        self._users = users
        self._overlay = overlay

    async def state(self, org_id: UUID, user_id: str | None, anonymous_id: str | None) -> UserState | None:
        """The state of a user, an anonymous visitor, or both as one; None: it cannot be known now."""
        if user_id is None:
            return NOTHING_KNOWN if anonymous_id is None else await self._visitor(org_id, anonymous_id)
        user = subjects.user(user_id)
        present = [] if anonymous_id is None else [anonymous_id]
        anonymous_ids = dict.fromkeys([*present, *self._overlay.claims((org_id, user))[:MOST_ALIASES]])
        names = [user, *map(subjects.anonymous, anonymous_ids)]
        # Taken before the states are read: what leaves the overlay meanwhile may be missing in what was read.
        overlay = {name: self._overlay.events((org_id, name)) for name in names}
        states = await self._users.get(org_id, names)
        known = {name: state for name, state in zip(names, states, strict=True) if state is not None}
        return _one_person(names, known, overlay, len(present)) if len(known) == len(names) else None

    async def _visitor(self, org_id: UUID, anonymous_id: str) -> UserState | None:
        name = subjects.anonymous(anonymous_id)
        overlay = self._overlay.events((org_id, name))
        (state,) = await self._users.get(org_id, [name])
        return None if state is None else with_events(state, overlay)


def _one_person(
    names: Iterable[str], states: Mapping[str, UserState], overlay: Mapping[str, Iterable[Event]], present: int
) -> UserState:
    """The user, and those visitors that the user's state does not contain yet.

    The first `present` of the visitors come whatever the user has claimed; of the others as many as may be claimed.
    """
    user, *visitors = names
    aliases = states[user].aliases
    unclaimed = [visitor for visitor in visitors if subjects.bare_id(visitor) not in aliases]
    united = {*visitors[:present], *unclaimed[: max(MOST_ALIASES - len(aliases), 0)]}
    merged = with_events(states[user], overlay[user])
    for visitor in visitors:
        if subjects.bare_id(visitor) in aliases:
            merged = with_events(merged, overlay[visitor])
        elif visitor in united:
            merged = union(merged, with_events(states[visitor], overlay[visitor]))
    return merged
