"""Looking for garbage stays short, whatever is made and let go."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from edge.garbage import collect_rarely, collecting

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


async def test_the_young_stay_few_where_each_takes_the_place_of_another() -> None:
    kept: list[list[object]] = [[object()] for _ in range(MANY)]
    gc.collect()
    replace_one_by_one(kept)
    assert len(gc.get_objects(generation=0)) > MANY
    looking = asyncio.create_task(collecting())
    await asyncio.sleep(0.2)
    assert sum(len(gc.get_objects(generation=young)) for young in (0, 1)) < MANY / 10
    looking.cancel()


async def test_circles_of_what_is_young_are_found() -> None:
    class Node:
        itself: "Node"

    looking = asyncio.create_task(collecting())
    for _ in range(100):
        node = Node()
        node.itself = node
    del node
    await asyncio.sleep(0.2)
    assert not [each for each in gc.get_objects() if type(each) is Node]
    looking.cancel()
