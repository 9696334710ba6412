"""Fails when a figure is past its budget: `python -m bench.check`."""

import sys

from rich.markup import escape

from bench.figures.budgets import complaints, read_budgets
from bench.figures.results import LATEST, read_results
from bench.report import keep
from bench.run import run
from inapp.console import err, out


def main() -> int:
    """Judges the latest full run; makes one when there is none."""
    if not LATEST.exists():
        err.print("There is no full run in bench/results yet. Making one.")
        keep(run())
    found, budgets = read_results(), read_budgets()
    broken = complaints(found.rows, budgets)
    measured = {row.name for row in found.rows}
    judged = [name for name, budget in budgets.items() if not budget.apart or name in measured]
    for line in broken:
        out.print(f"[red]✗[/] {escape(line)}")
    for reason in (*found.left_out, *found.failed):
        out.print(f"[yellow]not measured[/] {escape(reason)}")
    when = f"on {found.began[:10]} at {found.machine['commit']}"
    out.print(f"{len(judged) - len(broken)} of {len(judged)} budgets kept {escape(when)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
