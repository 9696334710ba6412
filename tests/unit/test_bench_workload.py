"""The workload of the benchmarks is what it says it is, in every run."""

import json
import math
from collections import Counter
from itertools import pairwise
from random import Random
from statistics import mean
from typing import Any

import pytest

from bench.servers.in_process import held
from bench.world.aims import W10
from bench.world.audiences import NOW_MS, Shape, audiences
from bench.world.backlog import batches
from bench.world.customers import zipf
from bench.world.messages import PATHS, SITE
from bench.world.requests import bodies
from bench.world.workload import W10K, Workload, customer, edited, subject, with_other_number, workload
from edge.fetch_request import read_request
from engine.decide import Context, decide, person
from engine.features import features_of
from engine.table import OrgTable
from wire import apikeys
from wire.rule_tree import InAudience, leaves

HOUR_MS = 3_600_000
CUSTOMERS = range(0, 2_000, 10)


@pytest.fixture(scope="module")
def org() -> Workload:
    return workload(now_ms=NOW_MS)


@pytest.fixture(scope="module")
def table(org: Workload) -> OrgTable:
    return held(org.compiled()).table


def triggers(org: Workload) -> list[dict[str, Any]]:
    return [json.loads(row.trigger) if row.trigger else {} for row in org.snapshot.messages]


def given(org: Workload, table: OrgTable, context: Context) -> list[list[str]]:
    """The JSON of the messages that each of some customers is given."""
    persons = [person(table, customer(org, number), {}, org.now_ms) for number in CUSTOMERS]
    decided = [decide(table, each, context, org.now_ms) for each in persons]
    return [[prepared.message.json.decode() for prepared in messages] for messages in decided]


def test_it_is_the_same_every_time(org: Workload) -> None:
    again = workload(now_ms=NOW_MS)

    assert (again.snapshot, again.rules, again.key) == (org.snapshot, org.rules, org.key)
    assert again.compiled().bundles == org.compiled().bundles
    assert [customer(again, number) for number in range(20)] == [customer(org, number) for number in range(20)]
    for resolve in (False, True):
        assert bodies(50, 100, resolve=resolve) == bodies(50, 100, resolve=resolve)


def test_another_moment_moves_everything_along(org: Workload, table: OrgTable) -> None:
    later = workload(now_ms=NOW_MS + 1_000 * HOUR_MS)

    assert list(later.sizes.values()) == list(org.sizes.values())
    assert [len(messages) for messages in given(later, held(later.compiled()).table, Context())] == [
        len(messages) for messages in given(org, table, Context())
    ]


def test_without_a_moment_it_is_of_this_hour() -> None:
    assert workload(10).now_ms % HOUR_MS == 0
    assert workload(10).now_ms > NOW_MS


def test_every_message_can_be_compiled(org: Workload) -> None:
    compiled = org.compiled()

    assert compiled.problems == {}
    assert compiled.preparing == 0
    assert compiled.manifest.message_count == 1_000


def test_every_audience_has_some_use(org: Workload) -> None:
    used = set(org.compiled().manifest.bundles)

    assert used == {*org.rules, "everyone"}
    clauses = {repr(leaf) for rule in org.rules.values() for leaf in leaves(rule) if not isinstance(leaf, InAudience)}
    assert (len(org.rules), len(clauses)) == (200, 300)


def test_a_third_waits_for_events_and_a_third_for_urls(org: Workload) -> None:
    found = triggers(org)
    by_event = [trigger for trigger in found if trigger.get("eventType")]
    by_url = [trigger["url"] for trigger in found if trigger.get("url")]

    assert len(by_event) == pytest.approx(333, abs=3)
    assert sum(bool(trigger["where"]) for trigger in by_event) == pytest.approx(167, abs=30)
    assert len(by_url) == pytest.approx(333, abs=3)
    assert {url["op"] for url in by_url} == {"eq", "starts_with", "glob"}
    assert len({url["value"].rstrip("*") for url in by_url}) == len(PATHS) == 30


def test_a_quarter_is_capped_and_every_type_is_there(org: Workload) -> None:
    rows = org.snapshot.messages

    assert sum(row.frequency_cap is not None for row in rows) == 250
    assert Counter(row.type for row in rows) == dict.fromkeys(("banner", "modal", "slideout", "tooltip"), 250)


def test_nearly_all_of_the_messages_are_live(org: Workload) -> None:
    rows = org.snapshot.messages

    assert all(row.active for row in rows)
    assert sum(row.starts_ms is not None and row.starts_ms > NOW_MS for row in rows) == 10
    assert sum(row.starts_ms is not None and row.starts_ms < NOW_MS for row in rows) == 200
    assert sum(row.ends_ms is not None for row in rows) == 100
    assert all(row.ends_ms is None or row.ends_ms > NOW_MS + 24 * HOUR_MS for row in rows)


def test_most_are_for_an_audience_some_exclude_one_or_wait_for_one(org: Workload) -> None:
    rows = org.snapshot.messages

    assert sum(row.audience_id is None for row in rows) == 10
    assert sum(bool(row.exclude_audience_ids) for row in rows) > 100
    assert sum(bool(trigger.get("audienceId")) for trigger in triggers(org)) == 60


def test_a_customer_is_given_about_a_tenth_of_the_messages(org: Workload, table: OrgTable) -> None:
    messages = given(org, table, Context())

    assert mean(map(len, messages)) == pytest.approx(100, rel=0.1)
    assert min(map(len, messages)) > 30
    assert mean(len(each) for some in messages for each in some) == pytest.approx(560, rel=0.05)


