"""Answers by the bytes of the request, so that one that comes again is not even read."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from edge.fetch import Fetched

MOST_BYTES: Final = 32 * 1024 * 1024
LONGEST_REQUEST: Final = 2 * 1024
_FIXED_BYTES: Final = 600


class Remembered:
    """The latest to be asked for, bounded in bytes. `holds`: whether an answer still is the answer."""

    def __init__(self, holds: Callable[[Fetched], bool], most_bytes: int = MOST_BYTES) -> None:
        self._holds = holds
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, Fetched] = OrderedDict()

    def get(self, request: bytes) -> Fetched | None:
        fetched = self._kept.get(request)
        if fetched is None:
            return None
        if not self._holds(fetched):
            self._drop(request)
            return None
        self._kept.move_to_end(request)
        return fetched

    def keep(self, request: bytes, fetched: Fetched) -> None:
        if len(request) > LONGEST_REQUEST:
            return
        self._drop(request)
        self._kept[request] = fetched
        self._bytes += _bytes_of(request, fetched)
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, request: bytes) -> None:
        fetched = self._kept.pop(request, None)
        if fetched is not None:
            self._bytes -= _bytes_of(request, fetched)


def _bytes_of(request: bytes, fetched: Fetched) -> int:
    """The pieces that messages are made of belong to the table."""
    return _FIXED_BYTES + len(request) + 8 * len(fetched.pieces)
