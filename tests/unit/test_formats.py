"""The bytes that one version of a process leaves for another: what stands in Redis or a spool must stay readable.

A change that makes a test here fail needs a new FORMAT, and new bytes beside these.
"""

from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self
from uuid import UUID

import pytest

from wire.bundle import Bundle, CompiledMessage, FrequencyCap, Manifest, Settings, Version
from wire.events import Event, EventBatch
from wire.features import Feature
from wire.rule_tree import Compare
from wire.userstate import Marker, Seen, UserState

FORMATS = Path(__file__).parents[1] / "vectors" / "formats"

ORG = UUID("01890000-0000-7000-8000-000000000001")
AUDIENCE = "01890000-0000-7000-8000-000000000002"
EXCLUDED = "01890000-0000-7000-8000-000000000003"
FULL, BARE = "01890000-0000-7000-8000-000000000004", "01890000-0000-7000-8000-000000000005"

# No two fields of one type have the same value, so that no two can change places unnoticed.
MESSAGES = (
    CompiledMessage(
        id=FULL,
        version=3,
        type="modal",
        slot="checkout",
        priority=80,
        created_ms=1_790_000_000_001,
        exclude_audience_ids=(EXCLUDED,),
        starts_ms=1_790_000_000_002,
        ends_ms=1_790_000_000_003,
        trigger={"eventType": "report.exported", "where": [], "delaySeconds": 5},
        cap=FrequencyCap(max_impressions=2, per_s=86_400, min_interval_s=60, stop_after=("click", "dismiss")),
        json=b'{"id":"full"}',
    ),
    CompiledMessage(BARE, 1, "banner", "banner:top", 50, 0, (), None, None, None, None, b'{"id":"bare"}'),
)
MANIFEST = Manifest(
    version=Version(generation=1, epoch=2, revision=300),
    message_count=4,
    bundles={"everyone": "ab" * 32, AUDIENCE: "cd" * 32},
    keys=frozenset({b"\x01" * 32, b"\xff" * 32}),
    features=(
        Feature("report.exported", (Compare("pages", "gte", 3), Compare("tags", "in", ("a", "b"))), 5),
        Feature("*", (), 1),
    ),
    settings=Settings(require_identity_token=True, identity_secret="s3cret"),
)
STATE = UserState(
    rev=70_000,
    traits={"plan": "free", "seats": 7, "ratio": 0.5, "tags": ["a", None, True]},
    stamps={"plan": (1_790_000_000_004, b"\x02" * 16)},
    static_audiences=frozenset({AUDIENCE, EXCLUDED}),
    seen={FULL: Seen(impressions=3, clicks=2, dismissals=1, recent_ms=(1_790_000_000_006, 1_790_000_000_005))},
    aliases=frozenset({"anon-2", "anon-1"}),
    rings={"00112233445566ff": (1_790_000_000_011, 1_790_000_000_010), "ff112233445566ff": ()},
)
BATCH = EventBatch(
    spool=UUID(int=5),
    number=12,
    events=(
        Event(
            id_bytes=UUID(int=9).bytes,
            org_id=ORG,
            type="report.exported",
            user_id="ada",
            anonymous_id="anon-1",
            occurred_ms=1_790_000_000_007,
            received_ms=1_790_000_000_008,
            properties=b'{"pages":4}',
            context=b'{"sdk":{"name":"web"}}',
            session_id="session",
        ),
        Event(UUID(int=10).bytes, ORG, "page.viewed", None, "Zoë", 1, 2),
    ),
)
MARKER = Marker(run_id="0123456789abcdef0123456789abcdef01234567", projected_ms=1_790_000_000_009)


class Encoded(Protocol):
    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, data: bytes) -> Self: ...


VALUES: dict[str, Encoded] = {
    "manifest": MANIFEST,
    "bundle": Bundle(AUDIENCE, {"trait": "plan", "op": "eq", "value": "free"}, MESSAGES),
    "bundle-everyone": Bundle("everyone", None, ()),
    "user-state": STATE,
    "event-batch": BATCH,
    "marker": MARKER,
}
EARLIER: dict[str, Encoded] = {"user-state-format-1": replace(STATE, rings={}), "user-state-format-2": STATE}
"""What is still read and no longer written."""

by_name = pytest.mark.parametrize("name", VALUES)


def written(name: str) -> bytes:
    return (FORMATS / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", VALUES | EARLIER)
def test_what_an_earlier_version_wrote_is_still_read_as_what_it_was(name: str) -> None:
    value = (VALUES | EARLIER)[name]
    assert type(value).decode(written(name)) == value


@by_name
def test_the_same_value_is_still_written_as_the_same_bytes(name: str) -> None:
    assert VALUES[name].encode() == written(name)


def test_every_file_has_its_value() -> None:
    assert {path.stem for path in FORMATS.glob("*.bin")} == set(VALUES | EARLIER)
