from uuid import UUID

from recorder.rows.traits import Traits
from wire.events import IDENTIFIED, Event
from wire.traits import MOST_TRAITS


def at(received_ms: int, id_: int = 1) -> Event:
    return Event(UUID(int=id_).bytes, UUID(int=0), IDENTIFIED, "ada", None, received_ms, received_ms)


def test_a_later_write_wins_and_an_earlier_one_changes_nothing() -> None:
    traits = Traits()
    assert traits.write({"plan": "pro"}, at(2))
    assert not traits.write({"plan": "free"}, at(1))
    assert traits.write({"plan": "team"}, at(2, id_=2))
    assert traits == Traits({"plan": "team"}, {"plan": [2, UUID(int=2).hex]})


def test_a_null_takes_a_trait_away_for_good() -> None:
    traits = Traits()
    traits.write({"plan": None}, at(2))
    assert not traits.write({"plan": "free"}, at(1))
    assert traits.values == {}


def test_merging_takes_the_later_write_of_each_trait() -> None:
    mine, theirs = Traits(), Traits()
    mine.write({"a": 1, "b": 1, "c": 1}, at(2))
    theirs.write({"a": 2}, at(1))
    theirs.write({"b": 2, "c": None}, at(3))
    mine.merge(theirs)
    assert mine == Traits({"a": 1, "b": 2}, {"a": [2, UUID(int=1).hex], **theirs.stamps | {"a": mine.stamps["a"]}})


def test_what_was_written_up_to_a_moment_can_be_forgotten() -> None:
    traits = Traits()
    traits.write({"old": 1, "both": 1}, at(1))
    traits.write({"new": 2, "both": 2, "gone": None}, at(2))
    traits.keep_after(1)
    assert traits.values == {"new": 2, "both": 2}
    assert set(traits.stamps) == {"new", "both", "gone"}


def test_a_trait_there_is_no_room_for_is_dropped_and_counted() -> None:
    traits = Traits()
    assert traits.write({f"t{n}": None for n in range(MOST_TRAITS)}, at(1))
    assert not traits.write({"new": 1}, at(2))
    assert traits.write({"t0": 1, "new": 1}, at(3))
    assert (traits.values, len(traits.stamps), traits.dropped) == ({"t0": 1}, MOST_TRAITS, 2)
    traits.keep_after(2)
    assert traits.write({"new": 1}, at(4))


def test_a_merge_takes_the_earlier_traits_first_while_there_is_room() -> None:
    mine, theirs = Traits(), Traits()
    mine.write({f"t{n}": 1 for n in range(MOST_TRAITS - 1)}, at(5))
    theirs.write({"late": 1}, at(2))
    theirs.write({"early": 1}, at(1))
    mine.merge(theirs)
    assert "early" in mine.values and "late" not in mine.stamps
    assert mine.dropped == 1
