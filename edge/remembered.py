"""Answers by the bytes of the request, so that one that comes again is not even read."""

from typing import Final

from edge.fetch import Fetched
from edge.recent import Recent

MOST_BYTES: Final = 32 * 1024 * 1024
LONGEST_REQUEST: Final = 2 * 1024
MOST_NEW: Final = 32 * 1024
_FIXED_BYTES: Final = 600


class Remembered(Recent[bytes, Fetched]):
    """Of requests that came twice: those that come once would only drive out the others."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(most_bytes)
        self._new: set[int] = set()

    def remember(self, request: bytes, fetched: Fetched) -> None:
        if len(request) <= LONGEST_REQUEST and self._came_before(hash(request)):
            self.keep(request, fetched, _bytes_of(request, fetched))

    def _came_before(self, request: int) -> bool:
        """That two requests may have one hash does no harm here."""
        if request in self._new:
            return True
        if len(self._new) >= MOST_NEW:
            self._new.clear()
        self._new.add(request)
        return False


def _bytes_of(request: bytes, fetched: Fetched) -> int:
    """The pieces that messages are made of belong to the table."""
    return _FIXED_BYTES + len(request) + 8 * len(fetched.pieces)
