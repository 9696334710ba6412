from typing import Any
from uuid import UUID, uuid4

import pytest

from recorder.batches.entries import Entry, read_entry
from wire import events
from wire.events import Event, EventBatch

SPOOL = uuid4()
EVENT = Event(uuid4().bytes, uuid4(), "paid", "ada", None, 1, 2)


def fields(batch: EventBatch, **changed: bytes) -> dict[bytes, bytes]:
    sent = events.entry(batch.spool, batch.number, len(batch.events), batch.encode())
    encoded = {name.encode(): value if isinstance(value, bytes) else b"%d" % value for name, value in sent.items()}
    return encoded | {name.encode(): value for name, value in changed.items()}


def test_an_entry_names_its_batch_and_carries_its_events() -> None:
    entry = read_entry(b"events:1", b"1-0", fields(EventBatch(SPOOL, 7, (EVENT,))))
    assert entry == Entry(b"events:1", b"1-0", (SPOOL, 7), (EVENT,))


def test_an_unreadable_body_counts_as_many_lost_as_were_sent_under_one_id_for_ever() -> None:
    sent = fields(EventBatch(SPOOL, 7, (EVENT, EVENT)), body=b"\xc1")
    first, again = read_entry(b"s", b"1-0", sent), read_entry(b"s", b"2-0", sent)
    other = read_entry(b"s", b"3-0", sent | {b"number": b"8"})
    assert first.events == ()
    [lost] = first.lost
    assert (lost.org_id, lost.reason, lost.event_count, lost.body) == (None, "undecodable_batch", 2, b"\xc1")
    assert again.lost == first.lost
    assert other.lost[0].id != lost.id


@pytest.mark.parametrize("count", [b"", b"many", b"0", b"-3", b"1" * 40])
def test_a_count_that_makes_no_sense_stays_within_bounds(count: bytes) -> None:
    [lost] = read_entry(b"s", b"1-0", fields(EventBatch(SPOOL, 7, ()), body=b"", count=count)).lost
    assert 1 <= lost.event_count < 2**31


def test_an_entry_without_fields_was_deleted_and_loses_nothing() -> None:
    assert read_entry(b"s", b"1-0", {}) == Entry(b"s", b"1-0", None)


@pytest.mark.parametrize(
    "changed",
    [
        {"type": 5},
        {"user_id": 5},
        {"user_id": None},
        {"session_id": b"bytes"},
        {"occurred_ms": "now"},
        {"received_ms": 1.5},
        {"properties": "text"},
        {"context": b"\xff"},
    ],
)
def test_fields_of_the_wrong_type_make_a_batch_unreadable(changed: dict[str, Any]) -> None:
    batch = EventBatch(SPOOL, 7, (EVENT._replace(**changed),))
    entry = read_entry(b"s", b"1-0", fields(batch))
    assert (entry.events, len(entry.lost), entry.batch) == ((), 1, (SPOOL, 7))


def test_a_batch_that_nobody_can_name_is_not_marked() -> None:
    assert read_entry(b"s", b"1-0", {b"body": b""}).batch is None
    assert isinstance(read_entry(b"s", b"1-0", {b"body": b""}).lost[0].id, UUID)
