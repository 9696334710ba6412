"""Keys, times and encodings that cross process boundaries."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import apikeys, codec, times
from wire.bundle import EVERYONE, Bundle, CompiledMessage, FrequencyCap, Manifest, Settings, Version, sha_of
from wire.codec import DecodeError
from wire.events import Event, EventBatch, batch_body, packed
from wire.userstate import Marker, Seen, UserState

ORG = UUID("01890000-0000-7000-8000-000000000001")

MESSAGE = CompiledMessage(
    id="01890000-0000-7000-8000-000000000002",
    version=3,
    type="modal",
    slot="modal:center",
    priority=50,
    created_ms=1_000,
    exclude_audience_ids=("x",),
    starts_ms=None,
    ends_ms=9_000,
    trigger={"eventType": "report.exported", "where": []},
    cap=FrequencyCap(3, 86_400, None, ("click",)),
    json=b'{"id":"1"}',
)
BUNDLE = Bundle(EVERYONE, None, (MESSAGE,))
MANIFEST = Manifest(Version(1, 2, 3), 1, {EVERYONE: "ab"}, frozenset({b"\1" * 32}), settings=Settings(True, "secret"))
STATE = UserState(
    rev=7,
    traits={"plan": "free"},
    stamps={"plan": (5, b"\2" * 16)},
    static_audiences=frozenset({"s"}),
    seen={MESSAGE.id: Seen(2, 1, 0, (9, 8))},
    aliases=frozenset({"anon"}),
)
EVENT = Event(UUID(int=9).bytes, ORG, "report.exported", "ada", None, 1, 2, b'{"pages":4}', b"{}", "session")
BATCH = EventBatch(UUID(int=5), 12, (EVENT,))


@given(st.uuids(), st.sampled_from(["pk", "sk"]), st.sampled_from(["prod", "staging", "dev"]))
def test_a_key_carries_its_org(org_id: UUID, kind: apikeys.Kind, env: apikeys.Env) -> None:
    text = apikeys.mint(kind, env, org_id)
    parsed = apikeys.parse(text)
    assert parsed == apikeys.ApiKey(kind, env, org_id, apikeys.digest(text))


def test_keys_satisfy_the_pattern_that_shipped_sdks_check() -> None:
    text = apikeys.mint("pk", "prod", ORG)
    assert text.startswith("pk_prod_")
    assert text.replace("_", "").isalnum()


@pytest.mark.parametrize("text", ["", "pk_prod_", "pk_live_" + "a" * 54, "pk_prod_" + "z" * 54, "pk_prod_" + "é" * 54])
def test_what_has_not_the_shape_of_a_key_is_none(text: str) -> None:
    assert apikeys.parse(text) is None


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_moments_survive_json(ms: int) -> None:
    assert times.from_iso(times.to_iso(ms)) == ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (-62_135_596_800_001, "0001-01-01T00:00:00.000Z"),
        (-(2**63), "0001-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
        (2**63 - 1, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_moment_that_no_calendar_has_is_written_as_the_nearest_one(ms: int, text: str) -> None:
    assert times.to_iso(ms) == text
    assert times.can_be_written(ms) == (times.from_iso(text) == ms)


def test_moments_have_milliseconds_and_an_offset() -> None:
    assert times.to_iso(1_767_225_600_005) == "2026-01-01T00:00:00.005Z"
    assert times.from_iso("2026-01-01T02:00:00+02:00") == 1_767_225_600_000
    with pytest.raises(ValueError, match="offset"):
        times.from_iso("2026-01-01T00:00:00")


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_are_rounded_down_to_milliseconds(moment: datetime) -> None:
    assert times.from_datetime(moment) == (moment - times.EPOCH) // times.MILLISECOND


def test_a_batch_may_be_put_together_of_parts() -> None:
    other = EVENT._replace(id_bytes=UUID(int=10).bytes, user_id=None)
    for parts in ([EVENT, other], [other]), ([EVENT] * 9, [other] * 9), ([EVENT] * 70_000,):
        whole = EventBatch(UUID(int=5), 12, tuple(event for part in parts for event in part))
        body = batch_body(whole.spool, whole.number, len(whole.events), map(packed, parts))
        assert body == codec.pack([1, whole.spool.bytes, 12, [events_fields(event) for event in whole.events]])
        assert EventBatch.decode(body) == whole


def events_fields(event: Event) -> list[object]:
    return [event.id.bytes, event.org_id.bytes, *event[2:]]


@pytest.mark.parametrize(
    ("value", "decode"),
    [
        (BUNDLE, Bundle.decode),
        (MANIFEST, Manifest.decode),
        (STATE, UserState.decode),
        (BATCH, EventBatch.decode),
        (Marker("run", 5), Marker.decode),
    ],
    ids=["bundle", "manifest", "state", "batch", "marker"],
)
class TestEncodings:
    def test_what_is_encoded_comes_back(self, value: object, decode: object) -> None:
        assert decode(value.encode()) == value  # type: ignore[operator,attr-defined]

    def test_the_same_value_gives_the_same_bytes(self, value: object, decode: object) -> None:
        assert sha_of(value.encode()) == sha_of(decode(value.encode()).encode())  # type: ignore[operator,attr-defined]

    def test_truncated_bytes_are_a_decode_error(self, value: object, decode: object) -> None:
        encoded: bytes = value.encode()  # type: ignore[attr-defined]
        for length in range(len(encoded)):
            with pytest.raises(DecodeError):
                decode(encoded[:length])  # type: ignore[operator]

    def test_other_values_are_a_decode_error(self, value: object, decode: object) -> None:
        others: tuple[object, ...] = (None, 1, "text", [], {}, [99, 1, 2], {"format": 99}, [[[[]]]])
        for other in others:
            with pytest.raises(DecodeError):
                decode(codec.pack(other))  # type: ignore[operator]


@pytest.mark.parametrize("id_", [b"", b"\1" * 15, b"\1" * 17, "1" * 16, None])
def test_an_event_without_an_id_of_16_bytes_is_a_decode_error(id_: Any) -> None:
    batch = EventBatch(UUID(int=1), 2, (EVENT._replace(id_bytes=id_),))
    with pytest.raises(DecodeError):
        EventBatch.decode(batch.encode())


def test_a_secret_never_shows_in_a_manifest_that_is_printed() -> None:
    assert "secret'" not in repr(MANIFEST)


def test_versions_order_by_generation_then_epoch_then_revision() -> None:
    assert Version(1, 2, 9) < Version(1, 3, 1) < Version(2, 0, 0)
    assert Version.parse(str(Version(1, 2, 3))) == Version(1, 2, 3)
    with pytest.raises(DecodeError):
        Version.parse("1.2")
