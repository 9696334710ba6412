"""`inapp import customers`: every good line is applied once, whatever happens in between."""

import asyncio
import errno
import io
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from inapp import import_commands
from inapp.cli import app
from inapp.embedded.ports import free_port
from inapp.imports import backlog, position, run
from inapp.imports.position import OvertakenError, Position
from inapp.imports.reading.check import Customer
from inapp.imports.reading.source import Source
from inapp.imports.report import Report
from store import tables
from tests.support.polling import eventually_async
from tests.support.processes import Process, Processes
from tests.support.recorder_world import World, at_work

pytestmark = pytest.mark.anyio

Import = Callable[..., Awaitable[Result]]


class CrashError(Exception):
    """As if the process had died there."""


@pytest.fixture
async def recording(world: World) -> AsyncIterator[World]:
    """With a recorder at work."""
    async with at_work(world.inbox):
        yield world


@pytest.fixture
def import_(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """Runs the command on the world's database, for its org unless another is named; a dry run for none.

    It waits for a recorder only so long: a test without one must fail, not hang.
    """
    until_applied = backlog.until_applied

    async def for_a_while(*given: Any, **named: Any) -> None:
        async with asyncio.timeout(60):
            await until_applied(*given, **named)

    monkeypatch.setattr(backlog, "until_applied", for_a_while)

    async def run(path: Path, *options: str, org: object = None, url: str | None = world.database_url) -> Result:
        org_option = [] if "--dry-run" in options else ["--org", str(org or world.org_id)]
        arguments = ["import", "customers", str(path), *org_option, *options]
        environment = {"DATABASE_URL": url, "INAPP_DATA_DIR": str(tmp_path / "data"), "COLUMNS": None}
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment, prog_name="inapp")

    return run


def ndjson(path: Path, *lines: dict[str, Any] | str) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(line + "\n" for line in texts))
    return path


def customer(number: int, **traits: Any) -> dict[str, Any]:
    return {"userId": f"c{number}", "traits": traits}


def many(path: Path, count: int, bad_every: int = 7) -> dict[str, Any]:
    """Writes so many lines, each customer in several of them; returns what the good ones make of the customers."""
    lines: list[dict[str, Any] | str] = []
    last: dict[str, Any] = {}
    for number in range(count):
        if number % bad_every == 3:
            lines.append(f'{{"userId": {number}}}')
            continue
        who = number * 7919 % (count // 2 + 1)
        lines.append(customer(who, line=number, **{f"t{number % 3}": number}))
        last[f"u:c{who}"] = last.get(f"u:c{who}", {}) | {"line": number, f"t{number % 3}": number}
    ndjson(path, *lines)
    return last


async def traits_of(world: World) -> dict[str, Any]:
    rows: list[Any] = await world.rows("SELECT subject, traits FROM customers")
    return dict(rows)


async def import_row(world: World) -> tuple[Any, ...]:
    [row] = await world.rows("SELECT accepted, rejected, next_line, finished_ms IS NOT NULL FROM customer_imports")
    return row


def said(result: Result, code: int) -> str:
    assert result.exit_code == code, (result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stdout if code in (0, 3) else result.stderr


def beside(path: Path) -> list[str]:
    """What the command left next to the file."""
    return [other.name for other in path.parent.glob(path.name + ".*")]


def report_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path.parent / (path.name + ".rejected.ndjson")).read_text().splitlines()]


async def test_a_file_is_applied_when_the_command_ends(recording: World, import_: Import, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "some.ndjson", customer(1, plan="pro", tags=["a"]), customer(2, seats=3), {"userId": "c3"})
    assert "3 lines imported, 0 rejected" in said(await import_(path), 0)
    assert await traits_of(recording) == {"u:c1": {"plan": "pro", "tags": ["a"]}, "u:c2": {"seats": 3}, "u:c3": {}}
    assert await recording.count("inbox WHERE kind <> 'project'") == 0
    assert await import_row(recording) == (3, 0, 4, True)
    assert set(await recording.rows("SELECT DISTINCT type, occurred_ms - received_ms FROM events")) == {
        ("customer.updated", 0)
    }
    assert beside(path) == []


