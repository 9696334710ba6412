"""The built web SDK on a strict page in a real browser, against real processes: what is shown, sent and counted."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from sqlalchemy import Column, func, select

from store import tables
from store.connect import create_engine
from tests.support.browser import launched
from tests.support.device import Device, crash, look_away_and_back
from tests.support.host_page import IMAGE_HOST, host_site
from tests.support.loop import Loop, Org
from tests.support.polling import eventually
from tests.support.servers import run_apart

TYPES = ("banner", "modal", "slideout", "tooltip")
ADA = "(sendora) => sendora.identify('ada', {plan: 'free'})"
BATCHES = "**/events/batch"


@pytest.fixture(scope="module")
def site(shared_loop: Loop) -> Iterator[str]:
    with host_site(shared_loop.url("edge")) as url:
        yield url


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """One for the module, which has no asynchronous tests."""
    with launched(chromium_path) as browser:
        yield browser


@pytest.fixture
def device(browser: Browser, site: str, loop: Loop, org: Org) -> Iterator[Device]:
    context = browser.new_context(reduced_motion="reduce")
    device = Device(context, site, loop, org)
    yield device
    context.close()
    assert device.complaints == []


def written(type_: str = "banner", **fields: Any) -> dict[str, Any]:
    """A message as its author writes it."""
    appearance = {"anchor": "#export"} if type_ == "tooltip" else {}
    content = {"title": "Hello", "body": "World", "ctaText": "Go"}
    return {"type": type_, "content": content, "appearance": appearance, **fields}


def publish(device: Device, *bodies: dict[str, Any], **traits: Any) -> list[dict[str, Any]]:
    """Messages, once the edge gives all of them to somebody new with these traits, and knows that there are no more."""
    messages = [device.loop.post_message(device.org, **body) for body in bodies]

    def are_given() -> bool:
        answer = device.loop.fetch(device.org, userId="somebody", traits=traits)
        given = {message["id"] for message in answer["messages"]}
        return given >= {message["id"] for message in messages} and "degraded" not in answer

    eventually(are_given)
    return messages


def patch(device: Device, message: dict[str, Any], changes: dict[str, Any]) -> None:
    """Changes a message, and waits until the edge has heard of it."""
    before = device.loop.fetch(device.org)["revision"]
    answer = device.loop.admin(device.org, "PATCH", f"/in-app-messages/{message['id']}", changes)
    assert answer.status_code == 200, answer.text
    eventually(lambda: device.loop.fetch(device.org)["revision"] > before)


def post_audience(device: Device, rule: dict[str, Any]) -> str:
    answer = device.loop.admin(device.org, "POST", "/audiences", {"name": "Some", "rule": rule})
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["data"]["id"]
    return id_


def part(page: Page, message: dict[str, Any], name: str = "panel") -> Locator:
    return page.locator(f"[data-message-id='{message['id']}']").get_by_test_id(f"inapp-{name}")


def reason(page: Page, message: dict[str, Any]) -> str | None:
    """Why the device does not show it; None: it does, and somebody has seen it."""
    told: str | None = page.evaluate("(id) => sendora.messages.explain(id).reason", message["id"])
    return told


def edge_reason(device: Device, message: dict[str, Any], **query: str) -> str | None:
    path = f"/in-app-messages/{message['id']}/explain?{urlencode({'customerId': 'ada', **query})}"
    told: str | None = device.loop.admin(device.org, "GET", path).json()["data"]["reason"]
    return told


def wait_seen(page: Page, message: dict[str, Any]) -> None:
    eventually(lambda: reason(page, message) is None)


def wait_told(page: Page) -> None:
    """Until the edge has answered, and the answer is on the screen."""
    page.evaluate("sendora.inApp.fetch()")


def pass_time_until(page: Page, check: Callable[[], bool]) -> None:
    """In steps that do not outlast a request, which takes real time."""

    def is_so() -> bool:
        page.clock.run_for(5_000)
        return check()

    eventually(is_so)


def track(page: Page, type_: str, **properties: Any) -> None:
    page.evaluate("([type, properties]) => sendora.track(type, properties)", [type_, properties])


def waiting(page: Page) -> int:
    count: int = page.evaluate("sendora.delivery().waiting")
    return count


def tally(device: Device, column: "Column[Any]") -> Counter[str]:
    """How many rows of the org's Postgres has in the column's table, by what stands in the column."""

    async def count() -> Counter[str]:
        query = select(column, func.count()).where(column.table.c.org_id == UUID(device.org.org_id)).group_by(column)
        engine = create_engine(device.loop.environment["DATABASE_URL"])
        try:
            async with engine.connect() as connection:
                return Counter({str(value): rows for value, rows in await connection.execute(query)})
        finally:
            await engine.dispose()

    return run_apart(count())


def recorded(device: Device, page: Page) -> dict[str, int]:
    """How many events of each type Postgres has, once it has all that this device ever stored.

    An edge's events keep their order, so what was sent before the last one is there when that one is.
    """
    last = f"last.{uuid4().hex}"
    track(page, last)
    eventually(lambda: page.evaluate("sendora.flush()") == {"waiting": 0, "dropped": {}})
    eventually(lambda: tally(device, tables.events.c.type)[last])
    counts = tally(device, tables.events.c.type)
    return {type_: count for type_, count in counts.items() if not type_.startswith("last.")}


# What is shown, and counted


@pytest.mark.parametrize("type_", TYPES)
def test_a_message_is_shown_clicked_dismissed_capped_and_counted_exactly(device: Device, type_: str) -> None:
    [message] = publish(device, written(type_, frequencyCap={"maxImpressions": 2}))
    page = device.open()
    for closing in ("cta", "dismiss"):
        wait_seen(page, message)
        part(page, message, closing).click()
        expect(part(page, message)).to_have_count(0)
        page.reload()
    wait_told(page)
    assert reason(page, message) in ("cap_reached", "not_listed")
    expect(part(page, message)).to_have_count(0)

    assert recorded(device, page) == {"in_app.impression": 2, "in_app.clicked": 1, "in_app.dismissed": 1}
    assert tally(device, tables.in_app_message_impressions.c.message_id) == {message["id"]: 2}
    stats = device.loop.stats(device.org)
    assert (stats["impressions"], stats["uniqueImpressions"], stats["clicks"], stats["dismissals"]) == (2, 1, 1, 1)


def test_an_edit_shows_when_somebody_comes_back_to_the_open_page(device: Device) -> None:
    [message] = publish(device, written())
    others = post_audience(device, {"trait": "plan", "op": "eq", "value": "pro"})
    device.stop_clock()
    page = device.open(prepare=ADA)
    wait_seen(page, message)
    page.evaluate("sendora.flush()")
    wait_told(page)

    def edit(**changes: Any) -> None:
        patch(device, message, changes)
        page.clock.run_for(5_000)
        look_away_and_back(page)

    edit(content={"body": "Everybody"})
    expect(part(page, message, "body")).to_have_text("Everybody")
    edit(appearance={"backgroundColor": "#123456", "position": "bottom"})
    expect(part(page, message)).to_have_css("background-color", "rgb(18, 52, 86)")
    expect(part(page, message)).to_have_attribute("data-position", "bottom")
    edit(audienceId=others)
    expect(part(page, message)).to_have_count(0)
    edit(audienceId=None)
    expect(part(page, message)).to_be_visible()


def test_a_message_that_was_seen_goes_when_it_is_paused_whatever_its_cap(device: Device) -> None:
    [message] = publish(device, written(frequencyCap={"maxImpressions": 5}))
    device.stop_clock()
    page = device.open()
    wait_seen(page, message)
    page.evaluate("sendora.flush()")
    wait_told(page)
    patch(device, message, {"active": False})
    page.clock.run_for(5_000)
    look_away_and_back(page)
    expect(part(page, message)).to_have_count(0)


def test_the_strictest_policy_lets_every_type_look_as_its_author_chose(device: Device) -> None:
    content = {"body": "World", "ctaText": "Go", "ctaUrl": "https://example.com/", "imageUrl": f"{IMAGE_HOST}/a.svg"}
    bodies = [written(type_, content=content) for type_ in ("banner", "slideout", "tooltip", "modal")]
    for body in bodies:
        body["appearance"]["backgroundColor"] = "#123456"
    messages = publish(device, *bodies)
    page = device.open()
    for message in messages:
        wait_seen(page, message)
        expect(part(page, message)).to_have_css("background-color", "rgb(18, 52, 86)")
        expect(part(page, message, "body")).to_have_css("color", "rgb(255, 255, 255)")
        expect(part(page, message, "image")).to_be_visible()
    part(page, messages[-1], "dismiss").click()
    assert device.complaints == []

    page.evaluate("document.body.setAttribute('style', 'color: red')")
    assert eventually(lambda: page.evaluate("0") == 0 and device.complaints) == ["style-src-attr: inline"]
    device.complaints.clear()


def test_the_first_message_takes_one_request_and_an_idle_page_sends_nothing(device: Device) -> None:
    [message] = publish(device, written())
    device.stop_clock()
    page = device.open()
    wait_seen(page, message)
    assert (len(device.requests), len(device.fetches())) == (1, 1)

    page.clock.run_for(1_000)
    eventually(lambda: waiting(page) == 0)
    with page.expect_event("requestfinished"):
        page.clock.run_for(3_000)
    assert (len(device.requests), len(device.fetches())) == (3, 2)
    page.clock.run_for(14 * 60_000)
    assert len(device.requests) == 3
    pass_time_until(page, lambda: len(device.fetches()) == 3)
    assert len(device.requests) == 4


def test_a_delay_that_ends_elsewhere_shows_nothing_and_begins_anew_on_return(device: Device) -> None:
    trigger = {"url": {"op": "ends_with", "value": "/reports"}, "delaySeconds": 60}
    [message] = publish(device, written(trigger=trigger))
    device.stop_clock()
    page = device.open("/reports")
    wait_told(page)

    def go(path: str) -> None:
        page.evaluate("(path) => history.pushState(null, '', path)", path)

    assert reason(page, message) == "delayed"
    page.clock.run_for(59_000)
    go("/settings")
    page.clock.run_for(1_000)
    assert reason(page, message) == "url_mismatch"
    expect(part(page, message)).to_have_count(0)
    go("/reports")
    page.clock.run_for(59_000)
    go("/settings")
    go("/reports")
    page.clock.run_for(59_000)
    assert reason(page, message) == "delayed"
    page.clock.run_for(1_000)
    expect(part(page, message)).to_be_visible()
    go("/settings")
    expect(part(page, message)).to_have_count(0)


# When something goes wrong on the way


def test_what_happens_offline_arrives_once_when_the_network_is_back(device: Device) -> None:
    [message] = publish(device, written())
    device.stop_clock()
    page = device.open()
    wait_seen(page, message)
    device.context.set_offline(True)
    part(page, message, "dismiss").click()
    track(page, "report.exported", pages=4)
    assert page.evaluate("sendora.flush()") == {"waiting": 3, "dropped": {}}
    device.context.set_offline(False)
    eventually(lambda: waiting(page) == 0)
    assert recorded(device, page) == {"in_app.impression": 1, "in_app.dismissed": 1, "report.exported": 1}


def test_a_reload_while_events_wait_sends_each_once(device: Device) -> None:
    [message] = publish(device, written())
    device.stop_clock()
    page = device.open()
    wait_seen(page, message)
    device.context.route(BATCHES, lambda route: route.abort())
    for pages in range(60):
        track(page, "report.exported", pages=pages)
    page.reload()
    assert waiting(page) >= 61
    device.context.unroute(BATCHES)
    wait_seen(page, message)
    assert recorded(device, page) == {"in_app.impression": 2, "report.exported": 60}


def test_what_a_closed_tab_stored_last_arrives_without_another_visit_and_once_with_one(device: Device) -> None:
    publish(device, written())
    device.stop_clock()
    page = device.open()
    track(page, "report.exported")
    page.close()
    eventually(lambda: tally(device, tables.events.c.type)["report.exported"] == 1)
    again = device.open()
    assert waiting(again) >= 1
    assert recorded(device, again)["report.exported"] == 1


def test_a_page_that_crashes_leaves_its_events_to_the_next(device: Device) -> None:
    publish(device, written())
    device.stop_clock()
    page = device.open()
    track(page, "report.exported")
    crash(page)
    assert device.batches() == []
    assert recorded(device, device.open())["report.exported"] == 1


def test_events_whose_answers_are_lost_are_sent_again_and_counted_once(device: Device) -> None:
    [message] = publish(device, written())
    device.stop_clock()
    page = device.open()
    lost: list[int] = []

    def lose(route: Route) -> None:
        lost.append(route.fetch().status)
        route.abort()

    wait_seen(page, message)
    device.context.route(BATCHES, lose, times=2)
    part(page, message, "cta").click()
    track(page, "report.exported")
    pass_time_until(page, lambda: waiting(page) == 0)
    assert lost == [200, 200]
    assert recorded(device, page) == {"in_app.impression": 1, "in_app.clicked": 1, "report.exported": 1}
    stats = device.loop.stats(device.org)
    assert (stats["impressions"], stats["clicks"]) == (1, 1)


def test_two_tabs_send_no_event_twice(device: Device) -> None:
    publish(device, written(trigger={"eventType": "never"}))
    device.stop_clock()
    tabs = [device.open(), device.open()]
    device.context.set_offline(True)
    for tab in tabs:
        for pages in range(3):
            track(tab, "report.exported", pages=pages)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    device.context.route(BATCHES, hold)
    device.context.set_offline(False)
    for tab in tabs:
        tab.evaluate("void sendora.flush()")
        # What it asks of locks is decided before this is.
        tab.evaluate("navigator.locks.query()")
    eventually(lambda: waiting(tabs[0]) == 6 and held)
    device.context.unroute(BATCHES)
    for route in held:
        route.continue_()
    for tab in tabs:
        eventually(lambda tab=tab: waiting(tab) == 0)  # type: ignore[misc]
        assert recorded(device, tab) == {"report.exported": 6}
    ids = [event["id"] for batch in device.batches() for event in batch["events"]]
    assert len(ids) == len(set(ids)) == 8


# What people do


def test_an_event_shows_what_waits_for_it_without_another_request(device: Device) -> None:
    where = [{"property": "pages", "op": "gte", "value": 3}]
    [message] = publish(device, written(trigger={"eventType": "report.exported", "where": where}))
    device.stop_clock()
    page = device.open()
    wait_told(page)
    sent = len(device.requests)
    track(page, "report.exported", pages=2)
    assert reason(page, message) == "event_mismatch"
    expect(part(page, message)).to_have_count(0)
    track(page, "report.exported", pages=3)
    wait_seen(page, message)
    assert len(device.requests) == sent


def test_a_trait_told_to_identify_brings_the_messages_of_an_audience_at_once(device: Device) -> None:
    audience = post_audience(device, {"trait": "plan", "op": "eq", "value": "pro"})
    [message] = publish(device, written(audienceId=audience), plan="pro")
    device.stop_clock()
    page = device.open(prepare=ADA)
    wait_told(page)
    assert reason(page, message) == "not_listed"
    page.evaluate("sendora.identify('ada', {plan: 'pro'})")
    wait_seen(page, message)
    assert device.batches() == []
    assert device.fetches()[-1]["traits"] == {"plan": "pro"}


def test_a_call_to_action_leads_to_a_page_of_the_site_and_counts_once(device: Device) -> None:
    content = {"body": "World", "ctaText": "Go", "ctaUrl": f"{device.site}/pricing"}
    [message] = publish(device, written(content=content, frequencyCap={"stopAfter": ["click"]}))
    page = device.open()
    wait_seen(page, message)
    part(page, message, "cta").click()
    page.wait_for_url("**/pricing")
    assert recorded(device, page) == {"in_app.impression": 1, "in_app.clicked": 1}
    assert device.loop.stats(device.org)["clicks"] == 1
    expect(part(page, message)).to_have_count(0)


def test_an_app_that_takes_care_of_a_link_stays_on_its_page(device: Device) -> None:
    content = {"body": "World", "ctaText": "Go", "ctaUrl": f"{device.site}/pricing"}
    [message] = publish(device, written(content=content))
    page = device.open(
        prepare="""(sendora) => sendora.messages.onAction(({ type, url }) => {
          window.followed = [type, url];
          return false;
        })"""
    )
    wait_seen(page, message)
    part(page, message, "cta").click()
    expect(part(page, message)).to_have_count(0)
    assert recorded(device, page) == {"in_app.impression": 1, "in_app.clicked": 1}
    assert page.evaluate("followed") == ["click", content["ctaUrl"]]
    assert page.url == f"{device.site}/"


@pytest.mark.parametrize(("headless", "drawn_by_sdk"), [(True, "true"), (False, "false")])
def test_an_app_that_draws_a_message_itself_counts_it(device: Device, headless: bool, drawn_by_sdk: str) -> None:
    [message] = publish(device, written())
    drawing = f"({{ id }}) => {{ window.told = id; return {drawn_by_sdk}; }}"
    page = device.open(prepare=f"(sendora) => sendora.messages.onDisplay({drawing})", headless=headless)
    wait_told(page)
    assert page.evaluate("told") == message["id"]
    expect(page.get_by_test_id("inapp-message")).to_have_count(0)
    assert reason(page, message) == "not_in_sight"
    for call in ("recordImpression", "recordImpression", "recordClick"):
        page.evaluate("([call, id]) => sendora.messages[call](id)", [call, message["id"]])
    assert recorded(device, page) == {"in_app.impression": 1, "in_app.clicked": 1}
    assert tally(device, tables.in_app_message_impressions.c.message_id) == {message["id"]: 1}


# What the SDK refuses


def test_secret_keys_and_plain_http_are_refused_with_what_to_do(device: Device) -> None:
    page = device.open(consent=False)

    def answer(**options: str) -> list[str]:
        told: list[str] = page.evaluate(
            """(given) => {
              try {
                SendoraCloud.init({ ...options, ...given });
                return ["accepted"];
              } catch ({ name, code, message }) {
                return [name, code, message];
              }
            }""",
            options,
        )
        return told

    *refusal, advice = answer(apiKey=device.org.secret_key)
    assert refusal == ["SendoraError", "invalid_api_key"]
    assert "pk_" in advice
    assert device.org.secret_key not in advice
    for url in ("http://edge.example.com", "http://localhost.example.com", "edge.example.com"):
        *refusal, advice = answer(apiUrl=url)
        assert refusal == ["SendoraError", "insecure_api_url"], url
        assert "https" in advice
    for url in ("https://edge.example.com", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080/"):
        assert answer(apiUrl=url) == ["accepted"], url


def test_without_consent_nothing_is_stored_or_sent_until_it_is_granted(device: Device) -> None:
    [message] = publish(device, written())
    device.stop_clock()
    page = device.open(prepare=ADA, consent=False)
    track(page, "report.exported")
    page.clock.run_for(20 * 60_000)
    look_away_and_back(page)
    assert page.evaluate("sendora.messages.fetchActive().catch(({ code }) => code)") == "consent_missing"
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert device.requests == []
    page.evaluate("sendora.consent.grant()")
    wait_seen(page, message)
    assert recorded(device, page) == {"user.identified": 1, "report.exported": 1, "in_app.impression": 1}
    page.evaluate("sendora.consent.revoke()")
    expect(part(page, message)).to_have_count(0)
    assert page.evaluate("localStorage.length") == 0


# Why not shown: the device and the edge say the same


def test_caps_count_at_once_also_after_a_reload_and_for_the_edges_reasons(device: Device) -> None:
    caps = {
        "cap_reached": {"maxImpressions": 1},
        "too_soon": {"minIntervalSeconds": 3600},
        "stopped_by_click": {"stopAfter": ["click"]},
        "stopped_by_dismissal": {"stopAfter": ["dismiss"]},
    }
    bodies = [written(slot=why, frequencyCap=cap) for why, cap in caps.items()]
    messages = dict(zip(caps, publish(device, *bodies), strict=True))
    page = device.open(prepare=f"(sendora) => {{ ({ADA})(sendora); navigator.sendBeacon = () => true; }}")
    device.context.route(BATCHES, lambda route: route.abort())
    for why, message in messages.items():
        wait_seen(page, message)
        part(page, message, "cta" if why == "stopped_by_click" else "dismiss").click()
    page.reload()
    wait_told(page)
    for why, message in messages.items():
        assert reason(page, message) == why
    expect(page.get_by_test_id("inapp-message")).to_have_count(0)

    device.context.unroute(BATCHES)
    recorded(device, page)
    for why, message in messages.items():
        assert edge_reason(device, message) == why


def test_the_place_the_event_and_the_window_have_the_edges_reasons(device: Device) -> None:
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    elsewhere, unheard, ending = publish(
        device,
        written(trigger={"url": {"op": "contains", "value": "/reports"}}),
        written("slideout", trigger={"eventType": "report.exported"}),
        written("modal", endsAt=ends_at.isoformat()),
    )
    device.stop_clock()
    page = device.open("/settings", prepare=ADA)
    wait_seen(page, ending)
    assert reason(page, elsewhere) == edge_reason(device, elsewhere, url=page.url) == "url_mismatch"
    assert reason(page, unheard) == edge_reason(device, unheard, event="other") == "event_mismatch"

    device.context.set_offline(True)
    page.clock.run_for(2 * 3_600_000)
    patch(device, ending, {"endsAt": datetime.now(UTC).isoformat()})
    expect(part(page, ending)).to_have_count(0)
    assert reason(page, ending) == edge_reason(device, ending) == "ended"
