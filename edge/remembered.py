"""Answers by the bytes of the request, so that one that comes again is not even read."""

from typing import Final

from edge.fetch import Fetched
from edge.recent import Recent
from service.clock import NowMs

MOST_BYTES: Final = 32 * 1024 * 1024
LONGEST_REQUEST: Final = 2 * 1024
MOST_NEW: Final = 32 * 1024
_FIXED_BYTES: Final = 600


class Remembered:
    """Of requests that came twice: those that come once would only drive out the others."""

    def __init__(self, now_ms: NowMs, most_bytes: int = MOST_BYTES) -> None:
        self._now_ms = now_ms
        self._kept: Recent[bytes, Fetched] = Recent(most_bytes)
        self._new: set[int] = set()

    def get(self, request: bytes) -> Fetched | None:
        """What answered the request, if it still is the answer."""
        fetched = self._kept.get(request)
        if fetched is None or fetched.holds(self._now_ms()):
            return fetched
        self._kept.drop(request)
        return None

    def offer(self, request: bytes, fetched: Fetched) -> None:
        if fetched.until_ms and len(request) <= LONGEST_REQUEST and self._came_before(hash(request)):
            self._kept.keep(request, fetched, _bytes_of(request, fetched))

    def _came_before(self, request: int) -> bool:
        """That two requests may have one hash does no harm here."""
        if request in self._new:
            return True
        if len(self._new) >= MOST_NEW:
            self._new.clear()
        self._new.add(request)
        return False


def _bytes_of(request: bytes, fetched: Fetched) -> int:
    """Without the messages themselves: they are the table's, and rarely outlive it here by more than a minute."""
    return _FIXED_BYTES + len(request) + 8 * len(fetched.pieces)
