"""`inapp audience`: what it shows of an org's audiences, and how it waits for them."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from admin.audiences.schemas import Count
from inapp import audience_commands
from inapp.cli import app
from store import tables
from tests.support.admin_api import Api
from tests.support.gathering import gather
from tests.support.polling import eventually_async
from tests.support.processes import Process, Processes

pytestmark = pytest.mark.anyio

FREE = {"trait": "plan", "op": "eq", "value": "free"}
EXPORTED = {"event": "report.exported"}
NOBODY = "01890000-0000-7000-8000-000000000000"

Audience = Callable[..., Coroutine[Any, Any, Result]]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "INAPP_DATA_DIR": str(tmp_path / "data")}


@pytest.fixture
def audience(api: Api, environment: dict[str, str]) -> Audience:
    """Runs `inapp audience COMMAND ORG …` on the API's database, for its org unless another is named."""

    async def run(command: str, *arguments: str, org: object = None, columns: int | None = None) -> Result:
        """`columns` of a terminal; None: into a pipe."""
        line = ["audience", command, str(org or api.org.org_id), *arguments]
        terminal = {"COLUMNS": str(columns), "FORCE_COLOR": "1", "NO_COLOR": "1"} if columns else {"COLUMNS": None}
        return await asyncio.to_thread(CliRunner().invoke, app, line, env={**environment, **terminal})

    return run


def done(result: Result) -> str:
    assert (result.exit_code, result.exception) == (0, None), result.output
    return result.stdout


async def made(api: Api, name: str, rule: dict[str, Any] | None) -> str:
    made: str = (await api.data("POST", "/audiences", {"name": name, "rule": rule}))["id"]
    return made


async def test_audiences_are_listed_with_how_far_they_are(api: Api, audience: Audience) -> None:
    ids = [await made(api, name, rule) for name, rule in (("Free [a]", FREE), ("Staff", None), ("Active", EXPORTED))]
    await gather(api, EXPORTED, ready=0, done=3, total=4)
    said = [("Free [a]", "rule", "ready"), ("Staff", "static", "ready"), ("Active", "rule", "preparing 75 %")]
    expected = [(id_, *cells) for id_, cells in zip(ids, said, strict=True)]
    assert {tuple(line.split("\t")) for line in done(await audience("list")).splitlines()} == set(expected)

    header, *lines = done(await audience("list", columns=80)).splitlines()
    assert header.split() == ["Id", "Name", "Kind", "Status"]
    assert {tuple(line.split()) for line in lines} == {tuple(" ".join(cells).split()) for cells in expected}


@pytest.mark.parametrize("columns", [30, 80])
async def test_on_a_narrow_terminal_names_are_wrapped_and_ids_stay_whole(
    api: Api, audience: Audience, columns: int
) -> None:
    id_ = await made(api, "those who came often " * 5, FREE)
    _, first, *more = done(await audience("list", columns=columns)).splitlines()
    assert first.split()[0] == id_
    assert "".join([first[38:], *more]).count("often") == 5 or columns < 80
    assert all(len(line) <= 80 for line in (first, *more))


async def test_a_name_of_several_lines_is_one_row_in_a_pipe(api: Api, audience: Audience) -> None:
    id_ = await made(api, "a", FREE)
    await api.execute(update(tables.audiences).values(name="a\tb\nc"))
    assert done(await audience("list")) == f"{id_}\ta b c\trule\tready\n"


async def test_more_audiences_than_a_page_are_all_listed(api: Api, audience: Audience) -> None:
    moments = {"org_id": api.org.org_id, "created_ms": 0, "updated_ms": 0}
    rows = [{"id": f"01890000-0000-7000-8000-{number:012}", "name": f"A{number}", **moments} for number in range(401)]
    await api.execute(tables.audiences.insert().values(rows))
    listed = json.loads(done(await audience("list", "--json")))["audiences"]
    assert {each["name"] for each in listed} == {f"A{number}" for number in range(401)}


async def test_as_json_it_is_what_the_api_answers(api: Api, audience: Audience) -> None:
    id_ = await made(api, "Active", {"all": [FREE, EXPORTED]})
    assert json.loads(done(await audience("list", "--json"))) == {
        "audiences": (await api.data("GET", "/audiences"))["items"]
    }
    assert json.loads(done(await audience("show", id_, "--json"))) == await api.data("GET", f"/audiences/{id_}")


