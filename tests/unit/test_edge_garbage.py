"""Looking for garbage stays short, whatever is made and let go."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from edge import garbage
from edge.garbage import collect_rarely, collecting
from service.supervise import cancel

pytestmark = pytest.mark.anyio

MANY = 20_000


@pytest.fixture(autouse=True)
def as_in_an_edge() -> Iterator[None]:
    before = gc.get_threshold()
    collect_rarely()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def replace_one_by_one(kept: list[list[object]]) -> None:
    """As many objects are freed as are made, so that Python's own count of the young stays where it is."""
    for place in range(len(kept)):
        kept[place] = [object()]


@asynccontextmanager
async def looking() -> AsyncIterator[None]:
    task = asyncio.create_task(collecting())
    try:
        yield
    finally:
        await cancel(task, timeout_s=5)


async def test_the_young_stay_few_where_each_takes_the_place_of_another() -> None:
    kept: list[list[object]] = [[object()] for _ in range(MANY)]
    gc.collect()
    replace_one_by_one(kept)
    assert len(gc.get_objects(generation=0)) > MANY
    async with looking():
        await asyncio.sleep(0.2)
        assert sum(len(gc.get_objects(generation=young)) for young in (0, 1)) < MANY / 10


class Node:
    itself: "Node"


def make_circles() -> None:
    for _ in range(100):
        node = Node()
        node.itself = node


def nodes() -> int:
    return len([each for each in gc.get_objects() if type(each) is Node])


async def test_circles_of_what_is_young_are_found() -> None:
    async with looking():
        make_circles()
        await asyncio.sleep(0.2)
        assert nodes() == 0


@pytest.mark.parametrize("is_time", [False, True])
async def test_circles_that_grew_old_are_found_when_everything_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, is_time: bool
) -> None:
    old = Node()
    old.itself = old
    gc.collect()
    del old
    if is_time:
        monkeypatch.setattr(garbage, "_FULL_EVERY_S", 0.05)
    async with looking():
        await asyncio.sleep(0.2)
        assert nodes() == (0 if is_time else 1)
    gc.collect()
