"""`inapp audience`: looking at an org's audiences, and waiting until they are ready."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audiences import service
from admin.audiences.schemas import Audience, AudienceDetails
from admin.orgs.service import get_org
from admin.paging import PageQuery
from inapp.console import err, out, print_rows
from inapp.database import in_transaction
from inapp.options import DEFAULT_DATA_DIR, AsJson, AudienceId, DataDir, OrgId
from inapp.wording import counted
from service.clock import wall_now_ms

_INTERRUPTED = 130
_PAUSE_S = 0.3
_PAGE = 200

Wait = Annotated[bool, typer.Option("--wait", help="Wait until past events are gathered.")]

app = typer.Typer(help="Look at audiences.", no_args_is_help=True)


@app.command("list")
def list_audiences(
    org_id: OrgId, wait: Wait = False, as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """List an org's audiences, and how far the past events that they ask about are gathered."""
    listed = _until_ready(lambda: _read(data_dir, org_id)) if wait else _read(data_dir, org_id)
    if as_json:
        typer.echo(json.dumps({"audiences": [_fields(audience) for audience in listed]}))
        return
    rows = [(str(audience.id), escape(audience.name), _kind(audience), _status(audience)) for audience in listed]
    print_rows(rows, ("Id", "Name", "Kind", "Status"))


@app.command()
def show(
    org_id: OrgId,
    audience_id: AudienceId,
    wait: Wait = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show an audience: its rule, how many are in it, and what uses it."""
    if wait:
        _until_ready(lambda: [each for each in _read(data_dir, org_id) if each.id == audience_id])
    found = in_transaction(
        data_dir, lambda connection: service.get_audience(connection, org_id, audience_id, wall_now_ms())
    )
    if as_json:
        typer.echo(json.dumps(_fields(found)))
        return
    print_rows(_details(found))
    if found.rule is not None:
        out.print(f"[cyan]{escape(json.dumps(found.rule, indent=2, ensure_ascii=False))}[/]")
    for problem in found.problems:
        out.print(f"[yellow]![/] {escape(problem.pointer)}: {escape(problem.message)}")


def _read(data_dir: Path, org_id: UUID) -> list[Audience]:
    """All of an org, the newest first."""

    async def work(connection: AsyncConnection) -> list[Audience]:
        await get_org(connection, org_id)
        found: list[Audience] = []
        query = PageQuery(limit=_PAGE)
        while True:
            page = await service.list_audiences(connection, org_id, query)
            found += page.items
            if page.next_cursor is None:
                return found
            query = PageQuery(limit=_PAGE, cursor=page.next_cursor)

    return in_transaction(data_dir, work)


def _until_ready(read: Callable[[], Sequence[Audience]]) -> Sequence[Audience]:
    """Returns what was read last: audiences none of which is preparing."""
    with _bars() as bars:
        tasks: dict[UUID, TaskID] = {}
        while True:
            audiences = read()
            for audience in audiences:
                if audience.status == "preparing" and audience.id not in tasks:
                    tasks[audience.id] = bars.add_task(escape(audience.name), total=100)
                if audience.id in tasks:
                    bars.update(tasks[audience.id], completed=audience.progress)
            if all(audience.status == "ready" for audience in audiences):
                return audiences
            time.sleep(_PAUSE_S)


@contextmanager
def _bars() -> Iterator[Progress]:
    """One for each audience. Ctrl-C ends the waiting and nothing else."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=err) as bars:
            yield bars
    except KeyboardInterrupt:
        err.print("No longer waiting. The recorder goes on gathering; the same command shows how far it is.")
        raise typer.Exit(_INTERRUPTED) from None


def _details(audience: AudienceDetails) -> Iterator[tuple[str, str]]:
    yield "Name", escape(audience.name)
    yield "Id", str(audience.id)
    yield "Status", _status(audience)
    yield "Members", _members(audience)
    yield "Kind", _kind(audience)
    for kind, uses in (("message", audience.used_by.messages), ("audience", audience.used_by.audiences)):
        for use in uses:
            yield "Used by", f"{kind} {escape(use.name)}  [dim]{use.id}[/]"


def _kind(audience: Audience) -> str:
    return "static" if audience.rule is None else "rule"


def _status(audience: Audience) -> str:
    if audience.problems:
        return "[red]cannot be used[/]"
    return "ready" if audience.status == "ready" else f"[yellow]preparing[/] {audience.progress} %"


def _members(audience: AudienceDetails) -> str:
    if audience.member_count is None:
        return "nobody can tell"
    if audience.exact:
        return f"{audience.member_count:,}"
    return f"about {audience.member_count:,}  [dim]estimated from {counted(audience.sampled or 0, 'customer')}[/]"


def _fields(audience: Audience) -> object:
    return audience.model_dump(mode="json", by_alias=True)
