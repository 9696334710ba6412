"""What is known of people: found out once, and found out anew as soon as anything could have changed it."""

import gc
import weakref
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import pytest
from fakeredis import FakeAsyncRedis

from edge.listings import Listings
from edge.overlay import Overlay
from edge.people import Known, People, Who
from edge.redis_server import RedisServer
from edge.users import Users
from engine.decide import Context
from engine.features import features_of
from engine.steps import finish
from engine.table import OrgTable, prepare
from tests.support.publishing import ONCE, happened, message
from tests.support.spooling import event
from wire import keys
from wire.bundle import EVERYONE, Bundle, CompiledMessage, Manifest, Version
from wire.events import IDENTIFIED, IMPRESSION
from wire.rules import parse_rule
from wire.userstate import Marker, Seen, UserState

pytestmark = pytest.mark.anyio

ORG = UUID(int=7)
NOW_MS: Final = 1_800_000_000_000
ADA = Who(ORG, "ada", None)
ADA_HERE = Who(ORG, "ada", "x")
FREE = {"trait": "plan", "op": "eq", "value": "free"}


def table_of(rule: dict[str, Any] = FREE, *everyone: CompiledMessage, before: OrgTable | None = None) -> OrgTable:
    features = tuple(features_of([parse_rule(rule)]).values())
    bundles = {
        "audience": Bundle("audience", rule, (TARGETED,)),
        EVERYONE: Bundle(EVERYONE, None, (CAPPED, *everyone)),
    }
    manifest = Manifest(Version(0, 1, 1), 2 + len(everyone), dict.fromkeys(bundles, ""), frozenset(), features)
    return prepare(manifest, bundles, before)


TARGETED = message("Targeted", id_=str(UUID(int=1)))
CAPPED = message("Capped", id_=str(UUID(int=2)), cap=ONCE)
TABLE = table_of()


class World:
    def __init__(self, max_bytes: int = 1_000_000) -> None:
        self.redis = FakeAsyncRedis()
        server = RedisServer()
        server.run_id = "run"
        self.users = Users(self.redis, server, max_bytes)
        self.overlay = Overlay(on_change=self.users.change)
        self.people = People(self.users, self.overlay)

    async def put(self, subject: str, rev: int, **fields: Any) -> None:
        await self.redis.set(keys.user(ORG, subject), UserState(rev, **fields).encode())

    async def load(self, *subjects: str) -> None:
        await self.users.ask(ORG, subjects, list)

    def known(self, who: Who = ADA, table: OrgTable = TABLE, now_ms: int = NOW_MS, **options: bool) -> Known | None:
        return self.people.known(who, table, now_ms, **options)

    def given(self, who: Who = ADA, table: OrgTable = TABLE, now_ms: int = NOW_MS, **options: bool) -> list[str] | None:
        known = self.known(who, table, now_ms, **options)
        if known is None:
            return None
        may = known.may_get(table, now_ms).messages
        return [table.messages[place].message.id for place in table.index.places(may)]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.redis.set(keys.user_states(ORG), Marker("run", 0).encode())
    await world.put("u:ada", 1, traits={"plan": "free"})
    await world.load("u:ada", "a:x")
    return world


async def test_somebody_in_memory_is_evaluated_once(world: World) -> None:
    known = world.known()
    assert known is not None and world.known() is known
    assert world.given() == [TARGETED.id, CAPPED.id]


async def test_who_is_not_in_memory_is_not_known(world: World) -> None:
    assert world.known(Who(ORG, "bob", None)) is None
    assert world.known(Who(ORG, "ada", "other")) is None
    assert world.known(Who(ORG, None, "x")) is not None


async def test_a_newer_state_has_to_be_read_first(world: World) -> None:
    world.known()
    await world.put("u:ada", 2, traits={"plan": "pro"})
    world.users.announce(ORG, [("u:ada", 2)])
    assert world.known() is None
    await world.load("u:ada")
    assert world.given() == [CAPPED.id]


async def test_a_newer_state_of_the_device_counts_for_its_user(world: World) -> None:
    known = world.known(ADA_HERE)
    assert world.known(ADA_HERE) is known is not None
    await world.put("a:x", 3, seen={CAPPED.id: Seen(1, recent_ms=(NOW_MS,))})
    world.users.announce(ORG, [("a:x", 3)])
    assert world.known(ADA_HERE) is None
    await world.load("a:x")
    assert world.given(ADA_HERE) == [TARGETED.id]


async def test_what_was_just_acknowledged_counts_at_once_and_until_it_is_recorded(world: World) -> None:
    for who in (ADA, ADA_HERE):
        seen = event(IMPRESSION, properties=b'{"messageId":"%b"}' % CAPPED.id.encode(), occurred_ms=NOW_MS)
        assert world.given(who) == [TARGETED.id, CAPPED.id]
        finish(world.overlay.adding(1, [seen]))
        assert world.given(who) == [TARGETED.id]
        finish(world.overlay.dropping(1))
        assert world.given(who) == [TARGETED.id, CAPPED.id]


