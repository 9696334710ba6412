"""How many traits a customer may have. The recorder and the edge's overlay keep to it by the same rule."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from wire import codec

MOST_TRAITS: Final = 256
"""Of one customer, those set to null included: their stamps stay. Anybody with a public key can name new ones, and
each fetch of a customer decodes them all."""

TRAITS_MAX_BYTES: Final = 64 * 1024
"""Of one customer: names in UTF-8, values as JSON."""


class Room:
    """What a customer's traits still have room for. A write that does not fit is dropped, never an error.

    First come, first kept: a known name takes a new value as long as all of them fit, a new name only while there is
    room for one more. So what is kept depends on the order of the writes, and everybody has to lay them in the same.
    """

    __slots__ = ("_sizes", "_total")

    def __init__(self, values: Mapping[str, Any], names: Iterable[str]) -> None:
        """`names`: of all traits that have a stamp, also of those without a value."""
        self._sizes = {name: _size_bytes(name, values.get(name)) for name in names}
        self._total = sum(self._sizes.values())

    def take(self, name: str, value: Any) -> bool:
        """Whether the write fits; if so it counts from now on. What takes no more room than before always fits."""
        held = self._sizes.get(name)
        if held is None and len(self._sizes) >= MOST_TRAITS:
            return False
        size = _size_bytes(name, value)
        more = size - (held or 0)
        if more > 0 and self._total + more > TRAITS_MAX_BYTES:
            return False
        self._sizes[name] = size
        self._total += more
        return True


def _size_bytes(name: str, value: Any) -> int:
    return len(name.encode()) + len(codec.to_json(value))
