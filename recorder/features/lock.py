"""The lock of an org's features, held to the end of a transaction.

Whoever stores events or writes rings shares it, taken before customers are locked; only whoever changes which features
there are, or how much they keep, has it alone. So no transaction that began without a feature ends after its adoption.
"""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SHARED = text("SELECT pg_advisory_xact_lock_shared(key) FROM unnest(CAST(:keys AS bigint[])) AS locks (key)")
_PATIENCE = text("SELECT set_config('lock_timeout', '100ms', true)")
"""Whoever stores events queues behind one who waits to have the lock alone, so nobody waits for that for long."""
_ALONE = text("SELECT pg_advisory_xact_lock(:key)")

_LOW_BITS = (1 << 64) - 1
_SIGN = 1 << 63


async def share(connection: AsyncConnection, org_ids: Iterable[UUID]) -> None:
    """In the order of the keys, so that transactions over several orgs and adoptions cannot wait in a circle."""
    keys = sorted(map(_key, set(org_ids)))
    await connection.execute(_SHARED, {"keys": keys})


async def take_alone(connection: AsyncConnection, org_id: UUID) -> None:
    """Raises DBAPIError (55P03) when others hold it for long: let them pass, and try again."""
    await connection.execute(_PATIENCE)
    await connection.execute(_ALONE, {"key": _key(org_id)})


def _key(org_id: UUID) -> int:
    """A bigint."""
    return ((org_id.int >> 64 ^ org_id.int) & _LOW_BITS) - _SIGN