async def test_one_is_shown_with_its_rule_its_members_and_its_uses(api: Api, audience: Audience) -> None:
    for number in range(3):
        await api.add_customer(f"u:{number}", {"plan": "free"})
    id_ = await made(api, "Free", FREE)
    upon, staff = await made(api, "Upon", {"audience": id_}), await made(api, "Staff", None)
    message = await api.data(
        "POST", "/in-app-messages", {"type": "banner", "content": {"body": "x"}, "audienceId": id_}
    )
    rows = [
        ("Name", "Free"), ("Id", id_), ("Status", "ready"), ("Members", "3"), ("Kind", "rule"),
        ("Used by", f"message {message['name']}  {message['id']}"), ("Used by", f"audience Upon  {upon}"),
    ]  # fmt: skip
    printed = done(await audience("show", id_)).splitlines()
    assert [tuple(line.split("\t")) for line in printed[: len(rows)]] == rows
    assert "\n".join(printed[len(rows) :]) == json.dumps(FREE, indent=2)
    on_terminal = done(await audience("show", id_, columns=80)).splitlines()[: len(rows)]
    assert [line.split() for line in on_terminal] == [" ".join(row).split() for row in rows]
    assert "Kind\tstatic" in done(await audience("show", staff)).splitlines()


async def test_an_estimate_is_said_to_be_one(api: Api, audience: Audience, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = await made(api, "Free", FREE)

    async def estimated(*_arguments: object) -> Count:
        return Count(count=1_204_000, exact=False, sampled=25_000, sample=[])

    monkeypatch.setattr("admin.audiences.member_queries.counted", estimated)
    assert "Members\tabout 1,204,000  estimated from 25,000 customers" in done(await audience("show", id_))


async def test_one_that_cannot_be_used_says_why(api: Api, audience: Audience) -> None:
    id_ = await made(api, "Free", FREE)
    await api.execute(update(tables.audiences).values(rule={"trait": "plan", "op": "near", "value": 1}))
    printed = done(await audience("show", id_))
    assert "cannot be used" in printed
    assert "/rule/op" in printed
    assert "cannot be used" in done(await audience("list"))


@pytest.mark.parametrize("command", [("list",), ("show", NOBODY)], ids=" ".join)
async def test_what_is_not_there_is_one_clear_line(audience: Audience, command: tuple[str, ...]) -> None:
    result = await audience(*command, org=NOBODY)
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["list", "show"])
async def test_waiting_ends_when_everything_is_gathered(
    api: Api, audience: Audience, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = audience_commands._read, Counter[str]()

    def counting(*arguments: Any) -> Any:
        reads["done"] += 1
        return read(*arguments)

    monkeypatch.setattr(audience_commands, "_read", counting)
    id_ = await made(api, "Active", EXPORTED)
    await made(api, "Free", FREE)
    await gather(api, EXPORTED, ready=0, done=1, total=4)
    waiting = asyncio.create_task(audience(command, *([id_] if command == "show" else []), "--wait", "--json"))
    await eventually_async(_more_than(reads, 2), 20)
    assert not waiting.done()
    await gather(api, EXPORTED, ready=1, done=4, total=4)
    result = await asyncio.wait_for(waiting, 20)
    answer = json.loads(done(result))
    shown = [answer] if command == "show" else answer["audiences"]
    assert {each["status"] for each in shown} == {"ready"}
    assert "100%" in result.stderr


async def test_one_that_is_ready_is_not_waited_for_though_others_are_not(api: Api, audience: Audience) -> None:
    await made(api, "Active", EXPORTED)
    assert "ready" in done(await asyncio.wait_for(audience("show", await made(api, "Free", FREE), "--wait"), 20))


async def test_ctrl_c_ends_the_waiting_and_says_that_the_work_goes_on(
    api: Api, environment: dict[str, str], processes: Processes
) -> None:
    await made(api, "Active", EXPORTED)
    terminal = {**environment, "FORCE_COLOR": "1"}
    process = processes.start("audience", "list", str(api.org.org_id), "--wait", env=terminal)
    await eventually_async(_shows(process, "Active"), 30)
    process.popen.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(process.wait) == 130
    assert "goes on" in process.output
    assert "Traceback" not in process.output


def _more_than(reads: Counter[str], number: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return reads["done"] > number

    return check


def _shows(process: Process, text: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return text in process.output

    return check
