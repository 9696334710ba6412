"""A fetch as pure functions: what is read from a request, and what is answered."""

import json
from typing import Any
from uuid import UUID

import pytest

from edge.bundles import Current, Org
from edge.fetch import answer
from edge.fetch_request import FetchRequest, read_query, read_request
from edge.listings import Listings
from engine.decide import Context, Occasion, Person, eligible
from engine.table import OrgTable, prepare
from service.errors import ApiError
from tests.support.publishing import message
from wire import times
from wire.bundle import Bundle, CompiledMessage, Manifest, Version

NOW_MS = 1_767_225_600_000
STRANGER = Person(0, {})


def table(*messages: CompiledMessage) -> OrgTable:
    bundle = Bundle("everyone", None, messages)
    return prepare(Manifest(Version(0, 1, 42), len(messages), {"everyone": "sha"}, frozenset()), {"everyone": bundle})


def data_of(*messages: CompiledMessage, request: FetchRequest | None = None, **options: bool) -> dict[str, Any]:
    org = table(*messages)
    may = eligible(org, STRANGER, NOW_MS)
    manifest = Manifest(org.version, 0, {}, frozenset())
    served = Org(UUID(int=7), org, manifest, {}, Current())
    fetched = answer(Listings(), served, may, request or FetchRequest(), NOW_MS, **options)
    assert len(fetched.after(b"")) == fetched.body_bytes and fetched.after(b"head") == b"head" + fetched.answer.body
    body = json.loads(fetched.answer.body)
    assert body.pop("success") is True
    data: dict[str, Any] = body.pop("data")
    assert body == {}
    return data


def problems(body: object) -> list[tuple[str, str]]:
    with pytest.raises(ApiError) as caught:
        read_request(body)
    assert (caught.value.status, caught.value.code) == (422, "invalid_payload")
    return [(problem.pointer, problem.code) for problem in caught.value.details]


def test_the_answer_joins_the_messages_as_they_were_compiled() -> None:
    first, second = message(priority=2), message("Zwei ☃", priority=1)
    data = data_of(first, second)
    assert data["messages"] == [json.loads(first.json), json.loads(second.json)]
    assert (data["revision"], data["validUntil"]) == (42, times.to_iso(NOW_MS + 15 * 60 * 1000))
    assert set(data) == {"messages", "revision", "validUntil", "etag"}


def test_no_message_is_an_empty_list() -> None:
    assert data_of()["messages"] == []


def test_the_answer_is_valid_until_something_changes() -> None:
    assert data_of(message(ends_ms=NOW_MS + 1000))["validUntil"] == times.to_iso(NOW_MS + 1000)


def test_a_degraded_answer_says_so_and_holds_only_briefly() -> None:
    data = data_of(message(), degraded=True)
    assert data["degraded"] is True
    assert data["validUntil"] == times.to_iso(NOW_MS + 10_000)


def test_the_etag_names_the_messages_their_versions_and_their_order() -> None:
    one, other = (message(id_=str(UUID(int=number)), priority=number) for number in (1, 2))
    swapped = message(id_=one.id, priority=9)
    lists = [(), (one,), (other,), (one, other), (swapped, other), (message(id_=one.id, version=2),)]
    etags = [data_of(*messages)["etag"] for messages in lists]
    assert len(set(etags)) == len(lists)
    assert data_of(one)["etag"] == data_of(one)["etag"]


def test_an_etag_that_holds_spares_the_messages() -> None:
    one = message(ends_ms=NOW_MS + 5)
    etag = data_of(one)["etag"]
    assert data_of(one, request=FetchRequest(etag=etag)) == {
        "unchanged": True,
        "revision": 42,
        "validUntil": times.to_iso(NOW_MS + 5),
        "etag": etag,
    }
    assert "messages" in data_of(message(), request=FetchRequest(etag=etag))


def test_a_whole_body_is_read() -> None:
    body = {
        "apiKey": "pk", "userId": "ada", "anonymousId": "x", "identityToken": "t", "traits": {"plan": "gold"},
        "url": "https://a.example/", "screen": "Home", "event": {"type": "a.b", "properties": {"n": 1}},
        "resolve": True, "etag": "e", "fromTheFuture": [1],
    }  # fmt: skip
    context = Context("https://a.example/", "Home", Occasion("a.b", {"n": 1}), True)
    assert read_request(body) == FetchRequest("ada", "x", "t", {"plan": "gold"}, context, "e")


def test_null_and_empty_mean_absent() -> None:
    names = ("userId", "anonymousId", "identityToken", "traits", "url", "screen", "event", "resolve", "etag")
    assert read_request(dict.fromkeys(names)) == read_request({}) == FetchRequest()
    assert read_request({"userId": "", "url": ""}) == FetchRequest()


@pytest.mark.parametrize("body", [None, [], "text", 1, True])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    assert problems(body) == [("", "wrong_type")]


def test_every_problem_comes_at_once() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    body = {
        "userId": 7, "anonymousId": "x" * 257, "identityToken": {}, "traits": deep, "url": "u" * 8193,
        "screen": "a\0", "event": {"type": "9", "properties": [1]}, "resolve": "yes", "etag": "\ud800",
    }  # fmt: skip
    assert problems(body) == [
        ("/userId", "wrong_type"), ("/anonymousId", "too_long"), ("/identityToken", "wrong_type"),
        ("/traits", "too_deep"), ("/url", "too_long"), ("/screen", "nul_character"),
        ("/event/type", "invalid_event_type"), ("/event/properties", "wrong_type"), ("/resolve", "wrong_type"),
        ("/etag", "lone_surrogate"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("traits", "code"),
    [
        ([], "wrong_type"),
        ({"n": 2**60}, "integer_out_of_range"),
        ({"t": "\0"}, "nul_character"),
        ({"t": "x" * 33_000}, "too_large"),
    ],
)
def test_traits_that_cannot_be_compared_everywhere_are_refused(traits: object, code: str) -> None:
    assert problems({"traits": traits}) == [("/traits", code)]


@pytest.mark.parametrize("event", [1, "a.b", [], {}, {"type": None}, {"type": "a b"}])
def test_an_event_without_a_sound_type_is_refused(event: object) -> None:
    assert problems({"event": event})


def test_a_query_says_the_same() -> None:
    query = {"userId": "ada", "traits": '{"plan":"gold"}', "event": "a.b", "resolve": "true", "etag": "e"}
    context = Context(event=Occasion("a.b"), resolve=True)
    assert read_query(query) == FetchRequest("ada", None, None, {"plan": "gold"}, context, "e")
    full = read_query({"event": '{"type":"a.b","properties":{"n":1}}', "resolve": "0", "traits": ""})
    assert full.context == Context(event=Occasion("a.b", {"n": 1}))


def test_every_problem_of_a_query_comes_at_once() -> None:
    with pytest.raises(ApiError) as caught:
        read_query({"traits": "{", "event": "{not json", "resolve": "perhaps", "userId": "x" * 300})
    found = {(problem.pointer, problem.code) for problem in caught.value.details}
    assert found == {
        ("/query/traits", "invalid_json"),
        ("/query/event", "invalid_json"),
        ("/query/resolve", "wrong_type"),
        ("/query/userId", "too_long"),
    }
