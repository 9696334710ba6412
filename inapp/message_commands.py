"""`inapp message`: why a message is shown to a customer, or is not."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from admin.explain import service
from admin.explain.schemas import Audience, Check, ExplainQuery, Explanation
from inapp.console import out
from inapp.database import in_transaction
from inapp.options import DEFAULT_DATA_DIR, AsJson, DataDir, OrgId
from service.clock import wall_now_ms
from service.errors import invalid_payload
from service.payload import payload_problems

_TICK, _CROSS = "[green]✓[/]", "[bold red]✗[/]"

app = typer.Typer(help="Look into messages.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Look into messages."""


@app.command()
def explain(  # noqa: PLR0913, PLR0917 - one for each option
    org_id: OrgId,
    message_id: Annotated[UUID, typer.Argument(metavar="MESSAGE", help="The message's id.")],
    customer: Annotated[str, typer.Option(help="The app's id of the user.")],
    url: Annotated[str | None, typer.Option(help="Where they are on the web.")] = None,
    screen: Annotated[str | None, typer.Option(help="Where they are in an app.")] = None,
    event: Annotated[
        str | None, typer.Option(help='What just happened: an event type, or JSON like {"type": …, "properties": …}.')
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say rule by rule why a message is or is not shown to a customer now, and what would have to change."""

    async def work(connection: Any) -> Explanation:
        query = _query({"customerId": customer, "url": url, "screen": screen, "event": event})
        return await service.explain_message(connection, org_id, message_id, query, wall_now_ms())

    explained = in_transaction(data_dir, work)
    if as_json:
        typer.echo(explained.model_dump_json(by_alias=True))
        return
    for line in _lines(explained):
        out.print(line, crop=False)


def _query(fields: Mapping[str, str | None]) -> ExplainQuery:
    """Raises ApiError with every problem."""
    try:
        return ExplainQuery.model_validate(fields)
    except ValidationError as error:
        raise invalid_payload(payload_problems(error.errors(include_url=False, include_input=False), fields)) from None


def _lines(explained: Explanation) -> Iterator[str | Table]:
    yield f"{_mark(explained.shown)} {escape(explained.summary)}"
    changes = f", changes at {explained.changes_at}" if explained.changes_at else ""
    yield f"  [dim]at {explained.at}{changes}[/]\n"
    table = Table("", "Rule", "Reason", "", box=None, pad_edge=False)
    for check in explained.checks:
        for cells in _rows(check):
            table.add_row(*cells)
    yield table
    for note in explained.notes:
        yield f"\n[yellow]{escape(note.text)}[/]"


def _rows(check: Check) -> Iterator[tuple[str, str, str, str]]:
    """The rule, then each condition of its audiences when it fails."""
    on_device = check.passes and check.details.get("onDevice")
    mark = "[yellow]?[/]" if on_device else _mark(check.passes)
    yield mark, check.rule, check.reason or ("on_device" if on_device else ""), escape(check.text)
    if not check.passes:
        for audience in check.details.get("audiences", []):
            for indent, holds, text in _conditions(Audience.model_validate(audience)):
                yield "", "", "", f"{'  ' * indent}{_mark(holds)} {escape(text)}"


def _conditions(audience: Audience, indent: int = 1) -> Iterator[tuple[int, bool, str]]:
    for condition in audience.conditions:
        yield indent, condition.holds, condition.text
        if condition.audience is not None:
            yield from _conditions(condition.audience, indent + 1)


def _mark(passes: bool) -> str:
    return _TICK if passes else _CROSS
