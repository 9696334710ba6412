"""Reading for so long and no longer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

_QUERY_CANCELED: Final = "57014"
_SETTINGS: Final = text(
    """
    SELECT
        set_config('statement_timeout', CAST(:timeout_ms AS text), true), set_config('jit', 'off', true),
        set_config('plan_cache_mode', 'force_custom_plan', true)
    """
)
"""No two rules are alike: neither a plan made for another one nor machine code is worth its while."""


class TooSlowError(Exception):
    """A statement took longer than it may."""


@asynccontextmanager
async def limited(connection: AsyncConnection, timeout_ms: int) -> AsyncIterator[None]:
    """Each statement of the block may take so long, else TooSlowError. The caller's transaction goes on either way.

    The savepoint is always rolled back: the block only reads, and releasing it would keep the settings made here.
    """
    savepoint = await connection.begin_nested()
    try:
        await connection.execute(_SETTINGS, {"timeout_ms": str(timeout_ms)})
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _QUERY_CANCELED:
            raise
        raise TooSlowError from error
    finally:
        await savepoint.rollback()
