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
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audiences import service
from admin.audiences.schemas import Audience, AudienceDetails
from admin.orgs.service import get_org
from admin.paging import PageQuery
from inapp.console import err, out
from inapp.database import in_transaction
from inapp.options import DEFAULT_DATA_DIR, AsJson, DataDir, OrgId
from service.clock import wall_now_ms
from wire.rule_tree import to_json
from wire.rules import parse_rule

_INTERRUPTED = 130
_PAUSE_S = 0.3
_PAGE = 200
_TABLE_WIDTH = 150
"""Ids are there to be copied: a narrow terminal wraps the lines, it must not cut them."""

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
    table = Table("Id", "Name", "Kind", "Status", box=None, width=_TABLE_WIDTH)
    for audience in listed:
        table.add_row(str(audience.id), escape(audience.name), _kind(audience), _status(audience))
    out.print(table, crop=False)


@app.command()
def show(
    org_id: OrgId,
    audience_id: Annotated[UUID, typer.Argument(metavar="AUDIENCE", help="Its id, as `inapp audience list` shows it.")],
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
    out.print(_details(found), crop=False)
    if found.rule is not None:
        out.print(f"[cyan]{escape(_in_order(found))}[/]")
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


def _details(audience: AudienceDetails) -> Table:
    table = Table(show_header=False, box=None, width=_TABLE_WIDTH)
    table.add_row("Name", escape(audience.name))
    table.add_row("Id", str(audience.id))
    table.add_row("Status", _status(audience))
    table.add_row("Members", _members(audience))
    table.add_row("Kind", _kind(audience))
    for use in audience.used_by.messages:
        table.add_row("Message", f"{escape(use.name)}  [dim]{use.id}[/]")
    for use in audience.used_by.audiences:
        table.add_row("Audience", f"{escape(use.name)}  [dim]{use.id}[/]")
    return table


def _kind(audience: Audience) -> str:
    return "list" if audience.rule is None else "rule"


def _in_order(audience: Audience) -> str:
    """The rule as people write it: Postgres keeps the fields of an object in an order of its own."""
    rule = audience.rule if audience.problems else to_json(parse_rule(audience.rule))
    return json.dumps(rule, indent=2, ensure_ascii=False)


def _status(audience: Audience) -> str:
    if audience.problems:
        return "[red]cannot be used[/]"
    return "ready" if audience.status == "ready" else f"[yellow]preparing[/] {audience.progress} %"


def _members(audience: AudienceDetails) -> str:
    if audience.member_count is None:
        return "nobody can tell"
    if audience.exact:
        return f"{audience.member_count:,}"
    return f"about {audience.member_count:,}  [dim]estimated from {audience.sampled or 0:,} customers[/]"


def _fields(audience: Audience) -> object:
    return audience.model_dump(mode="json", by_alias=True)
