"""Bringing a database to the current schema."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from store.connect import create_engine

_LOCK = 7_403_018_001
"""Advisory lock, so that processes that start together migrate one after the other."""


def upgrade(database_url: str) -> None:
    """Applies every migration that is missing. Safe to call from several processes at once."""
    asyncio.run(upgrade_async(database_url))


async def upgrade_async(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


def _upgrade(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    made = config()
    made.attributes["connection"] = connection
    command.upgrade(made, "head")
