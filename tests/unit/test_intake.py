"""Events as clients send them: what is taken, what is refused, and which id each gets."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from wire.events import Event
from wire.intake import FUTURE_TOLERANCE_MS, Source, read_events

ORG = UUID("01890000-0000-7000-8000-000000000001")
OTHER_ORG = UUID("01890000-0000-7000-8000-000000000002")
RECEIVED_MS = 1_800_000_000_000
MESSAGE_ID = "01890000-0000-7000-8000-0000000000aa"


def source(org_id: UUID = ORG) -> Source:
    counter = iter(range(1_000))
    return Source(org_id, RECEIVED_MS, lambda: next(counter).to_bytes(16))


def raw(**fields: Any) -> dict[str, Any]:
    return {"eventType": "report.exported", "userId": "ada", **fields}


def taken(*raws: Mapping[str, Any], at: Source | None = None) -> list[Event]:
    events, rejected = read_events(raws, at or source())
    assert rejected == []
    return events


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("text", "invalid_event"),
        ({"userId": "ada"}, "event_type_missing"),
        (raw(eventType="1abc"), "invalid_event_type"),
        (raw(eventType="a" * 129), "invalid_event_type"),
        (raw(eventType="a\n"), "invalid_event_type"),
        (raw(eventType="customer.updated"), "event_type_reserved"),
        ({"eventType": "a"}, "subject_missing"),
        (raw(userId=""), "subject_missing"),
        (raw(userId=5), "invalid_field"),
        (raw(userId="a" * 257), "id_too_long"),
        (raw(properties={"a": "\0"}), "nul_character"),
        (raw(properties={"\0": 1}), "nul_character"),
        (raw(userId="\0"), "nul_character"),
        (raw(properties={"a": "\ud800"}), "lone_surrogate"),
        (raw(properties={"a": nested(100)}), "too_deep"),
        (raw(properties={"a": 2**53 + 1}), "integer_out_of_range"),
        (raw(properties={"a": float("nan")}), "number_not_finite"),
        (raw(properties=[]), "invalid_field"),
        (raw(properties={"a": "x" * 33_000}), "too_large"),
        (raw(context="x"), "invalid_field"),
        (raw(timestamp="yesterday"), "invalid_timestamp"),
        (raw(timestamp="2026-01-01T00:00:00"), "invalid_timestamp"),
        (raw(timestamp=True), "invalid_timestamp"),
        (raw(timestamp=-1), "invalid_timestamp"),
        (raw(timestamp=RECEIVED_MS + FUTURE_TOLERANCE_MS + 1), "timestamp_in_future"),
        (raw(id=""), "invalid_id"),
        (raw(id="x" * 65), "invalid_id"),
        (raw(eventType="in_app.impression"), "message_id_missing"),
        (raw(eventType="in_app.clicked", properties={"messageId": "nope"}), "message_id_missing"),
    ],
)
def test_a_bad_event_is_listed_and_holds_nobody_up(bad: Any, code: str) -> None:
    events, rejected = read_events([raw(), bad, raw()], source())
    assert [(one.index, one.code) for one in rejected] == [(1, code)]
    assert rejected[0].message
    assert len(events) == 2


def test_unknown_fields_and_consent_lists_are_taken() -> None:
    (event,) = taken(raw(projectId="p", module="custom", consent=["analytics"], future={"a": 1}))
    assert event.type == "report.exported"


def test_an_unidentified_native_client_is_known_by_its_session() -> None:
    (event,) = taken({"eventType": "session.started", "sessionId": "s-1"})
    assert (event.subject, event.session_id) == ("a:s-1", "s-1")


def test_both_ids_make_it_the_users_event_and_only_identify_claims() -> None:
    plain, identify = taken(raw(anonymousId="x"), raw(eventType="user.identified", anonymousId="x"))
    assert (plain.subject, plain.claims) == ("u:ada", None)
    assert (identify.subject, identify.claims) == ("u:ada", "x")


def test_a_clock_that_runs_ahead_is_clamped_to_the_moment_of_receipt() -> None:
    ahead, behind, none = taken(raw(timestamp=RECEIVED_MS + 5_000), raw(timestamp=RECEIVED_MS - 5_000), raw())
    assert (ahead.occurred_ms, behind.occurred_ms, none.occurred_ms) == (RECEIVED_MS, RECEIVED_MS - 5_000, RECEIVED_MS)


def test_a_client_id_is_scoped_to_its_org_and_subject() -> None:
    same, again, other_user = taken(raw(id="1"), raw(id="1", properties={"a": 1}), raw(id="1", userId="bob"))
    (other_org,) = taken(raw(id="1"), at=source(OTHER_ORG))
    (anonymous,) = taken({"eventType": "a", "anonymousId": "ada", "id": "1"})
    assert same.id == again.id
    assert len({same.id, other_user.id, other_org.id, anonymous.id}) == 4


def test_without_an_id_a_blind_resend_is_the_same_event_and_twins_in_one_request_are_two() -> None:
    when = "2026-01-02T03:04:05.678Z"
    batch = [raw(timestamp=when), raw(timestamp=when), raw(timestamp=when, properties={"pages": 2})]
    first, second = taken(*batch), taken(*batch)
    assert [event.id for event in first] == [event.id for event in second]
    assert len({event.id for event in first}) == 3


def test_ids_are_the_same_in_every_version() -> None:
    """Else what was sent before an upgrade, and is sent again after it, counts twice."""
    when = "2026-01-02T03:04:05.678Z"
    mixed: dict[str, Any] = {"b": 1, "a": [1.5, None, True, "ü", {"z": {}, "y": 2**53}]}
    deep: dict[str, Any] = {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": []}}}}}}}}
    identified = {
        "393ec46d-79d9-8c9a-9edf-b5cb63f8360d": raw(id="1"),
        "58f5cfe5-d478-84d5-8f38-ba367bbf5e10": raw(id="ü-1", anonymousId="x"),
        "58054ed3-40ba-847c-affa-62c3d3882dc1": {"eventType": "a", "anonymousId": "Zoë", "id": "1"},
        "b8f984f5-08ba-8738-becb-f72b50afc31b": {"eventType": "a", "sessionId": "s-1", "timestamp": when},
        "09185bc1-bd9b-84fc-9a0a-f5b671fdb902": raw(timestamp=when),
        "8efc2336-15a5-8446-aa85-499fa5a10b80": raw(timestamp=when),
        "f0159108-1968-8509-867e-e120974b8bdf": raw(timestamp=when, identityToken="t", apiKey="k"),
        "e7f8ec8a-6f73-81d7-8222-a123c227de4e": raw(
            timestamp=1_767_225_600_000, properties=mixed, context={"os": "ios"}, consent=["b", "a"], unknown=None
        ),
        "db2655bf-ca74-81f7-b241-0f3bfc2202b8": raw(timestamp=when, properties=deep),
        "c221c5c1-4c45-8ba2-aa8a-69ee24fa1efe": raw(timestamp=when, properties={"text": "\\u0000 {{{{{{{{{{{["}),
        "374708ff-f771-8dd5-979e-c875d56cd228": raw(),
    }
    assert [str(event.id) for event in taken(*identified.values())] == list(identified)


def test_the_same_content_in_two_orgs_is_two_events() -> None:
    event = raw(timestamp="2026-01-02T03:04:05.678Z")
    assert taken(event)[0].id != taken(event, at=source(OTHER_ORG))[0].id


def test_a_new_identity_token_does_not_make_it_another_event() -> None:
    when = "2026-01-02T03:04:05.678Z"
    one, other = taken(raw(timestamp=when, identityToken="a")), taken(raw(timestamp=when, identityToken="b"))
    assert one[0].id == other[0].id


def test_without_id_and_timestamp_every_sending_is_an_event_of_its_own() -> None:
    one, other = taken(raw(), raw())
    assert one.id != other.id


def test_an_unproven_user_is_refused_and_an_anonymous_one_is_not_asked() -> None:
    asking = Source(
        ORG, RECEIVED_MS, lambda: b"", lambda user_id, token: None if token == "ok" else "identity_token_invalid"
    )
    events, rejected = read_events(
        [raw(id="1"), raw(id="2", identityToken="ok"), raw(id="3", userId=None, anonymousId="x")], asking
    )
    assert [event.subject for event in events] == ["u:ada", "a:x"]
    assert [(one.index, one.code) for one in rejected] == [(0, "identity_token_invalid")]


def test_each_event_is_of_whom_it_names_whoever_the_others_of_its_request_are_of() -> None:
    when = "2026-01-02T03:04:05.678Z"
    named = [
        {"userId": "ada"},
        {"userId": "ada", "anonymousId": "x"},
        {"anonymousId": "x"},
        {"anonymousId": "x", "sessionId": "s-1"},
        {"sessionId": "s-1"},
        {"sessionId": "s-2"},
        {"userId": "bob", "sessionId": "s-2"},
    ]
    raws = [{"eventType": "a", "timestamp": when, **names} for names in named]
    for order in (raws, raws[::-1], [each for each in raws for _ in range(2)]):
        alone = [taken(each)[0] for each in order]
        together = taken(*order)
        assert [each[2:] for each in together] == [each[2:] for each in alone]
        assert {each.id for each in together} >= {each.id for each in alone}


def test_a_token_is_looked_at_once_for_events_in_a_row_and_again_for_every_other_name_or_token() -> None:
    asked: list[tuple[str, object]] = []

    def verify(user_id: str, token: object) -> str | None:
        asked.append((user_id, token))
        return None if token == f"of {user_id}" else "identity_token_invalid"

    def sent(user_id: str, token: str | None) -> dict[str, Any]:
        return raw(userId=user_id, identityToken=token)

    ada, bob = sent("ada", "of ada"), sent("bob", "of bob")
    raws = [ada, ada, sent("ada", "of bob"), sent("ada", None), ada, ada, sent("bob", "of ada"), bob, bob, ada]
    events, rejected = read_events(raws, Source(ORG, RECEIVED_MS, lambda: b"", verify))
    assert [one.index for one in rejected] == [2, 3, 6]
    assert [event.user_id for event in events] == ["ada", "ada", "ada", "ada", "bob", "bob", "ada"]
    names = ["ada", "ada", "ada", "bob", "bob", "ada"]
    tokens = ["of ada", "of bob", None, "of ada", "of bob", "of ada"]
    assert asked == list(zip(names, tokens, strict=True))


def test_a_message_event_with_its_message_is_taken() -> None:
    (event,) = taken(raw(eventType="in_app.impression", properties={"messageId": MESSAGE_ID}))
    assert event.properties == b'{"messageId":"%s"}' % MESSAGE_ID.encode()