async def test_what_a_device_just_did_counts_for_its_user(world: World) -> None:
    assert world.given(ADA_HERE) == [TARGETED.id, CAPPED.id]
    seen = event(IMPRESSION, anonymous_id="x", user_id=None, properties=b'{"messageId":"%b"}' % CAPPED.id.encode())
    finish(world.overlay.adding(1, [seen]))
    assert world.given(ADA_HERE) == [TARGETED.id]


async def test_a_visitor_who_was_just_claimed_belongs_to_the_user(world: World) -> None:
    await world.put("a:old", 2, seen={CAPPED.id: Seen(1, recent_ms=(NOW_MS,))})
    assert world.given() == [TARGETED.id, CAPPED.id]
    finish(world.overlay.adding(1, [event(IDENTIFIED, user_id="ada", anonymous_id="old", properties=b"{}")]))
    assert world.known() is None
    await world.load("a:old")
    assert world.given() == [TARGETED.id]


async def test_rules_are_evaluated_anew_when_time_changes_what_they_say(world: World) -> None:
    rule = happened("viewed", within="1d")
    (feature_id,) = features_of([parse_rule(rule)])
    table = table_of(rule)
    await world.put("u:ada", 2, rings={feature_id: (NOW_MS,)})
    world.users.announce(ORG, [("u:ada", 2)])
    await world.load("u:ada")
    last_ms = NOW_MS + 86_400_000
    known = world.known(ADA, table)
    assert world.known(ADA, table, last_ms) is known
    assert world.given(ADA, table, last_ms) == [TARGETED.id, CAPPED.id]
    assert world.given(ADA, table, last_ms + 1) == [CAPPED.id]


async def test_what_was_made_of_people_holds_again_once_a_change_is_found_to_come_to_the_same(world: World) -> None:
    known = world.known(ADA_HERE)
    assert known is not None
    finish(world.overlay.adding(1, [event("viewed", properties=b"{}")]))
    assert not known.basis.stands()
    assert world.known(ADA_HERE) is known and known.basis.stands()
    for subject in ("u:ada", "a:x"):
        await world.put(subject, 9, traits={"plan": "free"})
        world.users.announce(ORG, [(subject, 9)])
        assert not known.basis.stands()
        await world.load(subject)
        assert world.known(ADA_HERE) is known and known.basis.stands()


@pytest.mark.parametrize(("by_ms", "is_the_same"), [(-1, False), (0, True), (1, True)])
async def test_what_ends_sooner_is_not_the_same_and_what_ends_later_ends_later(
    world: World, by_ms: int, is_the_same: bool
) -> None:
    rule = happened("viewed", within="1d")
    (feature_id,) = features_of([parse_rule(rule)])
    table = table_of(rule)
    for rev, at_ms in ((2, NOW_MS), (3, NOW_MS + by_ms)):
        before = world.known(ADA, table)
        await world.put("u:ada", rev, rings={feature_id: (at_ms,)})
        world.users.announce(ORG, [("u:ada", rev)])
        await world.load("u:ada")
        assert world.given(ADA, table, NOW_MS + 1) == [TARGETED.id, CAPPED.id]
    assert before is not None
    assert before.basis.stands() == is_the_same == (world.known(ADA, table, NOW_MS + 1) is before)
    ends_ms = NOW_MS + by_ms + 86_400_000
    assert world.given(ADA, table, ends_ms) == [TARGETED.id, CAPPED.id]
    assert world.given(ADA, table, ends_ms + 1) == [CAPPED.id]


async def test_what_was_made_of_somebody_who_was_another_for_a_while_does_not_hold_again(world: World) -> None:
    known = world.known()
    assert known is not None
    for rev, plan in ((2, "pro"), (3, "free")):
        await world.put("u:ada", rev, traits={"plan": plan})
        world.users.announce(ORG, [("u:ada", rev)])
        await world.load("u:ada")
        world.given()
    assert world.given() == [TARGETED.id, CAPPED.id]
    assert not known.basis.stands()


async def test_a_clock_that_goes_back_finds_what_was_given_then(world: World) -> None:
    table = table_of(FREE, message("Starting", id_=str(UUID(int=3)), starts_ms=NOW_MS + 90, priority=1))
    assert len(world.given(table=table, now_ms=NOW_MS + 100) or ()) == 3
    assert world.given(table=table, now_ms=NOW_MS + 80) == [TARGETED.id, CAPPED.id]


async def test_what_is_known_is_counted_by_the_table_by_which_it_was_found_out_last(world: World) -> None:
    before_bytes = world.users._bytes
    known = world.known()
    larger = table_of(FREE, *[message(str(number)) for number in range(2_000)], before=TABLE)
    finish(world.overlay.adding(1, [event("viewed", properties=b"{}")]))
    assert known is not None and world.known(table=larger) is known
    assert world.users._bytes - before_bytes == known.size_bytes(larger) > known.size_bytes(TABLE)


