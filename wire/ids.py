"""Ids that are made of what they name."""

import hashlib
from uuid import UUID


def made_id(name: bytes) -> UUID:
    """The same id for the same name: a version 8 UUID (RFC 9562, 5.8) of its SHA-256."""
    number = int.from_bytes(hashlib.sha256(name).digest()[:16])
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return UUID(int=number)
