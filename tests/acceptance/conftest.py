"""Fixtures of the tests that drive our processes from outside."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.loop import Loop, Org
from tests.support.processes import Processes
from tests.support.servers import PostgresDatabases, RedisDatabases, temporary_folder


@pytest.fixture(scope="module")
def shared_loop(
    postgres_databases: PostgresDatabases, redis_databases: RedisDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loop]:
    """Started once for the tests of a module, on a database and a Redis of the module's own. Tests want `loop`."""
    with (
        temporary_folder() as data_dir,
        postgres_databases.fresh() as database_url,
        redis_databases.empty() as redis_url,
        closing(Processes(tmp_path_factory.mktemp("loop"))) as processes,
    ):
        made = Loop(processes, {"DATABASE_URL": database_url, "REDIS_URL": redis_url}, data_dir)
        made.start()
        yield made


@pytest.fixture
def loop(shared_loop: Loop) -> Iterator[Loop]:
    """The four processes, running, for tests that leave them so and keep to an org of their own."""
    assert shared_loop.all_run()
    yield shared_loop
    shared_loop.processes.show_logs()


@pytest.fixture
def org(loop: Loop) -> Org:
    return loop.create_org()
