"""Waiting for the recorder to apply what was asked of it through `inbox`."""

import asyncio

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.runtime import Runtime
from store.tables import inbox

_LONGEST_WAIT_S = 2.0
_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1


async def applied(runtime: Runtime, connection: AsyncConnection, inbox_id: int) -> bool:
    """Commits the request's transaction, gives its connection back, and waits up to 2 s for the recorder.

    No connection is held meanwhile: with the recorder away, waiters would starve everybody else of them.
    """
    await connection.commit()
    await connection.close()
    try:
        async with asyncio.timeout(_LONGEST_WAIT_S):
            await _until_gone(runtime, inbox_id)
    except TimeoutError:
        return False
    return True


async def _until_gone(runtime: Runtime, inbox_id: int) -> None:
    pause_s = _FIRST_PAUSE_S
    while await _waits(runtime, inbox_id):
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


async def _waits(runtime: Runtime, inbox_id: int) -> bool:
    async with runtime.engine.connect() as connection:
        return bool((await connection.execute(select(exists().where(inbox.c.id == inbox_id)))).scalar_one())
