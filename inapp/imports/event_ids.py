"""The ids of an import's events."""

import hashlib
from collections.abc import Callable
from uuid import UUID


def ids_of(digest: bytes, started_ms: int) -> Callable[[int], UUID]:
    """Line → id: the same for the same import, and rising with the lines, so that the later of two lines wins.

    A version 8 UUID (RFC 9562, 5.8): 60 bits name the import, 62 are the line.
    """
    name = int.from_bytes(hashlib.sha256(b"%b\0%d" % (digest, started_ms)).digest()[:8]) >> 4
    high = name >> 12 << 16 | 8 << 12 | name & 0xFFF
    low = 2 << 62
    return lambda line: UUID(int=high << 64 | low | line)
