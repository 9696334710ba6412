"""Statistics, from what the recorder counted."""

import uuid
from typing import Any

import pytest
from sqlalchemy import insert

from store import tables
from tests.support.admin_api import Api

pytestmark = pytest.mark.anyio


HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAY_28_MS = 1_779_926_400_000
BANNER: dict[str, Any] = {"type": "banner", "content": {"body": "Hello"}}


async def test_an_org_without_anything_counts_zero(api: Api) -> None:
    assert await api.data("GET", "/in-app-messages/stats") == {
        "total": 0,
        "active": 0,
        "impressions": 0,
        "clicks": 0,
        "dismissals": 0,
        "uniqueImpressions": 0,
        "ctr": 0.0,
        "conversions": 0,
        "conversionRate": 0.0,
    }


async def test_an_orgs_statistics_add_up_over_its_messages(api: Api) -> None:
    live, paused, draft, archived = [
        (await api.data("POST", "/in-app-messages", {**BANNER, **fields}))["id"]
        for fields in ({}, {"active": False}, {"draft": True}, {})
    ]
    await api.data("POST", f"/in-app-messages/{archived}/archive")
    await _hour(api, live, MAY_28_MS, impressions=4, clicks=1, dismissals=2, conversions=1)
    await _hour(api, paused, MAY_28_MS, impressions=3, clicks=1)
    await _hour(api, archived, 0, impressions=1, conversions=1)
    await _hour(api, str(uuid.uuid4()), 0, impressions=100, conversions=100)
    await _person(api, live, "u:ada", impressions=3)
    await _person(api, live, "u:grace", impressions=1)
    await _person(api, paused, "u:ada", impressions=3)
    await _person(api, archived, "a:visitor", impressions=1)
    await _person(api, archived, "a:another", impressions=1)
    await _person(api, archived, "u:clicked-only", impressions=0)
    await _converted(api, live, "u:ada")
    await _converted(api, archived, "a:visitor")
    await _converted(api, str(uuid.uuid4()), "u:ada")
    other = await api.new_org()
    theirs = (await other.data("POST", "/in-app-messages", BANNER))["id"]
    await _hour(other, theirs, MAY_28_MS, impressions=50, conversions=50)
    await _person(other, theirs, "u:theirs", impressions=50)
    await _converted(other, theirs, "u:theirs")
    assert await api.data("GET", "/in-app-messages/stats") == {
        "total": 3,
        "active": 1,
        "impressions": 8,
        "clicks": 2,
        "dismissals": 2,
        "uniqueImpressions": 4,
        "ctr": 0.25,
        "conversions": 2,
        "conversionRate": 0.4,
    }
    assert draft


async def test_erased_customers_are_neither_among_those_who_saw_nor_among_those_who_converted(api: Api) -> None:
    first, second = [(await api.data("POST", "/in-app-messages", BANNER))["id"] for _ in range(2)]
    for message in (first, second):
        await _hour(api, message, MAY_28_MS, impressions=3, conversions=3)
        await _person(api, message, "u:the-only-one-left", impressions=1)
        await _converted(api, message, "u:the-only-one-left")
    await _person(api, second, "u:seen-since", impressions=1)
    for path, expected in {f"/{first}": (3, 1, 1.0), f"/{second}": (3, 2, 0.5), "": (6, 2, 2 / 3)}.items():
        stats = await api.data("GET", f"/in-app-messages{path}/stats")
        assert (stats["conversions"], stats["uniqueImpressions"], stats["conversionRate"]) == expected


