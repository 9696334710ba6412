"""Everything that is promised about audiences: `python -m bench.audiences [--size tiny] [--only PART]`."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final, cast

import typer
from rich.table import Table

from bench import counting, evaluation, propagation
from bench.rows import Row, Size
from inapp.console import out, step


class SizeName(StrEnum):
    tiny = "tiny"
    nightly = "nightly"


class Part(StrEnum):
    evaluation = "evaluation"
    counting = "counting"
    propagation = "propagation"


PARTS: Final[dict[Part, Callable[[Size], list[Row]]]] = {
    Part.evaluation: evaluation.measure,
    Part.counting: counting.measure,
    Part.propagation: propagation.measure,
}


def main(
    size: Annotated[SizeName, typer.Option(help="`tiny` only shows that everything runs")] = SizeName.nightly,
    only: Annotated[Part | None, typer.Option(help="one part of it")] = None,
) -> None:
    """Measures on this machine: evaluation in the engine, counts in Postgres, propagation between edges."""
    rows: list[Row] = []
    for part, measure in PARTS.items():
        if only in (None, part):
            with step(f"Measuring {part}"):
                rows += measure(cast(Size, str(size)))
    out.print(table(rows))


def table(rows: list[Row]) -> Table:
    shown = Table("what", "value", "promised", "", "measured over")
    for row in rows:
        promised = "" if row.target is None else f"≤ {row.target:g} {row.unit}"
        kept = "" if row.target is None else "[green]✓[/]" if row.value <= row.target else "[red]✗[/]"
        shown.add_row(row.name, f"{row.value:.3g} {row.unit}", promised, kept, row.note)
    return shown


if __name__ == "__main__":
    typer.run(main)
