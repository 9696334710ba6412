"""A process loads what it needs. import-linter cannot see what a library or a function loads."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from inapp.cli import app
from typer.testing import CliRunner

CliRunner().invoke(app, sys.argv[1:])
import {module}
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
OF_POSTGRES = {"sqlalchemy", "asyncpg", "alembic", "store"}
SIBLINGS = {"admin", "compiler", "recorder", "edge"}


def loaded(module: str, *arguments: str) -> set[str]:
    """Packages after a command that has no settings, and with what it would run then."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(module=module), *arguments],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_an_edge_loads_nothing_of_postgres_nor_of_its_siblings(options: tuple[str, ...]) -> None:
    modules = loaded("edge.app, edge.workers, service.workers", "edge", *options)
    assert "edge" in modules
    assert not modules & (OF_POSTGRES | SIBLINGS - {"edge"} | {"apscheduler"})


@pytest.mark.parametrize("process", ["admin", "compiler", "recorder"])
def test_each_process_loads_none_of_its_siblings(process: str) -> None:
    modules = loaded(f"{process}.app", process)
    assert modules >= {process, "store"}
    assert not modules & (SIBLINGS - {process})
    assert process == "compiler" or "apscheduler" not in modules
