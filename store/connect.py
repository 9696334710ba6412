"""Connections to Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

OUTBOX_CHANNEL = "inapp_outbox"
INBOX_CHANNEL = "inapp_inbox"
"""Notification channels. A notification only wakes its reader, who polls anyway."""


def sqlalchemy_url(database_url: str) -> URL:
    """Any usual form (`postgres://`, `postgresql://`, with or without a driver) → the form for asyncpg."""
    url = make_url(database_url).set(drivername="postgresql+asyncpg")
    sslmode = url.query.get("sslmode")
    if sslmode is None:
        return url
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": sslmode})


def create_engine(database_url: str, *, pool_size: int = 5) -> AsyncEngine:
    return create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )


async def fetch(connection: AsyncConnection, query: str, *arguments: Any) -> list[asyncpg.Record]:
    """Rows straight from the driver, for what is asked so often that wrapping them costs more than reading them.

    Placeholders are `$1`. Raises asyncpg's errors. `connection` must have begun its transaction by a statement of its
    own if it is to see more than this one in the same snapshot.
    """
    driver: Any = (await connection.get_raw_connection()).driver_connection
    rows: list[asyncpg.Record] = await driver.fetch(query, *arguments)
    return rows


@asynccontextmanager
async def listening(database_url: str, channel: str, wake: Any) -> AsyncIterator[asyncpg.Connection]:
    """A connection of its own that calls `wake(payload)` on each notification of the channel."""
    url = sqlalchemy_url(database_url).set(drivername="postgresql")
    ssl = url.query.get("ssl")
    plain = url.difference_update_query(["ssl"]).render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain, ssl=ssl)
    try:
        await connection.add_listener(channel, lambda _connection, _pid, _channel, payload: wake(payload))
        yield connection
    finally:
        await connection.close(timeout=2)
