"""What people see on the terminal: results on stdout, progress and complaints on stderr."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_ID_CHARACTERS = 36
_SPACES = str.maketrans("\t\r\n", "   ")


def fail(message: str) -> NoReturn:
    """Says what is wrong and ends the command with exit code 1."""
    err.print(f"[bold red]✗[/] {escape(message)}")
    raise typer.Exit(1)


@contextmanager
def step(doing: str) -> Iterator[None]:
    """Shows a spinner while the block runs, then one line with the time that it took."""
    started = time.monotonic()
    with err.status(f"{doing} …"):
        yield
    err.print(f"[green]✓[/] {doing} [dim]{time.monotonic() - started:.1f} s[/]")


def print_rows(rows: Iterable[Sequence[str]], names: Sequence[str] = ()) -> None:
    """Rows of markup: a table on a terminal, elsewhere lines for other programs, whose cells are separated by tabs.

    `names` of the columns stand above the table; without, it has no header.
    """
    if not out.is_terminal:
        for row in rows:
            typer.echo("\t".join(Text.from_markup(cell).plain.translate(_SPACES) for cell in row))
        return
    table = Table(*map(_column, names), box=None, show_header=bool(names))
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _column(name: str) -> Column:
    """Ids are there to be copied: a narrow terminal wraps the lines, it must not cut them."""
    return Column(name, no_wrap=True, min_width=_ID_CHARACTERS) if name == "Id" else Column(name)
