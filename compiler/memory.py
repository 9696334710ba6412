"""What was made of each org last, so that the next time only what changed has to be made."""

from collections import OrderedDict
from typing import Final, NamedTuple
from uuid import UUID

from compiler.check import Checked
from compiler.compile import Compiled

MOST_BYTES: Final = 256 * 1024 * 1024
"""Some 50,000 messages of the usual length."""

_A_MESSAGE_BYTES: Final = 2_000
_TIMES_KEPT: Final = 4
"""As a row, as a part of a bundle, in the bundle, and decoded; beside that, the objects that hold them."""


class Made(NamedTuple):
    compiled: Compiled
    checked: Checked


class Memory:
    """Of those that do not fit into about `most_bytes`, the ones go that were not made for longest."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._made: OrderedDict[UUID, tuple[Made, int]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """About what all of it takes."""
        return self._bytes

    def get(self, org_id: UUID) -> Made | None:
        found = self._made.get(org_id)
        return None if found is None else found[0]

    def keep(self, org_id: UUID, made: Made) -> None:
        """Instead of what was made of the org before; not at all when it is too large alone."""
        self._forget(org_id)
        size = _size(made.compiled)
        if size > self._most_bytes:
            return
        self._made[org_id] = made, size
        self._bytes += size
        while self._bytes > self._most_bytes:
            self._forget(next(iter(self._made)))

    def clear(self) -> None:
        self._made.clear()
        self._bytes = 0

    def _forget(self, org_id: UUID) -> None:
        found = self._made.pop(org_id, None)
        self._bytes -= found[1] if found else 0


def _size(compiled: Compiled) -> int:
    messages = compiled.parts.messages.values()
    return sum(_A_MESSAGE_BYTES + _TIMES_KEPT * max(len(each.encoded), len(each.row.content)) for each in messages)
