"""Which orgs wait to be compiled."""

import asyncio
from uuid import UUID


class Backlog:
    """Each org waits at most once and is with one taker at a time; those in which something changed go first."""

    def __init__(self) -> None:
        self._changed: dict[UUID, None] = {}
        self._overdue: dict[UUID, None] = {}
        self._taken: set[UUID] = set()
        self._changed_since: set[UUID] = set()
        self._filled = asyncio.Event()

    def change(self, org_id: UUID) -> None:
        """Something of the org changed now: what a taker reads already may be too old, so it will come again."""
        if org_id in self._taken:
            self._changed_since.add(org_id)
            return
        self._overdue.pop(org_id, None)
        self._changed[org_id] = None
        self._filled.set()

    def overdue(self, org_id: UUID) -> None:
        """The org should have been compiled; nothing to do when a taker is about it."""
        if org_id not in self._taken and org_id not in self._changed:
            self._overdue[org_id] = None
            self._filled.set()

    async def take(self) -> UUID:
        """Waits for an org. Call `done` with it afterwards, whatever came of it."""
        while not (queue := self._changed or self._overdue):
            self._filled.clear()
            await self._filled.wait()
        org_id = next(iter(queue))
        del queue[org_id]
        self._taken.add(org_id)
        return org_id

    def done(self, org_id: UUID) -> None:
        self._taken.discard(org_id)
        if org_id in self._changed_since:
            self._changed_since.discard(org_id)
            self.change(org_id)