async def test_the_list_changes_with_the_table_and_the_rules_only_with_theirs(world: World) -> None:
    known = world.known()
    ending = message("Ending", id_=str(UUID(int=3)), ends_ms=NOW_MS + 10, priority=1)
    longer = table_of(FREE, ending, before=TABLE)
    assert world.given(table=longer) == [TARGETED.id, CAPPED.id, ending.id]
    assert world.known(table=longer) is known
    assert world.given(table=longer, now_ms=NOW_MS + 10) == [TARGETED.id, CAPPED.id]
    other = table_of({**FREE, "value": "pro"}, before=TABLE)
    assert world.given(table=other) == [CAPPED.id]
    assert world.known(table=other) is not known


async def test_what_was_seen_of_a_message_counts_once_the_message_has_a_cap(world: World) -> None:
    plain = replace(CAPPED, cap=None, version=2)
    before = prepare_with(plain)
    await world.put("u:ada", 2, seen={CAPPED.id: Seen(1, recent_ms=(NOW_MS,))})
    world.users.announce(ORG, [("u:ada", 2)])
    await world.load("u:ada")
    assert world.given(table=before) == [CAPPED.id]
    assert world.given(table=prepare_with(CAPPED, before)) == []


async def test_a_cap_that_becomes_tighter_counts_what_was_seen_before(world: World) -> None:
    before = prepare_with(replace(CAPPED, cap=replace(ONCE, max_impressions=3)))
    await world.put("u:ada", 2, seen={CAPPED.id: Seen(1, recent_ms=(NOW_MS,))})
    world.users.announce(ORG, [("u:ada", 2)])
    await world.load("u:ada")
    assert world.given(table=before) == [CAPPED.id]
    assert world.given(table=prepare_with(CAPPED, before)) == []


def prepare_with(message: CompiledMessage, before: OrgTable | None = None) -> OrgTable:
    manifest = Manifest(Version(0, 1, 1), 1, {EVERYONE: ""}, frozenset())
    return prepare(manifest, {EVERYONE: Bundle(EVERYONE, None, (message,))}, before)


async def test_somebody_who_proved_nothing_is_another_one(world: World) -> None:
    assert world.given() == [TARGETED.id, CAPPED.id]
    assert world.given(verified=False) == [CAPPED.id]
    assert world.given() == [TARGETED.id, CAPPED.id]


async def test_doubt_and_forgetting_end_all_that_is_known(world: World) -> None:
    known = world.known(ADA_HERE)
    assert known is not None and known.basis.stands()
    world.users.doubt_all()
    assert not known.basis.stands() and world.known(ADA_HERE) is None
    await world.load("u:ada", "a:x")
    known = world.known(ADA_HERE)
    world.users.forget(ORG)
    assert known is not None and not known.basis.stands() and world.known(ADA_HERE) is None


async def test_what_is_known_outlives_the_state_that_it_was_made_of(world: World) -> None:
    """States go first when memory is short: who was evaluated is answered without."""
    small = World(max_bytes=10_000)
    await small.redis.set(keys.user_states(ORG), Marker("run", 0).encode())
    for name in ("ada", "bob", "cyd"):
        await small.put(f"u:{name}", 1, traits={"plan": "free", "pad": "x" * 1_000})
        await small.load(f"u:{name}")
        small.known(Who(ORG, name, None))
    assert small.users.peek((ORG, "u:ada")) is not None
    assert small.given(ADA) == [TARGETED.id, CAPPED.id]
    assert small.known(ADA, table_of({**FREE, "value": "pro"})) is None


async def test_what_is_known_keeps_no_table_and_no_state_that_is_out_of_use(world: World) -> None:
    """One visitor who does not come back must not keep all that was published when they were there."""
    table = prepare_with(message("Of its own", cap=ONCE))
    known, listings = world.known(table=table), Listings()
    assert known is not None
    listings.within(table, known.may_get(table, NOW_MS).messages, Context("here", resolve=True))
    entry = world.users.peek((ORG, "u:ada"))
    left = weakref.ref(table.index)
    del table
    gc.collect()
    assert left() is None
    await world.put("u:ada", 2)
    world.users.announce(ORG, [("u:ada", 2)])
    await world.load("u:ada")
    assert entry is not None and entry.encoded is None and entry.known is None
    assert not known.basis.stands()


async def test_a_state_that_cannot_be_decoded_is_not_known(world: World) -> None:
    data = UserState(5).encode()
    await world.redis.set(keys.user(ORG, "u:eve"), data[:1] + b"\x93\x01\x02\x03")
    await world.load("u:eve")
    assert world.known(Who(ORG, "eve", None)) is None
