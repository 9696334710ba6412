"""Which database a command talks to, and running its work there."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from inapp.console import fail
from inapp.local import running_addresses
from service.errors import ApiError
from store.connect import create_engine

T = TypeVar("T")


def database_url(data_dir: Path) -> str:
    """DATABASE_URL, else the database of the `inapp up` or `inapp demo` that runs on the data folder."""
    return _url("DATABASE_URL", "databaseUrl", data_dir)


def redis_url(data_dir: Path) -> str:
    """REDIS_URL, else the Redis of what runs on the data folder."""
    return _url("REDIS_URL", "redisUrl", data_dir)


def in_transaction(data_dir: Path, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Runs `work` in one transaction of its own, committed when it returns."""

    async def run() -> T:
        engine = create_engine(database_url(data_dir), pool_size=1)
        try:
            async with engine.begin() as connection:
                return await work(connection)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except ApiError as error:
        fail("\n  ".join([error.message, *(f"{problem.pointer}: {problem.message}" for problem in error.details)]))
    except (OSError, DBAPIError) as error:
        fail(f"The database does not answer as it should: {type(error).__name__}. Has `inapp migrate` been run on it?")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _url(variable: str, name: str, data_dir: Path) -> str:
    url = os.environ.get(variable) or running_addresses(data_dir).get(name)
    if not url:
        fail(f"{variable} is not set, and nothing runs on {data_dir}. Start `inapp up`, or set {variable}.")
    return url
