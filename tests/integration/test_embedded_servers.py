"""What holds for an embedded server of either kind."""

import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from inapp.embedded import DataDirInUseError, EmbeddedPostgres, EmbeddedRedis, EmbeddedServer, EmbeddedServerError
from inapp.embedded.processes import command_line
from tests.support.polling import eventually
from tests.support.processes import Process, Processes

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Kind:
    """`keep` stores something, safe from a kill, and `kept` finds it.

    `spoil` makes the next start fail, and says what its log will name. `farewell`: what a log has after an orderly end.
    """

    name: str
    program: str
    farewell: str
    made: Callable[[Path], EmbeddedServer]
    keep: Callable[[str], Awaitable[None]]
    kept: Callable[[str], Awaitable[bool]]
    spoil: Callable[[Path], str]


async def keep_a_row(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")
    await connection.close()


async def has_the_row(url: str) -> bool:
    connection = await asyncpg.connect(url)
    found: int = await connection.fetchval("SELECT n FROM kept")
    await connection.close()
    return found == 42


async def keep_a_key(url: str) -> None:
    async with Redis.from_url(url) as client:
        await client.set("kept", "42")
        assert await client.execute_command("WAITAOF", 1, 0, 5000) == [1, 0]  # type: ignore[no-untyped-call]


async def has_the_key(url: str) -> bool:
    async with Redis.from_url(url) as client:
        return bool(await client.get("kept") == b"42")


def spoil_settings(place: Path) -> str:
    with (EmbeddedPostgres(place).cluster / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    return "no_such_setting"


def spoil_data(place: Path) -> str:
    folder = place / "appendonlydir"
    folder.rename(place / "moved-away")
    folder.write_text("a file where a folder should be")
    return "appendonlydir"


KINDS = (
    Kind("postgres", "postgres", "was shut down at", EmbeddedPostgres, keep_a_row, has_the_row, spoil_settings),
    Kind("redis", "valkey-server", "bye bye", EmbeddedRedis, keep_a_key, has_the_key, spoil_data),
)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def server(kind: Kind, request: pytest.FixtureRequest) -> EmbeddedServer:
    started: EmbeddedServer = request.getfixturevalue(f"own_{kind.name}")
    return started


async def test_a_second_start_keeps_data_and_url(kind: Kind, server: EmbeddedServer) -> None:
    url = server.url
    await kind.keep(url)
    server.stop()
    with kind.made(server.data_dir) as again:
        assert again.url == url
        assert await kind.kept(url)


async def test_a_killed_server_comes_back_with_what_was_safe(kind: Kind, server: EmbeddedServer) -> None:
    await kind.keep(server.url)
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.start()
    assert await kind.kept(server.url)


async def test_a_port_taken_meanwhile_is_replaced(kind: Kind, server: EmbeddedServer) -> None:
    await kind.keep(server.url)
    port = server.port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        assert f":{port}/" not in server.start()
    assert await kind.kept(server.url)


async def test_a_second_owner_of_the_data_is_refused_and_the_first_goes_on(kind: Kind, server: EmbeddedServer) -> None:
    with pytest.raises(DataDirInUseError, match="in use by another running process"):
        kind.made(server.data_dir).start()
    with pytest.raises(DataDirInUseError):
        server.start()
    await kind.keep(server.url)
    assert await kind.kept(server.url)


async def test_a_server_left_over_by_a_killed_process_is_stopped_and_its_data_kept(
    kind: Kind, data_dir: Path, processes: Processes
) -> None:
    place = data_dir / kind.name
    owner = processes.start(
        kind.name,
        str(place),
        command=(sys.executable, "-m", "tests.support.leftover"),
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    pid, url = eventually(lambda: said_started(owner), 30)
    await kind.keep(url)
    owner.kill()
    assert kind.program in command_line(pid)
    with kind.made(place) as server:
        assert server.pid != pid
        assert command_line(pid) == ""
        logs = server.log.read_text() + server.log.with_suffix(".previous.log").read_text()
        assert kind.farewell in logs, "it was stopped in order, so nothing needs recovery"
        assert await kind.kept(server.url)


def said_started(owner: Process) -> tuple[int, str]:
    """Process id and URL."""
    said = owner.output.partition("started ")[2]
    assert said.endswith("\n"), owner.output
    pid, url = said.split()
    return int(pid), url


async def test_a_failed_start_shows_the_log_and_says_what_to_do(kind: Kind, server: EmbeddedServer) -> None:
    server.stop()
    complaint = kind.spoil(server.data_dir)
    with pytest.raises(EmbeddedServerError) as caught:
        server.start()
    assert complaint in str(caught.value)
    assert server.variable in str(caught.value)
    assert str(server.log) in str(caught.value)
