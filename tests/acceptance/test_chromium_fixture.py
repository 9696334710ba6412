import pytest
from playwright.sync_api import Browser


def test_chromium_runs_a_page_and_its_script(chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto("data:text/html,<button onclick='this.textContent=6*7'>answer</button>")
    page.get_by_role("button").click()
    assert page.get_by_role("button").text_content() == "42"


@pytest.mark.anyio
async def test_asynchronous_tests_run_after_one_with_chromium() -> None:
    """Playwright's event loop is gone from the thread, or this test could not start."""
