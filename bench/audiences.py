"""Everything that is promised about audiences: `python -m bench.audiences [--size tiny] [--only PART]`."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final, cast

import typer

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
    """Measures on this machine: evaluation in the engine, counts in Postgres, propagation between edges.

    Ends with 1 when a promise is not kept, unless the size is tiny.
    """
    rows: list[Row] = []
    for part, measure in PARTS.items():
        if only in (None, part):
            with step(f"Measuring {part}"):
                rows += measure(cast(Size, str(size)))
    for row in rows:
        out.print(told(row))
    if size is SizeName.nightly and any(row.target is not None and row.value > row.target for row in rows):
        raise typer.Exit(1)


def told(row: Row) -> str:
    """The figure beside what was promised, and below it how it was measured."""
    mark = " " if row.target is None else "[green]✓[/]" if row.value <= row.target else "[red]✗[/]"
    promised = "" if row.target is None else f"[dim]promised: at most {row.target:g} {row.unit}[/]"
    figure = f"{mark} {row.name:<48} {row.value:>8.3g} {row.unit:<8} {promised}"
    return f"{figure}\n    [dim]{row.note}[/]" if row.note else figure


if __name__ == "__main__":
    typer.run(main)
