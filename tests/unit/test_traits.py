"""How many traits there is room for."""

from typing import Any

import pytest

from wire.traits import MOST_TRAITS, TRAITS_MAX_BYTES, Room

ALMOST_ALL = "x" * (TRAITS_MAX_BYTES - 100)


def room(**values: Any) -> Room:
    return Room(values, values)


def test_there_is_room_for_so_many_names_and_the_known_ones_may_change() -> None:
    taken = room()
    assert all(taken.take(f"t{n}", n) for n in range(MOST_TRAITS))
    assert not taken.take("new", 1)
    assert taken.take("t0", "other")
    assert not taken.take("new", 1)


def test_a_trait_without_a_value_takes_room_as_well() -> None:
    full = Room({}, [f"t{n}" for n in range(MOST_TRAITS)])
    assert not full.take("new", 1)


@pytest.mark.parametrize("name", ["big", "new"])
def test_there_is_room_for_so_many_bytes(name: str) -> None:
    held = room(big=ALMOST_ALL)
    assert not held.take(name, ALMOST_ALL + "x" * 200)
    assert held.take("small", 1)
    assert held.take("big", None)
    assert held.take("new", ALMOST_ALL)


def test_names_and_values_count_in_bytes() -> None:
    assert not room().take("\N{SNOWMAN}" * (TRAITS_MAX_BYTES // 3), "")
    assert room().take("s" * (TRAITS_MAX_BYTES // 3), "")
    assert not room().take("s", ["\N{SNOWMAN}" * (TRAITS_MAX_BYTES // 3)])


def test_what_was_too_much_from_the_start_may_become_less() -> None:
    over = room(big=ALMOST_ALL, more=ALMOST_ALL)
    assert not over.take("new", 1)
    assert not over.take("big", ALMOST_ALL + "x")
    assert over.take("big", ALMOST_ALL[1:])
