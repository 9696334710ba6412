from uuid import UUID

from recorder.traits import Traits
from wire.events import IDENTIFIED, Event


def at(received_ms: int, id_: int = 1) -> Event:
    return Event(UUID(int=id_), UUID(int=0), IDENTIFIED, "ada", None, received_ms, received_ms)


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