async def test_a_message_has_totals_of_all_time_and_a_series(api: Api) -> None:
    message, other = [(await api.data("POST", "/in-app-messages", BANNER))["id"] for _ in range(2)]
    await _hour(api, message, MAY_28_MS - 400 * DAY_MS, impressions=1, conversions=1)
    await _hour(api, message, MAY_28_MS - HOUR_MS, impressions=2, clicks=1, conversions=2)
    await _hour(api, message, MAY_28_MS, impressions=1)
    await _hour(api, message, MAY_28_MS + 20 * HOUR_MS, dismissals=1)
    await _hour(api, other, MAY_28_MS, impressions=9)
    for name in "abcd":
        await _person(api, message, f"u:{name}", impressions=1)
    await _person(api, other, "u:grace", impressions=9)
    for name in "abc":
        await _converted(api, message, f"u:{name}")
    await _converted(api, other, "u:grace")
    stats = await api.data("GET", f"/in-app-messages/{message}/stats")
    totals = {"impressions": 4, "clicks": 1, "dismissals": 1, "uniqueImpressions": 4, "ctr": 0.25}
    totals |= {"conversions": 3, "conversionRate": 0.75}
    assert {name: stats[name] for name in totals} == totals
    assert (stats["messageId"], stats["interval"]) == (message, "day")
    days = stats["series"]
    assert (len(days), days[0]["at"], days[-1]["at"]) == (31, "2026-04-28T00:00:00.000Z", "2026-05-28T00:00:00.000Z")
    assert days[-2:] == [
        {"at": "2026-05-27T00:00:00.000Z", "impressions": 2, "clicks": 1, "dismissals": 0, "conversions": 2},
        {"at": "2026-05-28T00:00:00.000Z", "impressions": 1, "clicks": 0, "dismissals": 1, "conversions": 0},
    ]
    assert all(day["impressions"] == 0 for day in days[:-2])


async def test_a_series_by_the_hour_takes_in_the_hours_that_the_range_touches(api: Api) -> None:
    message = (await api.data("POST", "/in-app-messages", BANNER))["id"]
    for hour in range(-2, 3):
        await _hour(api, message, MAY_28_MS + hour * HOUR_MS, impressions=hour + 3)
    query = "from=2026-05-27T23:30:00Z&to=2026-05-28T01:00:00Z&interval=hour"
    stats = await api.data("GET", f"/in-app-messages/{message}/stats?{query}")
    assert [(point["at"], point["impressions"]) for point in stats["series"]] == [
        ("2026-05-27T23:00:00.000Z", 2),
        ("2026-05-28T00:00:00.000Z", 3),
    ]


async def test_a_range_that_makes_no_sense_or_too_many_points_is_refused(api: Api) -> None:
    path = f"/in-app-messages/{(await api.data('POST', '/in-app-messages', BANNER))['id']}/stats"
    problems = {
        "from=2026-05-29T00:00:00Z": ("/query/to", "ends_before_it_starts"),
        "from=2020-01-01T00:00:00Z&interval=hour": ("/query/from", "too_many_points"),
        "to=2026-05-28": ("/query/to", "invalid_timestamp"),
        "interval=week": ("/query/interval", "unknown_value"),
        "unit=day": ("/query/unit", "unknown_field"),
    }
    for query, problem in problems.items():
        assert await api.problems("GET", f"{path}?{query}") == {problem}
    widest = "from=2026-01-01T00:00:00Z&to=2026-03-25T08:00:00Z&interval=hour"
    assert len((await api.data("GET", f"{path}?{widest}"))["series"]) == 2_000


async def test_the_orgs_totals_have_no_range_and_refuse_one(api: Api) -> None:
    for name in ("from", "to", "interval", "unit"):
        refused = {(f"/query/{name}", "unknown_field")}
        assert await api.problems("GET", f"/in-app-messages/stats?{name}=garbage") == refused


async def _hour(api: Api, message_id: str, hour_ms: int, **counts: int) -> None:
    row = {"org_id": api.org.org_id, "message_id": message_id, "hour_ms": hour_ms}
    await api.execute(insert(tables.message_stats_hourly).values(**row, **counts))


async def _person(api: Api, message_id: str, subject: str, **counts: int) -> None:
    row = {"org_id": api.org.org_id, "message_id": message_id, "subject": subject}
    await api.execute(insert(tables.message_user_state).values(**row, **counts))


async def _converted(api: Api, message_id: str, subject: str) -> None:
    row = {"org_id": api.org.org_id, "message_id": message_id, "subject": subject}
    await api.execute(insert(tables.in_app_message_conversions).values(**row, event_id=uuid.uuid4(), occurred_ms=0))
