"""Fixtures of the tests that drive our processes from outside."""

from pathlib import Path

import pytest

from tests.support.loop import Loop
from tests.support.processes import Processes


@pytest.fixture
def loop(database_url: str, redis_db: str, data_dir: Path, processes: Processes) -> Loop:
    """The four processes, running on a database and a Redis of the test's own."""
    made = Loop(processes, {"DATABASE_URL": database_url, "REDIS_URL": redis_db}, data_dir)
    made.start()
    return made
