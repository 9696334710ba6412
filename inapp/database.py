"""Which database a command talks to, and running its work there."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from inapp.console import fail
from inapp.ready import running_fields
from service.errors import ApiError
from service.logs import one_line
from store.connect import create_engine

T = TypeVar("T")

_UNDEFINED_TABLE = "42P01"


def database_url(data_dir: Path) -> str:
    """DATABASE_URL, else the database of the `inapp up` or `inapp demo` that runs on the data folder."""
    return _url("DATABASE_URL", "databaseUrl", data_dir)


def redis_url(data_dir: Path) -> str:
    """REDIS_URL, else the Redis of what runs on the data folder."""
    return _url("REDIS_URL", "redisUrl", data_dir)


def in_transaction(data_dir: Path, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Runs `work` in one transaction of its own, committed when it returns."""

    async def run() -> T:
        postgres = create_engine(database_url(data_dir), pool_size=1)
        try:
            async with postgres.begin() as connection:
                return await work(connection)
        finally:
            await postgres.dispose()

    with reaching_database():
        try:
            return asyncio.run(run())
        except ApiError as error:
            fail(_in_words(error))


@contextmanager
def reaching_database() -> Iterator[None]:
    """Says in one line what keeps the block from its database."""
    try:
        yield
    except OSError as error:
        fail(f"The database cannot be reached ({error.strerror or error}). Does it run, and is DATABASE_URL right?")
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
            fail("The database has no tables yet: run `inapp migrate` on it.")
        fail(f"The database refuses: {one_line(error.orig or error)}")


def _in_words(error: ApiError) -> str:
    if error.status == HTTPStatus.NOT_FOUND:
        return "There is nothing with this id."
    problems = [f"{problem.pointer.lstrip('/')}: {problem.message}" for problem in error.details]
    return "\n  ".join(problems) or error.message


def _url(variable: str, name: str, data_dir: Path) -> str:
    url = os.environ.get(variable) or running_fields(data_dir).get(name)
    if not url:
        fail(f"{variable} is not set, and nothing runs on {data_dir}. Start `inapp up`, or set {variable}.")
    return url
