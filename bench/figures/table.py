"""Figures beside their budgets: in the terminal and in docs/performance.md."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.markup import escape

from bench.figures.budgets import Budget
from bench.figures.reading import figure, spread
from bench.figures.results import Results
from bench.figures.rows import Row
from inapp.console import out

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "performance.md"
_BETWEEN: Final = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)


def print_results(results: Results, budgets: Mapping[str, Budget]) -> None:
    for row in results.rows:
        out.print(_line(row, budgets.get(row.name)))
        if row.note:
            out.print(f"    [dim]{escape(row.note)}[/]")
    for reason in results.left_out:
        out.print(f"[yellow]left out[/] {escape(reason)}")
    for reason in results.failed:
        out.print(f"[red]failed[/] {escape(reason)}")


def _line(row: Row, budget: Budget | None) -> str:
    mark = " " if budget is None else "[green]✓[/]" if budget.keeps(row.value) else "[red]✗[/]"
    within = f"({spread(row)})" if spread(row) else ""
    promised = f"budget {budget}" if budget else ""
    found = f"{escape(row.name):<52} {figure(row.value):>8} {row.unit:<12}"
    return f"{mark} {found} [dim]{within:<22}[/] {promised}".rstrip()


def markdown(results: Results, budgets: Mapping[str, Budget]) -> str:
    """The part of docs/performance.md that is made from results."""
    lines = [_machine_line(results), "", "| row | figure | rounds | budget | |", "|---|---:|---|---|---|"]
    lines += [_table_line(row, budgets.get(row.name)) for row in results.rows]
    notes = [f"- **{row.name}**: {row.note}." for row in results.rows if row.note]
    missing = [*results.left_out, *results.failed]
    left_out = ["", "Not measured:", "", *(f"- {reason}" for reason in missing)] if missing else []
    return "\n".join([*lines, *left_out, "", "How to read each:", "", *notes, ""])


def _machine_line(results: Results) -> str:
    on = results.machine
    tools = ", ".join(f"{name} {on[name]}" for name in ("nginx", "wrk") if on.get(name))
    return (
        f"{results.began[:10]}, commit {on['commit']}: {on['cpu']}, {on['cores']} cores, {on['system']}, "
        f"Python {on['python']}, {tools}; {on['pinning']}."
    )


def _table_line(row: Row, budget: Budget | None) -> str:
    mark = "" if budget is None else "✓" if budget.keeps(row.value) else "✗"
    return f"| {row.name} | {figure(row.value)} {row.unit} | {spread(row)} | {budget or ''} | {mark} |"


def write_document(results: Results, budgets: Mapping[str, Budget], document: Path = DOCUMENT) -> None:
    text = document.read_text()
    document.write_text(_BETWEEN.sub(lambda _: f"\n{markdown(results, budgets)}\n", text))
