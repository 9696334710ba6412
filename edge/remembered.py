"""Answers by the bytes of the request, so that one that comes again is not even read."""

from hashlib import blake2b
from typing import Final

from edge.fetch import Fetched
from edge.recent import Recent
from service.clock import NowMs

MOST_BYTES: Final = 32 * 1024 * 1024
LONGEST_REQUEST: Final = 2 * 1024
_NAME_BYTES: Final = 16
"""Of a request's digest, which takes a tenth of its room. Nobody can find another request that has the same."""

_MARKS: Final = 64 * 1024
_PARTS: Final = 64
"""A dict in which each new key takes the place of another is rebuilt now and then: a part of the answers at a time."""

_FIXED_BYTES: Final = 360


class Remembered:
    """Of requests that came twice: those that come once would only drive out the others."""

    def __init__(self, now_ms: NowMs, most_bytes: int = MOST_BYTES) -> None:
        self._now_ms = now_ms
        self._parts: list[Recent[bytes, Fetched]] = [Recent(most_bytes // _PARTS, _bytes_of) for _ in range(_PARTS)]
        self._marks = bytearray(_MARKS)

    def get(self, request: bytes) -> Fetched | None:
        """What answered the request, if it still is the answer. If not, it may be again once more is known."""
        name = _name(request)
        fetched = self._part(name).get(name)
        if fetched is None:
            return None
        now_ms = self._now_ms()
        if now_ms >= fetched.until_ms or fetched.number != fetched.current.number:
            fetched.renew(now_ms)
        return fetched if fetched.holds(now_ms) else None

    def offer(self, request: bytes, fetched: Fetched) -> None:
        if fetched.until_ms and len(request) <= LONGEST_REQUEST:
            name = _name(request)
            if self._came_before(hash(name)):
                self._part(name).keep(name, fetched)

    def _part(self, name: bytes) -> Recent[bytes, Fetched]:
        return self._parts[name[0] % _PARTS]

    def _came_before(self, request: int) -> bool:
        """As far as is known: each leaves a mark until another takes its place. To be wrong about it does no harm."""
        place, mark = request % _MARKS, request // _MARKS % 255 + 1
        if self._marks[place] == mark:
            return True
        self._marks[place] = mark
        return False


def _name(request: bytes) -> bytes:
    return blake2b(request, digest_size=_NAME_BYTES).digest()


def _bytes_of(_name: bytes, fetched: Fetched) -> int:
    """The listing is counted in full, although others may share it; the JSON of messages, be they edited since, is not.
    It stays the same under `renew`, as `Recent` asks: there are as many pieces."""
    return _FIXED_BYTES + fetched.listing.own_bytes + len(fetched.client_etag or b"")
