"""What an edge keeps in memory of answers: bounded, and never longer than it holds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from edge.bundles import Current, Org
from edge.era import Era
from edge.fetch import Fetched, answer
from edge.fetch_request import FetchRequest
from edge.listings import Listings
from edge.people import Basis
from edge.recent import Recent
from edge.remembered import LONGEST_REQUEST, Remembered
from edge.users import Entry
from engine.decide import Context, Eligible
from engine.table import OrgTable, prepare
from tests.support.publishing import message
from wire.bundle import EVERYONE, Bundle, CompiledMessage, Manifest, Settings, Version

HIGH = replace(message("High", id_=str(UUID(int=1))), priority=9)
LOW = replace(message("Low", id_=str(UUID(int=2))), priority=1)
OTHER = replace(message("Other", id_=str(UUID(int=3))), slot="other", priority=0)
FREE: dict[str, Any] = {"trait": "plan", "op": "eq", "value": "free"}


def table_of(
    *messages: CompiledMessage, before: OrgTable | None = None, rule: Any = FREE, revision: int = 1, **fields: Any
) -> OrgTable:
    manifest = Manifest(
        Version(0, 1, revision), len(messages), {EVERYONE: "", "free": ""}, **{"keys": frozenset(), **fields}
    )
    return prepare(manifest, {EVERYONE: Bundle(EVERYONE, None, messages), "free": Bundle("free", rule, ())}, before)


BEFORE = table_of(HIGH, LOW, OTHER)


def put(current: Current, table: OrgTable) -> Org:
    org = Org(UUID(int=7), table, Manifest(table.version, 0, {}, frozenset()), {}, current)
    current.put(org)
    return org


def edited(message: CompiledMessage, **changes: Any) -> CompiledMessage:
    said = {"id": message.id, "version": message.version + 1}
    return replace(message, version=message.version + 1, json=json.dumps(said).encode(), **changes)


def test_what_was_not_asked_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(100, lambda key, value: 40)
    recent.keep("a", 1)
    recent.keep("b", 2)
    assert recent.get("a") == 1
    recent.keep("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_bytes_are_counted_once_and_given_back() -> None:
    recent: Recent[str, int] = Recent(100, lambda key, value: value)
    for _ in range(10):
        recent.keep("a", 60)
    recent.keep("b", 40)
    assert (recent.get("a"), recent.get("b")) == (60, 40)
    recent.keep("a", 50)
    recent.keep("c", 10)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (50, 40, 10)
    recent.keep("b", 101)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (None, None, None)
    recent.keep("a", 100)
    assert recent.get("a") == 100


def fetched(
    until_ms: int = 10, basis: Basis | None = None, *, changes_ms: int | None = 10, client_etag: str | None = None
) -> Fetched:
    """To somebody who asks for the winners of slots, and of BEFORE may get HIGH and LOW."""
    request = FetchRequest(context=Context(resolve=True), etag=client_etag)
    fetched = answer(Listings(), put(Current(), BEFORE), Eligible(0b110, changes_ms), request, 0)
    fetched.basis, fetched.until_ms = basis, until_ms
    return fetched


def remembered(now_ms: int = 0) -> Remembered:
    return Remembered(lambda: now_ms)


def how_many(answers: Remembered) -> int:
    return sum(len(part._kept) for part in answers._parts)


def test_an_answer_is_kept_once_its_request_comes_again() -> None:
    answers, answer = remembered(), fetched()
    answers.offer(b"request", answer)
    assert answers.get(b"request") is None
    answers.offer(b"request", answer)
    assert answers.get(b"request") is answer
    assert answers.get(b"another") is None


def test_of_many_requests_that_come_once_hardly_any_is_kept() -> None:
    answers = remembered()
    for number in range(20_000):
        answers.offer(b"%d" % number, fetched())
    assert how_many(answers) < 200


def test_a_long_request_is_not_kept() -> None:
    answers = remembered()
    for request in (b"x" * LONGEST_REQUEST, b"x" * (LONGEST_REQUEST + 1)):
        for _ in range(2):
            answers.offer(request, fetched())
        assert (answers.get(request) is not None) == (len(request) <= LONGEST_REQUEST)


def test_an_answer_that_holds_for_this_once_is_not_kept() -> None:
    answers = remembered()
    for _ in range(2):
        answers.offer(b"request", fetched(until_ms=0))
    assert how_many(answers) == 0


def test_an_answer_holds_until_its_time_or_its_people_are_over() -> None:
    answer = fetched()
    assert answer.holds(9) and not answer.holds(10)
    entry = Entry(1, b"", Era())
    of_somebody = fetched(basis=Basis([entry, Entry(1, b"", Era())]))
    assert of_somebody.holds(9)
    entry.era.over = True
    assert not of_somebody.holds(9)


def test_an_answer_that_does_not_hold_is_given_again_once_it_does() -> None:
    answers, entry = remembered(), Entry(1, b"", Era())
    basis = Basis([entry])
    answer = fetched(basis=basis)
    for _ in range(2):
        answers.offer(b"request", answer)
    entry.change()
    assert answers.get(b"request") is None
    basis.rest_on([entry])
    assert answers.get(b"request") is answer


def test_another_answer_takes_the_place_of_one_that_does_not_hold() -> None:
    answers, new = Remembered(lambda: 15), fetched(until_ms=20, changes_ms=20)
    for _ in range(2):
        answers.offer(b"request", fetched())
    assert answers.get(b"request") is None
    answers.offer(b"request", new)
    assert answers.get(b"request") is new and how_many(answers) == 1


def test_an_answer_is_given_again_for_longer_once_its_time_is_over_but_not_past_its_change() -> None:
    now_ms = [0]
    answers = Remembered(lambda: now_ms[0])
    for _ in range(2):
        answers.offer(b"request", fetched(until_ms=60_000, changes_ms=100_000))
    for now_ms[0], is_there in ((0, True), (60_000, True), (99_999, True), (100_000, False)):
        assert (answers.get(b"request") is not None) == is_there


def remembered_after(tables: Sequence[OrgTable], answer: Fetched) -> dict[str, Any] | None:
    """The body of the answer when it is asked for under each of the tables, the last time."""
    answers = remembered()
    for _ in range(2):
        answers.offer(b"request", answer)
    for table in tables:
        put(answer.current, table)
        found = answers.get(b"request")
    if found is None:
        return None
    assert len(found.answer.body) == found.body_bytes
    body: dict[str, Any] = json.loads(found.answer.body)["data"]
    return body


def test_an_answer_outlives_a_table_that_says_something_else_to_the_same_people() -> None:
    before = json.loads(fetched().answer.body)["data"]
    after = table_of(HIGH, LOW, edited(OTHER), before=BEFORE, revision=1_000_000)
    assert after.index is BEFORE.index
    assert remembered_after([after], fetched()) == {**before, "revision": 1_000_000}
    body = remembered_after([table_of(edited(HIGH), LOW, OTHER, before=BEFORE, revision=2)], fetched())
    assert body is not None
    assert (body["messages"], body["revision"]) == ([{"id": HIGH.id, "version": 2}], 2)
    assert body["etag"] != before["etag"]


def test_who_has_the_same_already_is_given_it_again_once_it_was_edited() -> None:
    etag = json.loads(fetched().answer.body)["data"]["etag"]
    first, second = (fetched(client_etag=etag) for _ in range(2))
    assert json.loads(first.answer.body)["data"]["unchanged"]
    same = remembered_after([table_of(HIGH, LOW, edited(OTHER), before=BEFORE, revision=2)], first)
    assert same is not None and same["unchanged"] and same["revision"] == 2
    other = remembered_after([table_of(edited(HIGH), LOW, OTHER, before=BEFORE, revision=2)], second)
    assert other is not None and other["messages"] == [{"id": HIGH.id, "version": 2}]


OTHERWISE: list[dict[str, Any]] = [
    {"messages": (edited(HIGH, priority=0), LOW, OTHER)},
    {"messages": (HIGH, LOW)},
    {"messages": (HIGH, LOW, OTHER), "rule": {**FREE, "value": "pro"}},
    {"messages": (HIGH, LOW, OTHER), "keys": frozenset({b"another"})},
    {"messages": (HIGH, LOW, OTHER), "settings": Settings(require_identity_token=True)},
]


@pytest.mark.parametrize("after", OTHERWISE)
def test_an_answer_ends_with_a_table_that_may_answer_otherwise(after: dict[str, Any]) -> None:
    changes = {name: value for name, value in after.items() if name != "messages"}
    assert remembered_after([table_of(*after["messages"], before=BEFORE, revision=2, **changes)], fetched()) is None


@pytest.mark.parametrize("asked", ["after each", "at the end"])
def test_an_answer_follows_its_table_over_several_edits_and_no_further(asked: str) -> None:
    one = table_of(edited(HIGH), LOW, OTHER, before=BEFORE, revision=2)
    two = table_of(edited(edited(HIGH)), LOW, OTHER, before=one, revision=3)
    paused = table_of(edited(edited(HIGH)), LOW, before=two, revision=4)
    resumed = table_of(edited(edited(HIGH)), LOW, OTHER, before=paused, revision=5)

    def after(*tables: OrgTable) -> dict[str, Any] | None:
        return remembered_after(tables if asked == "after each" else tables[-1:], fetched())

    body = after(one, two)
    assert body is not None
    assert (body["messages"], body["revision"]) == ([{"id": HIGH.id, "version": 3}], 3)
    assert after(one, two, paused) is None and after(one, two, paused, resumed) is None


def test_all_answers_together_are_bounded_in_bytes() -> None:
    each_bytes = 722
    at_least = 0.7  # of what there is room for: not all parts are full
    answers = Remembered(lambda: 0, most_bytes=640_000)
    for number in range(20_000):
        for _ in range(2):
            answers.offer(b"%d" % number, fetched())
    assert at_least * 640_000 / each_bytes < how_many(answers) <= 640_000 / each_bytes
