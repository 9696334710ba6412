"""Everything that is promised about speed, measured on this machine: `python -m bench [PART…]`."""

import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

from bench.figures.budgets import read_budgets
from bench.figures.table import print_results
from bench.report import keep
from bench.run import PARTS, run
from bench.servers.stage import Size
from inapp.console import fail


class SizeName(StrEnum):
    tiny = "tiny"
    full = "full"


_NAMES = ", ".join(PARTS)


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"of {_NAMES}")] = None,
    size: Annotated[SizeName, typer.Option(help="`tiny` only shows that everything runs")] = SizeName.full,
    rounds: Annotated[int | None, typer.Option(min=1, help="of the rows over HTTP: 5 unless said, 1 of `tiny`")] = None,
    profile: Annotated[bool, typer.Option(help="also draw flame graphs of the edge into bench/results")] = False,
    json: Annotated[Path | None, typer.Option(help="a file for the results")] = None,
) -> None:
    """Measures the parts one after the other and shows every figure beside its budget.

    Everything takes half an hour; `counting` another one, only when it is named.

    Fetch, cold, growth, swaps and events need wrk and nginx; what is missing is said and left out.

    A full run is kept in bench/results/latest.json, with a plot; docs/performance.md explains it.

    Ends with 1 when a part fails; figures past their budgets are what `make bench-check` is for.
    """
    for unknown in set(parts or ()) - set(PARTS):
        fail(f"There is no part {unknown}. There are: {_NAMES}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = run(parts or (), cast(Size, str(size)), rounds, profile=profile)
    if json is not None:
        found.write(json)
    if not parts and size is SizeName.full and rounds is None and not found.failed:
        keep(found)
    print_results(found, {} if size is SizeName.tiny else read_budgets())
    if found.failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
