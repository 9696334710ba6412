"""Somebody's browser on the site of `host_page`, and what it sends to the edge."""

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, Error, Page, Request

from tests.support.host_page import IMAGE_HOST
from tests.support.loop import Loop, Org

_IMAGE = '<svg xmlns="http://www.w3.org/2000/svg"/>'
_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => complain(`${event.violatedDirective}: ${event.blockedURI}`));
"""


@dataclass
class Device:
    """A browser with a storage of its own. `complaints`: of the policy, and errors that nobody caught."""

    context: BrowserContext
    site: str
    loop: Loop
    org: Org
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.expose_function("complain", self._complain)
        self.context.add_init_script(_TELL_VIOLATIONS)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("request", self._keep)
        self.context.route(f"{IMAGE_HOST}/**", lambda route: route.fulfill(body=_IMAGE, content_type="image/svg+xml"))

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def _keep(self, request: Request) -> None:
        if request.url.startswith(self.loop.url("edge")):
            self.requests.append(request)

    def open(self, path: str = "/", prepare: str = "() => {}", **options: Any) -> Page:
        """A page that starts the SDK at each load. `prepare`: a function that gets the SDK before it starts."""
        given = {"apiKey": self.org.public_key, "apiUrl": self.loop.url("edge"), **options}
        page = self.context.new_page()
        page.add_init_script(f"window.options = {json.dumps(given)}; window.prepare = {prepare};")
        page.goto(self.site + path)
        return page

    def stop_clock(self) -> None:
        """In pages that are opened from now on time passes only by `page.clock.run_for`."""
        now = time.time()
        self.context.clock.install(time=now - 1)
        self.context.clock.pause_at(now)

    def fetches(self) -> list[Any]:
        return self._asked("in-app-messages/fetch")

    def batches(self) -> list[Any]:
        return self._asked("events/batch")

    def _asked(self, path: str) -> list[Any]:
        return [request.post_data_json for request in self.requests if request.url.endswith(path)]


def look_away_and_back(page: Page) -> None:
    """To another tab, as a person does: Playwright's pages otherwise all believe that they have the focus."""
    page.context.new_cdp_session(page).send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    other = page.context.new_page()
    other.bring_to_front()
    page.bring_to_front()
    other.close()


def crash(page: Page) -> None:
    """Ends its process, of which the page hears nothing."""
    with page.expect_event("crash"), suppress(Error):
        page.goto("chrome://crash")
