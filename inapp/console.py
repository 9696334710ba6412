"""What people see on the terminal: results on stdout, progress and complaints on stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


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
