"""Messages as they stand in an answer: never others than the table has, whatever was kept of earlier tables."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.listings import Listing, Listings
from engine.decide import ANYWHERE, Context
from engine.table import OrgTable, prepare
from tests.support.publishing import message
from wire.bundle import EVERYONE, Bundle, CompiledMessage, FrequencyCap, Manifest, Version

FIRST = [replace(message(f"text {number}"), priority=9 - number, slot=f"s{number % 2}") for number in range(4)]
ALL = 0b1111


def table(messages: list[CompiledMessage], before: OrgTable | None = None) -> OrgTable:
    manifest = Manifest(Version(1, 1, 1), len(messages), {EVERYONE: ""}, frozenset())
    return prepare(manifest, {EVERYONE: Bundle(EVERYONE, None, tuple(messages))}, before)


def edited(messages: list[CompiledMessage], place: int, **changes: object) -> list[CompiledMessage]:
    one = messages[place]
    json = b'{"version":%d}' % (one.version + 1)
    changed = replace(one, version=one.version + 1, json=json, **changes)  # type: ignore[arg-type]
    return [*messages[:place], changed, *messages[place + 1 :]]


def text(listing: Listing) -> bytes:
    joined = b"".join(listing.pieces)
    assert len(joined) == listing.body_bytes
    return joined


def test_a_listing_outlives_a_table_whose_successor_changes_none_of_its_messages() -> None:
    listings, before = Listings(), table(FIRST)
    kept, touched = listings.within(before, 0b1010, ANYWHERE), listings.within(before, 0b0110, ANYWHERE)
    after = table(edited(FIRST, 1), before)
    assert after.index is before.index
    assert listings.within(after, 0b1010, ANYWHERE) is kept
    again = listings.within(after, 0b0110, ANYWHERE)
    assert listings.within(after, 0b0110, ANYWHERE) is again
    assert again is not touched and again.etag != touched.etag
    assert text(again) == b'{"version":2},' + FIRST[2].json


@pytest.mark.parametrize(
    "changes",
    [
        {"priority": 0},
        {"slot": "other"},
        {"starts_ms": 5},
        {"ends_ms": 5},
        {"trigger": {"url": {"op": "eq", "value": "x"}}},
        {"cap": FrequencyCap(1, None, None, ())},
    ],
)
def test_an_edit_that_changes_who_gets_it_makes_a_new_index(changes: dict[str, object]) -> None:
    before = table(FIRST)
    assert table(edited(FIRST, 1, **changes), before).index is not before.index


def test_one_message_more_or_less_makes_a_new_index() -> None:
    before = table(FIRST)
    for messages in (FIRST[1:], [*FIRST, message("one more")]):
        assert table(messages, before).index is not before.index


def test_conditions_are_compared_by_their_text() -> None:
    """What Python calls equal may differ: 1 is not true."""
    conditions = [[{"op": "eq", "property": "n", "value": value}] for value in (1, True)]
    one, other = (
        replace(FIRST[0], trigger={"eventType": "e", "where": where}, version=version)
        for version, where in enumerate(conditions, 1)
    )
    before = table([one])
    assert table([other], before).index is not before.index


EDITS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([{}, {}, {}, {"priority": 3}, {"slot": "s1"}, {"ends_ms": 7}])),
    max_size=80,
)
ASKED = st.lists(st.tuples(st.integers(0, ALL), st.booleans()), min_size=1, max_size=3)


@given(EDITS, ASKED, st.integers(1, 70))
def test_whatever_is_kept_is_what_the_table_says(
    edits: list[tuple[int, dict[str, object]]], asked: list[tuple[int, bool]], every: int
) -> None:
    """`every`: after so many edits somebody asks."""
    listings, messages = Listings(), FIRST
    current = table(messages)
    tables = [current]
    for number, (place, changes) in enumerate(edits):
        messages = edited(messages, place, **changes)
        current = table(messages, current)
        tables = [*tables[-2:], current]
        if number % every == 0:
            for one in (current, tables[0], current):
                for mask, resolve in asked:
                    found, fresh = (each.within(one, mask, Context(resolve=resolve)) for each in (listings, Listings()))
                    assert (text(found), found.etag) == (text(fresh), fresh.etag)
