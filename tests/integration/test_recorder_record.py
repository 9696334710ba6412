import asyncio
import random
from collections import Counter
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from recorder import metrics
from tests.support.recorder_world import HOUR_MS, NOW_MS, World, event
from wire import events
from wire.intake import Source, read_events
from wire.traits import MOST_TRAITS
from wire.userstate import Seen

pytestmark = pytest.mark.anyio


async def test_an_event_is_stored_as_it_came_and_makes_a_customer(world: World) -> None:
    sent = world.event("report.exported", "ada", at_ms=NOW_MS - 5, received_ms=NOW_MS, properties={"pages": 3})
    recorded = await world.record(sent)
    assert (recorded.stored, recorded.duplicates) == (1, 0)
    stored = await world.rows(
        "SELECT org_id, id, subject, type, occurred_ms, received_ms, CAST(properties AS text) FROM events"
    )
    assert stored == [(world.org_id, sent.id, "u:ada", "report.exported", NOW_MS - 5, NOW_MS, '{"pages": 3}')]
    assert await world.rows("SELECT subject, CAST(traits AS text), created_ms, last_seen_ms FROM customers") == [
        ("u:ada", "{}", NOW_MS, NOW_MS - 5)
    ]


async def test_batches_sent_several_times_and_interleaved_count_once(world: World) -> None:
    message_id = await world.add_message()
    sent = [
        [
            world.about(message_id, random.choice(sorted(events.MESSAGE_EVENTS)), f"user{n % 5}", at_ms=NOW_MS + n)
            for n in range(start, start + 20)
        ]
        for start in range(0, 200, 20)
    ]
    deliveries = sent * 3
    random.shuffle(deliveries)
    for delivery in deliveries:
        await world.record(*delivery)
    expected = Counter(item.type for each in sent for item in each)
    assert await world.count("events") == 200
    assert await world.count("in_app_message_impressions") == expected[events.IMPRESSION]
    for table in ("message_stats_hourly", "message_user_state"):
        sums = await world.rows(f"SELECT sum(impressions), sum(clicks), sum(dismissals) FROM {table}")
        assert sums == [(expected[events.IMPRESSION], expected[events.CLICKED], expected[events.DISMISSED])]


async def test_a_batch_sent_again_changes_nothing_but_its_users_are_projected_again(world: World) -> None:
    message_id = await world.add_message()
    sent = [
        world.identify("ada", "x", properties={"plan": "free"}),
        world.about(message_id, events.IMPRESSION, "ada"),
        world.event("page.viewed", visitor="x"),
        world.event("page.viewed", "bob"),
    ]
    await world.record(*sent)
    before = await world.dump()
    await world.redis.flushdb()
    again = await world.record(*sent)
    assert (again.stored, again.duplicates, again.impressions, again.claims) == (0, 4, 0, 0)
    assert await world.dump() == before
    assert (await world.known_state("u:ada")).traits == {"plan": "free"}
    assert await world.state("u:bob")
    assert await world.state("a:x")


async def test_an_event_that_comes_twice_in_one_batch_counts_once(world: World) -> None:
    message_id = await world.add_message()
    sent = world.about(message_id, events.IMPRESSION, "ada")
    recorded = await world.record(sent, sent)
    assert (recorded.stored, recorded.duplicates, recorded.impressions) == (1, 1, 1)
    assert (await world.known_state("u:ada")).seen == {str(message_id): Seen(1, 0, 0, (NOW_MS,))}


async def test_the_same_client_id_of_other_orgs_and_subjects_is_another_event(world: World) -> None:
    raws = [
        {"eventType": "paid", "userId": "ada", "id": "1"},
        {"eventType": "paid", "userId": "bob", "id": "1"},
        {"eventType": "paid", "anonymousId": "ada", "id": "1"},
    ]
    for org_id in (world.org_id, uuid4()):
        accepted, _ = read_events(raws, Source(org_id, NOW_MS, lambda: b""))
        await world.record(*accepted)
        await world.record(*accepted)
    assert await world.count("events") == 6
    assert await world.count("customers") == 6


async def test_the_same_uuid_in_two_orgs_of_one_batch_is_two_events(world: World) -> None:
    id_ = uuid4()
    recorded = await world.record(world.event("paid", "ada", id_=id_), event(uuid4(), "paid", "ada", id_=id_))
    assert recorded.stored == 2


async def test_traits_are_last_write_wins_in_whatever_order_they_come(world: World) -> None:
    writes = [
        world.identify(properties={"plan": "free", "city": "Rome"}, received_ms=NOW_MS, id_=UUID(int=1)),
        world.identify(properties={"plan": "pro", "age": 3}, received_ms=NOW_MS, id_=UUID(int=2)),
        world.identify(properties={"city": None, "age": 4}, received_ms=NOW_MS + 1, id_=UUID(int=0)),
    ]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        org_id = uuid4()
        for place in order:
            await world.record(writes[place]._replace(org_id=org_id))
        state = await world.state("u:ada", org_id)
        assert state is not None
        assert state.traits == {"plan": "pro", "age": 4}
        assert state.stamps == {
            "plan": (NOW_MS, UUID(int=2).bytes),
            "city": (NOW_MS + 1, UUID(int=0).bytes),
            "age": (NOW_MS + 1, UUID(int=0).bytes),
        }


async def test_traits_keep_their_types_on_the_way_through_postgres(world: World) -> None:
    traits = {"big": 1e20, "huge": 1e300, "half": 0.5, "whole": 2**53, "yes": True, "list": [1, "é", {"deep": None}]}
    await world.record(world.identify(properties=traits))
    assert (await world.known_state("u:ada")).traits == traits


