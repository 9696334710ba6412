"""The Postgres and the Redis of a test run, and a clean part of each for every test."""

import asyncio
import itertools
import os
import secrets
import shutil
import tempfile
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
from redis import Redis

from inapp.embedded import EmbeddedPostgres, EmbeddedRedis, EmbeddedServer
from store.migrate import upgrade

T = TypeVar("T")


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop and a thread of its own: the test's thread may already have a running loop."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that every user may enter, so that Postgres can keep its data there when the tests run as root.

    At the end the embedded servers that lie in it, running or not, are removed with it.
    """
    folder = Path(tempfile.mkdtemp(prefix="inapp-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        for log in list(folder.rglob("server.log")):
            _embedded_in(log.parent).remove()
        shutil.rmtree(folder)


def _embedded_in(data_dir: Path) -> EmbeddedServer:
    return EmbeddedPostgres(data_dir) if (data_dir / "password").exists() else EmbeddedRedis(data_dir)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of the server in DATABASE_URL, else of one started here."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    with temporary_folder() as folder, EmbeddedPostgres(folder / "postgres", durable=False) as server:
        yield server.url


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of the server in REDIS_URL, else of one started here."""
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    with temporary_folder() as folder, EmbeddedRedis(folder / "redis", durable=False) as server:
        yield server.url


class PostgresDatabases:
    """Fresh databases, copied from one that was migrated once."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._prefix = f"inapp_test_{secrets.token_hex(4)}"
        self._numbers = itertools.count()
        self._template = f"{self._prefix}_template"

    @contextmanager
    def migrated(self) -> Iterator["PostgresDatabases"]:
        self._execute(f"CREATE DATABASE {self._template}")
        try:
            with ThreadPoolExecutor(max_workers=1) as pool:
                pool.submit(upgrade, self._url(self._template)).result()
            yield self
        finally:
            self._drop(self._template)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        name = f"{self._prefix}_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    def _url(self, name: str) -> str:
        return urlsplit(self._server_url)._replace(path=f"/{name}").geturl()

    def _drop(self, name: str) -> None:
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        run_apart(_execute(self._server_url, statement))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class RedisDatabases:
    """The numbered databases of one server, used in turn, none twice at once; database 0 is left alone."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        with Redis.from_url(server_url) as client:
            highest = int(client.config_get("databases")["databases"]) - 1
        self._free = deque(range(1, highest + 1))

    @contextmanager
    def empty(self) -> Iterator[str]:
        number = self._free.popleft()
        url = urlsplit(self._server_url)._replace(path=f"/{number}").geturl()
        with Redis.from_url(url) as client:
            client.flushdb()
            try:
                yield url
            finally:
                client.flushdb()
                self._free.append(number)
