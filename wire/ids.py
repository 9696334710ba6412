"""Ids that are made of what they name."""

import hashlib
from uuid import UUID

_KEPT = ((1 << 128) - 1) & ~(0xF << 76) & ~(0x3 << 62)
_VERSION_8 = 8 << 76 | 2 << 62


def made_id(name: bytes) -> UUID:
    """The same id for the same name: a version 8 UUID (RFC 9562, 5.8) of its SHA-256."""
    return UUID(bytes=made_id_bytes(name))


def made_id_bytes(name: bytes) -> bytes:
    """The 16 bytes of `made_id`, where an object for each would take longer than the hash."""
    number = int.from_bytes(hashlib.sha256(name).digest()[:16])
    return (number & _KEPT | _VERSION_8).to_bytes(16)
