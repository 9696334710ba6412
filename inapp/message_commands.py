"""`inapp message`: why a message is shown to a customer, or is not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from admin.explain import service
from admin.explain.conditions import what_must_change
from admin.explain.schemas import AudiencesDetails, Check, ExplainedAudience, ExplainQuery, Explanation
from inapp.console import out
from inapp.database import in_transaction
from inapp.options import DEFAULT_DATA_DIR, AsJson, DataDir, MessageId, OrgId
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
    message_id: MessageId,
    customer: Annotated[str | None, typer.Option(help="The app's id of the user.")] = None,
    anonymous: Annotated[
        str | None, typer.Option(help="The visitor's anonymous id; beside --customer, both are one person.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where they are on the web.")] = None,
    screen: Annotated[str | None, typer.Option(help="Where they are in an app.")] = None,
    event: Annotated[
        str | None, typer.Option(help='What just happened: an event type, or JSON like {"type": …, "properties": …}.')
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say rule by rule why a message is or is not shown to a customer now, and what would have to change."""
    if not (customer or anonymous):
        raise typer.BadParameter("give --customer, --anonymous or both.", param_hint="--customer")
    given = {"customerId": customer, "anonymousId": anonymous, "url": url, "screen": screen, "event": event}

    async def work(connection: Any) -> Explanation:
        query = _query(given)
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
    table = Table("", "Check", "Reason", "", box=None, pad_edge=False)
    told = next((check for check in explained.checks if not check.passes), None)
    for check in explained.checks:
        for cells in _rows(check, told=check is told):
            table.add_row(*cells)
    yield table
    for note in explained.notes:
        yield f"\n[yellow]{escape(note.text)}[/]"


def _rows(check: Check, *, told: bool) -> Iterator[tuple[str, str, str, RenderableType]]:
    """The check, then each condition of its audiences when it fails. `told`: the summary has all of its text."""
    on_device = check.passes and check.on_device
    mark = "[yellow]?[/]" if on_device else _mark(check.passes)
    audiences = _failing_audiences(check)
    trees = [tree for tree in map(_tree, audiences) if tree]
    text = _first_sentence(check, audiences) if told or len(trees) == len(audiences) else check.text
    yield mark, check.check, check.reason or ("on_device" if on_device else ""), escape(text)
    for tree in trees:
        for line in tree:
            yield "", "", "", line


def _failing_audiences(check: Check) -> list[ExplainedAudience]:
    return check.details.audiences if isinstance(check.details, AudiencesDetails) and not check.passes else []


def _tree(audience: ExplainedAudience) -> list[RenderableType]:
    """Nothing for a single condition: the check's text is about that one."""
    lines = list(_conditions(audience))
    return [_line(*line) for line in lines] if len(lines) > 1 else []


def _conditions(audience: ExplainedAudience, indent: int = 1) -> Iterator[tuple[int, bool, str]]:
    for condition in audience.conditions:
        yield indent, condition.holds, condition.text
        if condition.audience is not None:
            yield from _conditions(condition.audience, indent + 1)


def _line(indent: int, holds: bool, text: str) -> RenderableType:
    """What does not fit in one line goes on beneath the text."""
    line = Table.grid(padding=(0, 1))
    line.add_row(_mark(holds), escape(text))
    return Padding(line, (0, 0, 0, 2 * indent))


def _first_sentence(check: Check, audiences: Sequence[ExplainedAudience]) -> str:
    """Without what would have to change in its audiences."""
    changes = (text for audience in audiences for text in what_must_change(audience))
    first = next(changes, None)
    return check.text if first is None else check.text.partition(first)[0].rstrip()


def _mark(passes: bool) -> str:
    return _TICK if passes else _CROSS