async def test_an_import_stands_in_the_audit_log(recording: World, import_: Import, tmp_path: Path) -> None:
    said(await import_(ndjson(tmp_path / "some.ndjson", customer(1, plan="secret"), "x")), 3)
    rows = await recording.rows("SELECT actor, action, target_type, changes FROM audit_log ORDER BY created_ms, action")
    assert rows == [
        ("cli", "customer.import", "import", {"file": [None, "some.ndjson"]}),
        ("cli", "customer.import_finished", "import", {"accepted": [None, 1], "rejected": [None, 1]}),
    ]


@pytest.mark.usefixtures("recording")
async def test_bad_lines_are_reported_and_stop_no_other(world: World, import_: Import, tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_bytes(
        b'userId,seats:number,note\na,1,"x\ny"\nb,many,\n,2,\nc,3,\xe9\nd,4,' + b"z" * 40_000 + b"\ne,5,\n"
    )
    printed = said(await import_(path), 3)
    assert "2 lines imported, 4 rejected" in printed
    assert str(path) + ".rejected.ndjson" in printed
    assert await traits_of(world) == {"u:a": {"seats": 1, "note": "x\ny"}, "u:e": {"seats": 5}}
    lines = report_of(path)
    assert [(line["line"], line["pointer"], line["code"]) for line in lines] == [
        (4, "/traits/seats", "invalid_number"),
        (5, "/userId", "missing_field"),
        (6, "", "invalid_utf8"),
        (7, "/traits", "too_large"),
    ]
    assert [len(line["text"]) for line in lines] == [7, 3, 5, 2048]
    assert all(line["message"] for line in lines)
    report = path.with_name("some.csv.rejected.ndjson")
    assert report.stat().st_mode & 0o777 == 0o600
    assert not report.with_name(report.name + ".part").exists()


async def test_a_dry_run_says_what_it_saw_and_needs_no_database(import_: Import, tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("userId,seats,beta:boolean\n1,3,true\n2,4,no\n3,5,\n")
    printed = said(await import_(path, "--dry-run", url="postgresql://nobody@127.0.0.1:1/none"), 3)
    assert "2 good lines, 1 bad one. Nothing was written." in printed
    assert "invalid_boolean" in printed
    assert "line 3 /traits/beta" in printed
    assert "seats:number" in printed
    assert beside(path) == []


async def test_only_a_dry_run_goes_without_an_org(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "some.ndjson", customer(1))
    result = await asyncio.to_thread(CliRunner().invoke, app, ["import", "customers", str(path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for --org: whose customers are these?" in result.stderr


async def test_a_dry_run_writes_nothing(world: World, import_: Import, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "some.ndjson", customer(1))
    said(await import_(path, "--dry-run"), 0)
    for table in ("inbox", "customer_imports", "audit_log", "customers"):
        assert await world.count(table) == 0, table


@pytest.mark.parametrize("records", [1, 2, 500])
async def test_the_later_of_two_lines_wins_in_one_transaction_and_over_several(
    recording: World, import_: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    monkeypatch.setattr(run, "CHUNK_RECORDS", records)
    path = tmp_path / "some.ndjson"
    ndjson(path, *(customer(1, plan=f"p{n}", **{f"t{n}": n}) for n in range(5)), customer(1, t0=None), customer(2))
    said(await import_(path), 0)
    assert (await traits_of(recording))["u:c1"] == {"plan": "p4", "t1": 1, "t2": 2, "t3": 3, "t4": 4}


async def test_a_file_that_is_in_is_refused_unless_it_is_asked_for_again(
    recording: World, import_: Import, tmp_path: Path
) -> None:
    path = ndjson(tmp_path / "some.ndjson", customer(1, plan="file"), "bad")
    said(await import_(path), 3)
    renamed = path.rename(tmp_path / "other.jsonl")
    refusal = said(await import_(renamed), 1)
    assert "imported at 20" in refusal
    assert "(1 line imported, 1 rejected)" in refusal
    assert await recording.count("events") == 1
    assert beside(renamed) == []

    await recording.record(
        recording.event("customer.updated", "c1", properties={"plan": "since"}, at_ms=await now(recording))
    )
    assert (await traits_of(recording))["u:c1"] == {"plan": "since"}
    said(await import_(renamed, "--again"), 3)
    assert (await traits_of(recording))["u:c1"] == {"plan": "file"}
    assert await recording.count("events") == 3
    assert await import_row(recording) == (1, 1, 3, True)


async def test_another_file_is_another_import(recording: World, import_: Import, tmp_path: Path) -> None:
    said(await import_(ndjson(tmp_path / "some.ndjson", customer(1, plan="a"))), 0)
    said(await import_(ndjson(tmp_path / "some.ndjson", customer(1, plan="b"))), 0)
    assert (await traits_of(recording))["u:c1"] == {"plan": "b"}
    assert await recording.count("customer_imports") == 2


CRASHES = [
    (position, "begin", 1, "before"),
    (position, "begin", 1, "after"),
    (position, "move_on", 1, "before"),
    (position, "move_on", 1, "after"),
    (position, "move_on", 3, "after"),
    (backlog, "until_applied", 1, "before"),
    (backlog, "until_applied", 4, "before"),
    (Report, "finish", 1, "before"),
    (Report, "finish", 1, "after"),
    (position, "finish", 1, "before"),
    (position, "finish", 1, "after"),
]


@pytest.mark.parametrize(
    ("where", "name", "nth", "when"), CRASHES, ids=[f"{when}-{name}-{nth}" for _, name, nth, when in CRASHES]
)
async def test_an_import_that_died_goes_on_where_it_was(
    recording: World, import_: Import, tmp_path: Path, where: Any, name: str, nth: int, when: str
) -> None:
    path = tmp_path / "some.ndjson"
    last = many(path, 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "CHUNK_RECORDS", 11)
        patch.setattr(where, name, crashing(getattr(where, name), nth, when))
        died = await import_(path)
        assert isinstance(died.exception, CrashError), died.output
    going_on = await recording.count("customer_imports WHERE next_line > 1") == 1
    printed = await import_(path)
    assert ("Going on at line " in printed.stderr) is going_on
    assert "51 lines imported, 9 rejected" in said(printed, 3)
    assert await traits_of(recording) == last
    assert await recording.count("events") == 51
    assert await import_row(recording) == (51, 9, 61, True)
    assert [line["line"] for line in report_of(path)] == list(range(4, 61, 7))
    assert beside(path) == ["some.ndjson.rejected.ndjson"]


def crashing(real: Any, nth: int, when: str) -> Any:
    """`real`, which dies before or after its work when it is called for the nth time."""
    calls = 0

    def dies(moment: str) -> None:
        if (moment, calls) == (when, nth):
            raise CrashError

    def plain(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        dies("before")
        result = real(*given, **named)
        dies("after")
        return result

    async def awaited(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        dies("before")
        result = await real(*given, **named)
        dies("after")
        return result

    return awaited if asyncio.iscoroutinefunction(real) else plain


async def test_a_file_of_many_line_records_goes_on_as_well(
    recording: World, import_: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CHUNK_RECORDS", 3)
    path = tmp_path / "some.csv"
    rows = [f'c{n},"note\n{n}",{"x" if n % 4 == 2 else n}\n' for n in range(20)]
    path.write_text("userId,note,n:number\n" + "".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position, "move_on", crashing(position.move_on, 4, "after"))
        assert isinstance((await import_(path)).exception, CrashError)
    printed = await import_(path)
    assert "Going on at line 20." in printed.stderr
    assert "15 lines imported, 5 rejected" in said(printed, 3)
    good = {f"u:c{n}": {"note": f"note\n{n}", "n": n} for n in range(20) if n % 4 != 2}
    assert await traits_of(recording) == good
    assert await recording.count("events") == 15


def started(processes: Processes, world: World, path: Path) -> Process:
    environment = {"DATABASE_URL": world.database_url}
    return processes.start("import", "customers", str(path), "--org", str(world.org_id), env=environment)


async def test_an_import_that_is_killed_again_and_again_comes_to_its_end(
    recording: World, import_: Import, processes: Processes, tmp_path: Path
) -> None:
    path = tmp_path / "some.ndjson"
    last = many(path, 6_000)
    reached = 0

    async def further() -> bool:
        nonlocal reached
        lines = [line for (line,) in await recording.rows("SELECT next_line FROM customer_imports") if line > reached]
        reached = max(lines, default=reached)
        return bool(lines)

    for _ in range(3):
        process = started(processes, recording, path)
        await eventually_async(further, 60)
        process.kill()
    assert 0 < reached < 6_000
    printed = await import_(path)
    assert "Going on at line " in printed.stderr
    bad = len(range(3, 6_000, 7))
    assert f"{6_000 - bad:,} lines imported, {bad:,} rejected" in said(printed, 3)
    assert await traits_of(recording) == last
    assert await recording.count("events") == 6_000 - bad
    assert [line["line"] for line in report_of(path)] == list(range(4, 6_001, 7))


async def test_without_a_recorder_an_import_waits_says_so_and_can_be_stopped(
    world: World, import_: Import, processes: Processes, tmp_path: Path
) -> None:
    path = tmp_path / "some.ndjson"
    ndjson(path, *(customer(n) for n in range(backlog.MOST_WAITING * run.CHUNK_RECORDS + 2_000)))
    process = started(processes, world, path)

    async def full() -> bool:
        return await world.count("inbox") > backlog.MOST_WAITING

    await eventually_async(full, 60)
    await eventually_async(async_(lambda: "The recorder takes nothing: does it run?" in process.output), 30)
    assert await world.count("inbox") == backlog.MOST_WAITING + 1
    os.kill(process.popen.pid, signal.SIGINT)
    assert process.wait() == 130
    assert "Stopped at line 10,501. Run the same command again" in process.output
    async with at_work(world.inbox):
        printed = await import_(path)
    assert "Going on at line 10,501." in printed.stderr
    assert "12,000 lines imported" in said(printed, 0)
    assert await world.count("customers") == await world.count("events") == 12_000


def async_(check: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def checked() -> bool:
        return check()

    return checked


async def test_stopped_when_all_is_handed_over_it_says_that_nothing_is_lost(
    world: World, processes: Processes, tmp_path: Path
) -> None:
    process = started(processes, world, ndjson(tmp_path / "some.ndjson", customer(1)))

    async def finished() -> bool:
        return await world.count("customer_imports WHERE finished_ms IS NOT NULL") == 1

    await eventually_async(finished, 60)
    await eventually_async(
        async_(lambda: "Waiting for the recorder" in process.output or "takes nothing" in process.output), 30
    )
    os.kill(process.popen.pid, signal.SIGINT)
    assert process.wait() == 130
    assert "nothing is lost" in process.output
    assert await world.count("inbox") == 1


async def test_what_became_known_since_an_import_began_stays(
    recording: World, import_: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CHUNK_RECORDS", 1)
    path = ndjson(tmp_path / "some.ndjson", *(customer(n, plan="file", city="file") for n in (1, 2, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position, "move_on", crashing(position.move_on, 1, "before"))
        assert isinstance((await import_(path)).exception, CrashError)
    moment_ms = await now(recording)
    await recording.record(recording.identify("c1", properties={"plan": "since"}, at_ms=moment_ms))
    await recording.ask_erase("u:c2", moment_ms)
    said(await import_(path), 0)
    assert await traits_of(recording) == {
        "u:c1": {"plan": "since", "city": "file"},
        "u:c3": {"plan": "file", "city": "file"},
    }


async def now(world: World) -> int:
    [(moment_ms,)] = await world.rows("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")
    return int(moment_ms)


async def test_of_two_who_import_one_file_only_one_moves_on(world: World) -> None:
    here = await begun(world)
    await moved_on(world, here)
    with pytest.raises(OvertakenError):
        await moved_on(world, here)
    assert await world.count("inbox") == 1


async def test_who_begins_anew_overtakes_the_one_at_work_by_whatever_clock(world: World) -> None:
    here = await begun(world)
    anew = await begun(world, again=True)
    assert (anew.next_line, anew.started_ms > here.started_ms) == (1, True)
    with pytest.raises(OvertakenError):
        await moved_on(world, here)
    with pytest.raises(OvertakenError):
        async with world.engine.begin() as connection:
            await position.finish(connection, here)
    assert await world.count("inbox") == 0
    ahead_ms = anew.started_ms + 3_600_000
    await world.execute(update(tables.customer_imports).values(started_ms=ahead_ms))
    assert (await begun(world, again=True)).started_ms == ahead_ms + 1


async def begun(world: World, *, again: bool = False) -> Position:
    async with world.engine.begin() as connection:
        return await position.begin(connection, world.org_id, b"digest", "some.csv", again=again)


async def moved_on(world: World, here: Position) -> Position:
    async with world.engine.begin() as connection:
        return await position.move_on(connection, here, [Customer(1, "a", {}, b"{}")], 0, 2)


async def test_a_second_import_of_a_file_at_the_same_time_is_refused(
    world: World, import_: Import, tmp_path: Path
) -> None:
    path = ndjson(tmp_path / "some.ndjson", customer(1))
    with Report(tmp_path / "some.ndjson.rejected.ndjson"):
        assert "at work" in said(await import_(path), 1)
    assert await world.count("customer_imports") == 0


async def test_a_file_that_changes_while_it_is_read_is_refused(
    world: World, import_: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ndjson(tmp_path / "some.ndjson", customer(1))

    async def begin(*given: Any, **named: Any) -> Any:
        with path.open("a") as file:
            file.write('{"userId": "c2"}\n')
        return await real(*given, **named)

    real = position.begin
    monkeypatch.setattr(position, "begin", begin)
    assert "changed" in said(await import_(path), 1)
    assert await world.count("inbox") == 0
    assert await world.count("customer_imports WHERE finished_ms IS NOT NULL") == 0


class FailingFile(io.BufferedReader):
    """A file on a disk that fails at the nth call of one of its methods."""

    def __init__(self, file: BinaryIO, method: str, nth: int) -> None:
        super().__init__(io.FileIO(file.name))
        self._method = method
        self._left = nth

    def read(self, size: int | None = -1, /) -> bytes:
        self._call("read")
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        self._call("readline")
        return super().readline(size)

    def _call(self, method: str) -> None:
        self._left -= method == self._method
        if not self._left:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize(("method", "nth", "stopped"), [("read", 1, None), ("readline", 1, 1), ("readline", 4, 3)])
async def test_a_disk_that_fails_is_told_from_a_database_that_is_away(
    recording: World,
    import_: Import,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    nth: int,
    stopped: int | None,
) -> None:
    monkeypatch.setattr(run, "CHUNK_RECORDS", 1)
    path = ndjson(tmp_path / "some.ndjson", *(customer(n) for n in range(9)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_commands, "Source", lambda file, *rest: Source(FailingFile(file, method, nth), *rest))
        refusal = said(await import_(path), 1)
    assert "✗ The file cannot be read: Input/output error." in refusal
    assert "database" not in refusal
    assert re.findall(r"Stopped at line (\d+)", refusal) == ([] if stopped is None else [str(stopped)])
    said(await import_(path), 0)
    assert await recording.count("customers") == await recording.count("events") == 9


@pytest.mark.usefixtures("recording")
async def test_an_org_on_the_free_plan_may_import(world: World, import_: Import, tmp_path: Path) -> None:
    await world.execute(update(tables.orgs).values(plan="free"))
    said(await import_(ndjson(tmp_path / "some.ndjson", customer(1))), 0)


async def test_what_cannot_be_done_is_one_clear_line(world: World, import_: Import, tmp_path: Path) -> None:
    good = ndjson(tmp_path / "some.ndjson", customer(1))
    unnamed = ndjson(tmp_path / "some.txt", customer(1))
    (tmp_path / "empty.csv").touch()
    cases: list[tuple[Result, str]] = [
        (await import_(good, org=uuid4()), "no org"),
        (await import_(tmp_path / "none.csv"), "no file"),
        (await import_(Path("-"), "--format", "csv"), "pipe"),
        (await import_(tmp_path), "is a folder"),
        (await import_(unnamed), "--format"),
        (await import_(tmp_path / "empty.csv"), "empty"),
        (await import_(good, "--format", "csv"), "userId"),
        (await import_(good, "--report", str(good)), "another --report"),
        (await import_(good, "--report", str(tmp_path / "none" / "x")), "cannot be written"),
        (await import_(good, url=f"postgresql://nobody@127.0.0.1:{free_port()}/none"), "cannot be reached"),
    ]
    for result, expected in cases:
        assert expected in said(result, 1)
        assert len([line for line in result.stderr.splitlines() if "✗" in line]) == 1
    assert await world.count("customer_imports") == await world.count("inbox") == await world.count("audit_log") == 0
    assert beside(good) == []


@pytest.mark.usefixtures("recording")
async def test_a_report_goes_where_it_is_asked_for(import_: Import, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "some.txt", "bad")
    report = tmp_path / "bad.ndjson"
    said(await import_(path, "--format", "ndjson", "--report", str(report)), 3)
    assert json.loads(report.read_text())["code"] == "invalid_json"
