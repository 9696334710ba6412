import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.exceptions
from redis.asyncio import Connection, Redis, SSLConnection
from structlog.testing import capture_logs

from service.connect import BLOCK_MARGIN_S, blocking_redis_client, redis_client, wait_until_ready

pytestmark = pytest.mark.anyio

Connections = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(handle: Connections) -> AsyncIterator[str]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def refused_url() -> str:
    async with tcp_server(ignore) as url:
        return url


async def ignore(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_a_lost_connection_is_seen_at_once_and_never_retried_silently() -> None:
    commands: list[bytes] = []

    async def drop_at_xadd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            if b"XADD" in data:
                commands.append(data)
                break
            writer.write(b"+PONG\r\n" if b"PING" in data else b"+OK\r\n" * data.count(b"CLIENT"))
        writer.close()

    for make in (redis_client, lambda url: blocking_redis_client(url, 1000)):
        commands.clear()
        async with tcp_server(drop_at_xadd) as url, make(url) as client:
            with pytest.raises(redis.exceptions.ConnectionError):
                await client.xadd("s", {"a": "b"})
        assert len(commands) == 1


async def test_a_blocking_client_outwaits_its_block_and_a_plain_one_has_a_timeout() -> None:
    async with blocking_redis_client("redis://h:1", 10_000) as blocking, redis_client("redis://h:1") as plain:
        assert blocking.connection_pool.connection_kwargs["socket_timeout"] == 10 + BLOCK_MARGIN_S
        assert 0 < plain.connection_pool.connection_kwargs["socket_timeout"] <= 5
        assert blocking.connection_pool is not plain.connection_pool


@pytest.mark.parametrize(
    "command",
    [("GET", "ü"), (b"MGET", b"a", "", "c d"), ("SET", "k", 10**20), ("EXPIRE", "k", -1.5), ("SCRIPT LOAD", "a b")],
)
async def test_commands_are_written_as_redis_py_writes_them(command: tuple[Any, ...]) -> None:
    async with redis_client("redis://h:1") as client:
        written = made_by(client).pack_command(*command)
    assert b"".join(written) == b"".join(Connection().pack_command(*command))


async def test_a_url_may_ask_for_tls() -> None:
    async with redis_client("rediss://h:1") as client:
        assert isinstance(made_by(client), SSLConnection)


def made_by(client: Redis) -> Any:
    return client.connection_pool.make_connection()  # type: ignore[no-untyped-call]


async def test_a_dependency_that_is_down_is_one_line_a_time_until_it_is_up() -> None:
    attempts = 0

    async def attempt() -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            async with redis_client((await refused_url()).replace("://", "://:hunter2@")) as client:
                await client.ping()
        return "connected"

    with capture_logs() as lines:
        assert await wait_until_ready("redis", attempt) == "connected"
    waiting = [line for line in lines if line["event"] == "waiting_for_dependency"]
    assert [(line["name"], line["retry_in_seconds"]) for line in waiting] == [("redis", 0.25), ("redis", 0.5)]
    for line in waiting:
        assert "onnect" in line["reason"]
        assert "\n" not in line["reason"]
        assert "hunter2" not in str(line)
        assert "exc_info" not in line


async def test_waiting_ends_by_cancellation() -> None:
    async def attempt() -> None:
        tried.set()
        raise OSError("down")

    tried = asyncio.Event()
    waiting = asyncio.create_task(wait_until_ready("database", attempt))
    await tried.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("argument", [None, True, [], {}])
async def test_what_redis_cannot_be_given_is_a_redis_error(argument: object) -> None:
    async with redis_client("redis://h:1") as client:
        with pytest.raises(redis.exceptions.DataError):
            made_by(client).pack_command("SET", "key", argument)
