"""Answers by the bytes of the request, so that one that comes again is not even read."""

from typing import Final

from edge.fetch import Fetched
from edge.recent import Recent
from service.clock import NowMs

MOST_BYTES: Final = 32 * 1024 * 1024
LONGEST_REQUEST: Final = 2 * 1024
_MARKS: Final = 64 * 1024
_FIXED_BYTES: Final = 800


class Remembered:
    """Of requests that came twice: those that come once would only drive out the others."""

    def __init__(self, now_ms: NowMs, most_bytes: int = MOST_BYTES) -> None:
        self._now_ms = now_ms
        self._kept: Recent[bytes, Fetched] = Recent(most_bytes)
        self._marks = bytearray(_MARKS)

    def get(self, request: bytes) -> Fetched | None:
        """What answered the request, if it still is the answer."""
        fetched = self._kept.get(request)
        if fetched is None:
            return None
        now_ms = self._now_ms()
        if now_ms >= fetched.until_ms:
            fetched.renew(now_ms)
        if fetched.holds(now_ms):
            return fetched
        self._kept.drop(request)
        return None

    def offer(self, request: bytes, fetched: Fetched) -> None:
        if fetched.until_ms and len(request) <= LONGEST_REQUEST and self._came_before(hash(request)):
            self._kept.keep(request, fetched, _bytes_of(request, fetched))

    def _came_before(self, request: int) -> bool:
        """As far as is known: each leaves a mark until another takes its place. To be wrong about it does no harm."""
        place, mark = request % _MARKS, request // _MARKS % 255 + 1
        if self._marks[place] == mark:
            return True
        self._marks[place] = mark
        return False


def _bytes_of(request: bytes, fetched: Fetched) -> int:
    """Without the messages themselves: they are the table's, and rarely outlive it here by more than a minute."""
    return _FIXED_BYTES + len(request) + 8 * len(fetched.pieces)
