"""UUIDv7 (RFC 9562, 5.7): ids that sort by the moment of their making."""

import os
import time
from uuid import UUID


def new_id() -> UUID:
    """48 bits of milliseconds, then 74 random bits."""
    number = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return UUID(int=number)


def new_ids(count: int) -> list[UUID]:
    """In rising order."""
    return sorted(new_id() for _ in range(count))
