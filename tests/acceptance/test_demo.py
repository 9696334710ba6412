"""`inapp demo`, as a newcomer meets it: the seeded org, the page in a real browser, a second start, a clean stop."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from inapp.embedded.ports import free_port
from tests.support.browser import axe_violations
from tests.support.polling import eventually
from tests.support.processes import Process, Processes
from wire.rules import parse_rule

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SDK_GUIDE = ROOT / "docs" / "sdk.md"
GUIDE_PORT = "8080"


@dataclass(slots=True)
class Demo:
    process: Process
    ready: dict[str, str]

    def get(self, path: str) -> Any:
        url = f"{self.ready['admin']}/api/v1/orgs/{self.ready['orgId']}{path}"
        answer = httpx.get(url, headers={"X-API-Key": self.ready["secretKey"]})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def patch(self, message: dict[str, Any], changes: dict[str, Any]) -> None:
        url = f"{self.ready['admin']}/api/v1/orgs/{self.ready['orgId']}/in-app-messages/{message['id']}"
        answer = httpx.patch(url, json=changes, headers={"X-API-Key": self.ready["secretKey"]})
        assert answer.status_code == 200, answer.text

    def message(self, name: str) -> dict[str, Any]:
        items: list[dict[str, Any]] = self.get("/in-app-messages?limit=200")["items"]
        return next(item for item in items if item["name"] == name)


def start(processes: Processes, data_dir: Path, database_url: str, redis_db: str) -> Demo:
    ready_file = data_dir / "demo-ready.json"
    ready_file.unlink(missing_ok=True)
    ports = ("--admin-port", "0", "--edge-port", "0", "--host-port", "0")
    options = (*ports, "--data-dir", str(data_dir / "demo"), "--ready-file", str(ready_file))
    process = processes.start("demo", *options, env={"DATABASE_URL": database_url, "REDIS_URL": redis_db})

    def ready() -> bool:
        assert process.popen.poll() is None or pytest.fail(process.output)
        return ready_file.exists()

    eventually(ready, timeout=60)
    return Demo(process, json.loads(ready_file.read_text()))


@pytest.fixture
def demo(processes: Processes, data_dir: Path, database_url: str, redis_db: str) -> Demo:
    return start(processes, data_dir, database_url, redis_db)


@pytest.fixture
def page(chromium: Browser, demo: Demo) -> Iterator[Page]:
    context = chromium.new_context(reduced_motion="reduce")
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(demo.ready["page"])
    page.wait_for_selector("html[data-ready]")
    yield page
    context.close()
    assert errors == []


def test_the_demo_seeds_an_org_once_and_keeps_it(
    processes: Processes, data_dir: Path, database_url: str, redis_db: str
) -> None:
    first = start(processes, data_dir, database_url, redis_db)
    messages = first.get("/in-app-messages?limit=200")["items"]
    assert {message["type"] for message in messages} == {"banner", "modal", "slideout", "tooltip"}
    assert len(messages) >= 12
    assert {message["status"] for message in messages} >= {"live", "scheduled", "ended", "paused", "draft"}
    assert all(message["problems"] == [] for message in messages)
    assert len(first.get("/audiences?limit=200")["items"]) >= 4
    counted = eventually(lambda: count_customers(first) == 500 and 500, timeout=20)
    assert counted == 500
    assert "curl" in first.process.output
    assert first.process.stop() == 0

    second = start(processes, data_dir, database_url, redis_db)
    assert second.ready["orgId"] == first.ready["orgId"]
    assert len(second.get("/in-app-messages?limit=200")["items"]) == len(messages)


def count_customers(demo: Demo) -> int:
    anybody = {"rule": {"trait": "plan", "op": "exists"}}
    url = f"{demo.ready['admin']}/api/v1/orgs/{demo.ready['orgId']}/audiences/preview"
    answer = httpx.post(url, json=anybody, headers={"X-API-Key": demo.ready["secretKey"]})
    count: int = answer.json()["data"]["count"]
    return count


def test_the_readme_tour_works_as_it_is_written(demo: Demo) -> None:
    tour = README.read_text().split("## Five minutes with curl")[1].split("Both APIs describe themselves")[0]
    *steps, count = re.findall(r"```sh\n(.*?)```", tour, re.DOTALL)
    ran = run_as_written(demo, [*steps, count])
    assert ran.stdout.index('"title": "Tea time"') < ran.stdout.index('"accepted"', ran.stdout.index("messages"))
    counted = json.loads(ran.stdout[ran.stdout.rindex('{"success"') :])["data"]
    assert (counted["impressions"], counted["clicks"]) == (1, 1)


def test_the_readmes_lines_about_audiences_work_as_they_are_written(demo: Demo) -> None:
    text = README.read_text()
    tour = text.split("## Five minutes with curl")[1].split("Both APIs describe themselves")[0]
    about_audiences = text.split("## Audiences over what people do")[1].split("## How it works")[0]
    (json_rule,) = re.findall(r"```json\n(.*?)```", about_audiences, re.DOTALL)
    ran = run_as_written(demo, [*re.findall(r"```sh\n(.*?)```", tour + about_audiences, re.DOTALL)])
    parse_rule(json.loads(json_rule))
    for told in ('"exact":true', "Tea drinkers", "Nothing was written"):
        assert told in ran.stdout + ran.stderr


def test_the_five_minutes_with_the_sdk_work_as_they_are_written(
    demo: Demo, processes: Processes, chromium: Browser
) -> None:
    guide = SDK_GUIDE.read_text().split("## Five minutes to the first message")[1].split("\n### ")[0]
    *steps, serve = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    home = demo.process.log.parent
    run_as_written(demo, steps, cwd=ROOT, HOME=str(home))
    port = str(free_port())
    command = ("bash", "-c", f"exec {serve.replace(GUIDE_PORT, port)}")
    processes.start(command=command, name="site", env={"HOME": str(home)})
    site = f"http://localhost:{port}"
    eventually(lambda: is_served(site))
    page = chromium.new_page(reduced_motion="reduce")
    page.goto(site)
    banner = page.get_by_test_id("inapp-message").filter(has_text="My first message.")
    expect(banner.get_by_test_id("inapp-panel")).to_be_visible()
    expect(page.locator("body")).not_to_have_css("padding-top", "0px")
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_role("dialog", name="You export like a pro")).to_be_visible()


def is_served(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def run_as_written(
    demo: Demo, blocks: list[str], cwd: Path | None = None, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """In one shell, after the lines that the demo prints, in a folder beside its data."""
    printed = re.findall(r"^(?:ORG|ADMIN|EDGE|SECRET|PUBLIC)=.*$", demo.process.output, re.MULTILINE)
    script = "\nsleep 0.5\n".join(["set -eu", *printed, *blocks])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
    environment |= {"DATABASE_URL": demo.ready["databaseUrl"], "REDIS_URL": demo.ready["redisUrl"]}
    folder = cwd or demo.process.log.parent
    ran = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran


def rendered(page: Page, message: dict[str, Any]) -> Any:
    return page.locator(f"[data-testid=inapp-message][data-message-id='{message['id']}']")


def test_a_click_in_the_browser_is_counted(demo: Demo, page: Page) -> None:
    welcome = demo.message("Welcome")
    shown = rendered(page, welcome)
    expect(shown.get_by_test_id("inapp-title")).to_have_text("Welcome to Acme Reports")
    shown.get_by_test_id("inapp-cta").click()
    expect(shown).to_have_count(0)
    stats = f"/in-app-messages/{welcome['id']}/stats"
    eventually(lambda: (demo.get(stats)["impressions"], demo.get(stats)["clicks"]) == (1, 1))
    assert demo.get("/in-app-messages/stats")["clicks"] == 1


def test_all_four_types_render_with_position_theme_and_colours_and_can_be_dismissed(demo: Demo, page: Page) -> None:
    page.get_by_test_id("customer-select").select_option("ada")
    page.get_by_test_id("nav-reports").click()
    for name, type_, position, theme in (
        ("Welcome", "banner", "top", "auto"),
        ("Scheduled exports", "slideout", "bottom", "auto"),
        ("Export tip", "tooltip", "bottom", "dark"),
    ):
        message = demo.message(name)
        shown = rendered(page, message)
        panel = shown.get_by_test_id("inapp-panel")
        expect(panel).to_be_visible(timeout=15_000)
        expect(shown).to_have_attribute("data-type", type_)
        expect(shown).to_have_attribute("data-position", position)
        expect(panel).to_have_attribute("data-theme", theme)
        shown.get_by_test_id("inapp-dismiss").click()
        expect(shown).to_have_count(0)

    page.get_by_test_id("event-report-exported").click()
    nudge = rendered(page, demo.message("Upgrade nudge"))
    expect(nudge.get_by_test_id("inapp-panel")).to_have_css("background-color", "rgb(18, 38, 63)")
    page.keyboard.press("Escape")
    expect(nudge).to_have_count(0)
    eventually(lambda: demo.get("/in-app-messages/stats")["dismissals"] == 4)
    assert demo.get("/in-app-messages/stats")["impressions"] >= 4


def test_the_console_says_why_a_message_shows_or_not_and_what_was_sent(page: Page) -> None:
    rows = page.get_by_test_id("message-row")
    expect(rows.filter(has_text="Welcome to Acme Reports")).to_have_attribute("data-state", "in sight")
    nudge = rows.filter(has_text="You export like a pro")
    expect(nudge).to_have_attribute("data-state", "event_mismatch")
    expect(nudge).to_contain_text("report.exported where pages gte 3")
    nudge.get_by_role("button").press("Enter")
    expect(nudge).to_have_attribute("data-state", "in sight")
    page.keyboard.press("Escape")
    closed = page.get_by_test_id("activity-entry").filter(has_text="dismissal You export like a pro")
    expect(closed).to_have_attribute("data-status", "sent")
    expect(page.get_by_test_id("delivery")).to_have_text("all sent")


def test_axe_finds_nothing_at_any_place_and_the_keyboard_goes_the_way_of_the_eye(page: Page) -> None:
    for width, theme in ((320, "dark"), (1280, "light")):
        page.set_viewport_size({"width": width, "height": 900})
        eventually(lambda: stand_as_in_the_document(page))
        page.get_by_test_id("theme-select").select_option(theme)
        for place in ("overview", "reports", "pricing", "checkout"):
            page.get_by_test_id(f"nav-{place}").click()
            assert axe_violations(page) == [], (width, place)


def stand_as_in_the_document(page: Page) -> bool:
    """Of product and console the one that comes first in the document is left of or above the other."""
    first, second = (part.bounding_box() for part in page.locator("main, aside").all())
    assert first and second
    return first["x"] < second["x"] or first["y"] + first["height"] <= second["y"]


def test_who_goes_elsewhere_by_keyboard_begins_at_the_product(page: Page) -> None:
    page.get_by_test_id("nav-pricing").press("Enter")
    page.get_by_role("link", name="Choose Pro").press("Enter")
    expect(page.get_by_role("heading", name="One step to Pro")).to_be_visible()
    expect(page.get_by_test_id("product")).to_be_focused()
    page.get_by_test_id("pay-button").focus()
    page.go_back()
    expect(page.get_by_test_id("product")).to_be_focused()


def test_the_command_that_is_copied_works(demo: Demo, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_test_id("copy-stats").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    ran = run_as_written(demo, [page.evaluate("navigator.clipboard.readText()")])
    assert json.loads(ran.stdout)["success"] is True


def test_an_edit_that_comes_when_the_sdk_asks_by_itself_is_in_the_console_too(demo: Demo, page: Page) -> None:
    page.get_by_test_id("poll-toggle").uncheck()
    expect(page.get_by_test_id("delivery")).to_have_text("all sent")
    welcome = demo.message("Welcome")
    demo.patch(welcome, {"content": {**welcome["content"], "title": "Hello again"}})
    page.get_by_test_id("event-teammate-invited").click()
    expect(page.get_by_test_id("message-row").filter(has_text="Hello again")).to_have_count(1)


def test_a_message_posted_now_appears_on_the_open_page_and_goes_when_paused(demo: Demo, page: Page) -> None:
    url = f"{demo.ready['admin']}/api/v1/orgs/{demo.ready['orgId']}/in-app-messages"
    headers = {"X-API-Key": demo.ready["secretKey"]}
    body = {
        "type": "slideout",
        "content": {"body": "Hello from the test"},
        "appearance": {"position": "top"},
        "slot": "test",
    }
    message = httpx.post(url, json=body, headers=headers).json()["data"]
    expect(rendered(page, message).get_by_test_id("inapp-body")).to_have_text("Hello from the test", timeout=15_000)
    demo.patch(message, {"active": False})
    expect(rendered(page, message)).to_have_count(0, timeout=15_000)