async def test_an_identify_whose_properties_are_no_object_sets_no_traits(world: World) -> None:
    for properties in (b"[1]", b'{"n": 1e400}'):
        assert (await world.record(world.identify(properties=properties))).stored == 1
    assert (await world.known_state("u:ada")).traits == {}


async def test_statistics_go_into_the_hour_in_which_it_happened(world: World) -> None:
    message_id = await world.add_message()
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS
    await world.record(
        world.about(message_id, events.IMPRESSION, "ada", at_ms=hour_ms - 1),
        world.about(message_id, events.IMPRESSION, "ada", at_ms=hour_ms),
        world.about(message_id, events.IMPRESSION, "bob", at_ms=hour_ms + HOUR_MS - 1),
        world.about(message_id, events.CLICKED, "bob", at_ms=hour_ms + HOUR_MS - 1),
        world.about(message_id, events.DISMISSED, "ada", at_ms=hour_ms, received_ms=hour_ms + 9 * HOUR_MS),
    )
    stats = "SELECT hour_ms, impressions, clicks, dismissals FROM message_stats_hourly ORDER BY 1"
    assert await world.rows(stats) == [(hour_ms - HOUR_MS, 1, 0, 0), (hour_ms, 2, 1, 1)]
    people = "SELECT count(DISTINCT subject) FROM in_app_message_impressions WHERE message_id = :id"
    assert await world.rows(people, id=message_id) == [(2,)]


async def test_an_event_about_a_message_that_the_org_does_not_have_is_only_an_event(world: World) -> None:
    foreign = await world.add_message(await world.add_org(uuid4()))
    await world.record(
        world.about(foreign, events.IMPRESSION, "ada"),
        world.about(uuid4(), events.CLICKED, "ada"),
        world.event(events.DISMISSED, "ada", properties={"messageId": 5}),
        world.event(events.DISMISSED, "ada", properties=b'"text"'),
    )
    assert await world.count("events") == 4
    for table in ("in_app_message_impressions", "message_stats_hourly", "message_user_state"):
        assert await world.count(table) == 0


async def test_the_newest_hundred_impressions_are_kept_for_caps(world: World) -> None:
    message_id = await world.add_message()
    moments = [NOW_MS + n for n in range(130)]
    random.shuffle(moments)
    for start in range(0, 130, 30):
        await world.record(*(world.about(message_id, user="ada", at_ms=at) for at in moments[start : start + 30]))
    seen = (await world.known_state("u:ada")).seen[str(message_id)]
    assert seen.impressions == 130
    assert seen.recent_ms == tuple(NOW_MS + n for n in range(129, 29, -1))


async def test_a_rev_is_drawn_only_when_the_state_changed(world: World) -> None:
    message_id = await world.add_message()
    revs = []
    for sent in (
        world.event("page.viewed", "ada"),
        world.event("page.viewed", "ada"),
        world.identify("ada", properties={"plan": "free"}, at_ms=NOW_MS + 1),
        world.identify("ada", properties={"plan": "late"}, at_ms=NOW_MS),
        world.about(message_id, events.CLICKED, "ada"),
    ):
        await world.record(sent)
        revs.append((await world.known_state("u:ada")).rev)
    assert revs[0] == revs[1] < revs[2] == revs[3] < revs[4]


async def test_recorders_that_meet_the_same_customers_at_once_lose_nothing(world: World) -> None:
    message_id = await world.add_message()
    users = [f"user{n}" for n in range(12)]
    sent = []
    for n in range(60):
        picked = random.sample(users, 6)
        sent.append(
            [
                *(world.about(message_id, user=user, at_ms=NOW_MS + n) for user in picked),
                *(world.identify(user, f"visitor of {user}", properties={f"t{n}": n}) for user in picked[:2]),
                *(world.about(message_id, visitor=f"visitor of {user}", at_ms=NOW_MS + 99 + n) for user in picked[3:]),
            ]
        )
    deliveries = sent * 2
    random.shuffle(deliveries)

    async def recorder(mine: list[list[events.Event]]) -> None:
        for delivery in mine:
            await world.record(*random.sample(delivery, len(delivery)))

    await asyncio.gather(*(recorder(deliveries[n::4]) for n in range(4)))
    impressions = sum(item.type == events.IMPRESSION for each in sent for item in each)
    assert await world.count("events") == sum(map(len, sent))
    assert await world.count("in_app_message_impressions") == impressions
    assert await world.rows("SELECT sum(impressions) FROM message_stats_hourly") == [(impressions,)]
    assert await world.rows("SELECT sum(impressions) FROM message_user_state") == [(impressions,)]
    by_customer = "SELECT subject, count(*) FROM in_app_message_impressions GROUP BY 1"
    for subject, count in await world.rows(by_customer):
        assert (await world.known_state(subject)).seen[str(message_id)].impressions == count


async def test_traits_past_the_bound_are_dropped_counted_and_logged_once_in_a_while(world: World) -> None:
    before = metrics.TRAITS_DROPPED._value.get()
    many = {f"t{n}": n for n in range(MOST_TRAITS + 10)}
    with capture_logs() as logs:
        await world.record(world.identify("ada", properties=many))
        await world.record(world.identify("ada", properties={"new": 1, "t0": 2}, at_ms=NOW_MS + 1))
    state = await world.known_state("u:ada")
    assert state.traits == {f"t{n}": n for n in range(MOST_TRAITS)} | {"t0": 2}
    assert set(state.stamps) == set(state.traits)
    assert metrics.TRAITS_DROPPED._value.get() - before == 11
    assert [entry for entry in logs if entry["event"] == "traits_dropped"] == [
        {"event": "traits_dropped", "log_level": "warning", "org_id": world.org_id, "count": 10}
    ]
    assert await world.count("events") == 2