def test_winners_of_slots_are_a_few(org: Workload, table: OrgTable) -> None:
    messages = given(org, table, Context(url=SITE + PATHS[5], resolve=True))

    assert mean(map(len, messages)) == pytest.approx(17, rel=0.2)


def test_customers_have_two_thirds_of_the_traits_and_half_of_the_rings(org: Workload) -> None:
    states = [customer(org, number) for number in CUSTOMERS]

    assert mean(len(state.encode()) for state in states) == pytest.approx(2_200, rel=0.1)
    assert mean(len(state.traits) for state in states) == pytest.approx(26, rel=0.05)
    features = features_of(org.rules.values())
    assert mean(len(state.rings) for state in states) == pytest.approx(len(features) / 2, rel=0.05)
    assert all(len(ring) <= features[id_].kept for state in states for id_, ring in state.rings.items())
    assert all(list(ring) == sorted(ring, reverse=True) for state in states for ring in state.rings.values())


def test_every_trait_has_a_stamp_and_what_was_seen_is_capped(org: Workload) -> None:
    capped = {str(row.id) for row in org.snapshot.messages if row.frequency_cap is not None}

    for number in CUSTOMERS:
        state = customer(org, number)
        assert state.stamps.keys() == state.traits.keys()
        assert all(received_ms <= NOW_MS and len(id_) == 16 for received_ms, id_ in state.stamps.values())
        assert state.seen.keys() <= capped
    assert 0 < mean(len(customer(org, number).seen) for number in CUSTOMERS) < 5


def test_requests_without_context_say_only_who_asks() -> None:
    asked = [json.loads(body) for body in bodies(300, 1_000, resolve=False)]

    assert {name for body in asked for name in body} == {"userId", "anonymousId"}
    assert all(read_request(body).context == Context() for body in asked)


def test_requests_that_resolve_say_where_somebody_is() -> None:
    asked = [json.loads(body) for body in bodies(300, 1_000, resolve=True)]

    contexts = [read_request(body).context for body in asked]
    assert all(context.resolve for context in contexts)
    assert {context.url for context in contexts} == {SITE + path for path in PATHS}
    assert 0 < sum(context.screen is not None for context in contexts) < 60
    assert 0 < sum(context.event is not None for context in contexts) < 90


def test_a_device_that_is_sent_is_one_that_the_user_has_claimed(org: Workload) -> None:
    asked = [json.loads(body) for body in bodies(300, 100, resolve=False)]
    states = {subject(number)[2:]: customer(org, number) for number in range(100)}

    devices = [(body["userId"], body["anonymousId"]) for body in asked if "anonymousId" in body]
    assert 0 < len(devices) < len(asked)
    assert all(device in states[user].aliases for user, device in devices)


def test_customers_ask_by_zipf_s_law() -> None:
    found = Counter(zipf(200_000, 10_000, Random(1)))

    ranks = (0, 1, 3, 7, 15, 31)
    slopes = [math.log(found[near] / found[far]) / math.log((far + 1) / (near + 1)) for near, far in pairwise(ranks)]
    assert mean(slopes) == pytest.approx(1.1, abs=0.05)
    assert max(found) < 10_000


def test_customers_of_w10_and_w10k_are_given_the_same_messages() -> None:
    few, many = workload(W10, now_ms=NOW_MS), workload(W10K, now_ms=NOW_MS)

    texts = [
        [[json.loads(message)["content"] for message in messages] for messages in given(org, table, Context())]
        for org, table in ((few, held(few.compiled()).table), (many, held(many.compiled()).table))
    ]
    assert texts[0] == texts[1]
    assert 5 <= mean(map(len, texts[0])) <= 10
    assert len(many.snapshot.messages) == 10_000
    assert set(many.compiled().manifest.bundles) == {*many.rules, "everyone"}


def test_the_key_is_one_of_the_org(org: Workload) -> None:
    key = apikeys.parse(org.key)

    assert key is not None
    assert key.org_id == org.org_id
    assert org.snapshot.keys == {key.digest}


def test_an_edit_changes_one_bundle(org: Workload) -> None:
    after, before = edited(org, 3).compiled(), org.compiled()

    assert len(after.bundles.keys() - before.bundles.keys()) == 1
    assert after.manifest.version > before.manifest.version
    assert edited(edited(org, 3), 4).compiled().manifest.version > after.manifest.version


def test_another_number_in_a_rule_changes_one_bundle(org: Workload) -> None:
    after, before = with_other_number(org).compiled(), org.compiled()

    assert len(after.bundles.keys() - before.bundles.keys()) == 1
    assert after.manifest.version > before.manifest.version
    assert after.manifest.features == before.manifest.features


def test_batches_of_a_backlog_are_numbered_by_edge(org: Workload) -> None:
    shipped = list(batches(org, 1_000, 100, seed=1))

    assert sum(len(batch.events) for batch in shipped) == 1_000
    assert len({event.id for batch in shipped for event in batch.events}) == 1_000
    for spool in {batch.spool for batch in shipped}:
        assert [batch.number for batch in shipped if batch.spool == spool] == [1, 2, 3, 4, 5]


def test_rules_of_one_shape_are_always_the_same() -> None:
    shape = Shape(20, clauses=30, counts=6)

    assert audiences(shape) == audiences(shape)
