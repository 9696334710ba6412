"""What was asked for of late, bounded in bytes."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """What was not asked for longest goes first. `bytes_of` tells the same of an entry as long as it is kept."""

    def __init__(self, most_bytes: int, bytes_of: Callable[[K, V], int]) -> None:
        self._most_bytes = most_bytes
        self._bytes_of = bytes_of
        self._bytes = 0
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> None:
        before = self._kept.pop(key, None)
        if before is not None:
            self._bytes -= self._bytes_of(key, before)
        self._kept[key] = value
        self._bytes += self._bytes_of(key, value)
        while self._bytes > self._most_bytes:
            self._bytes -= self._bytes_of(*self._kept.popitem(last=False))
