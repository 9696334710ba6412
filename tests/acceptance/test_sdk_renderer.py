"""The web SDK's renderer in a real browser: what people see, reach by keyboard and hear, on pages of every kind."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import axe_violations, launched
from tests.support.polling import eventually
from tests.support.sdk_renderer import IMAGE_URL, message, open_host, renderer_site, show

TYPES = ("banner", "modal", "slideout", "tooltip")
OTHERS = ("banner", "slideout", "tooltip")
GONE_IMAGE = "https://images.test/gone.png"
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with renderer_site(tmp_path_factory.mktemp("renderer")) as url:
        yield url


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """One for the module, which has no asynchronous tests."""
    with launched(chromium_path) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    page = browser.new_page(reduced_motion="reduce")
    open_host(page, site)
    yield page
    page.close()


def part(page: Page, name: str, id_: str | None = None) -> Locator:
    """`panel`, `title`, `cta`… of the only message, or of the one with this id."""
    host = page.get_by_test_id("inapp-message") if id_ is None else page.locator(f"[data-message-id={id_}]")
    return host.get_by_test_id(f"inapp-{name}")


def reports(page: Page) -> list[str]:
    told: list[str] = page.evaluate("reports")
    return told


def await_shown(page: Page, id_: str) -> None:
    page.wait_for_function("id => reports.includes(`shown ${id}`)", arg=id_)


def focused(page: Page) -> str:
    """The test id, or the id, of the element that has the focus, wherever it is."""
    found: str = page.evaluate(
        """() => {
          let node = document.activeElement;
          while (node.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
          return node.dataset.testid ?? (node.id || node.tagName);
        }"""
    )
    return found


def is_on_top(locator: Locator) -> bool:
    """Whether a press on its middle would reach it: nothing covers it, and it is not inert."""
    hit: bool = locator.evaluate(
        """node => {
          const { left, top, width, height } = node.getBoundingClientRect();
          return node.getRootNode().elementFromPoint(left + width / 2, top + height / 2) === node;
        }"""
    )
    return hit


def box(locator: Locator) -> dict[str, float]:
    found = locator.bounding_box()
    assert found is not None
    x, y, width, height = found["x"], found["y"], found["width"], found["height"]
    return {"x": x, "y": y, "width": width, "height": height, "right": x + width, "bottom": y + height}


# What axe-core finds


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing_in_any_type_and_theme(browser: Browser, site: str, direction: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 700}, reduced_motion="reduce", color_scheme="dark")
    open_host(page, site, direction)
    colours = {"backgroundColor": "#0f766e"}
    # A long text has to scroll; the contrast of one that scrolls is not looked at.
    texts = {"body": f"{LONG_WORD} " * 20} if width == 320 else {}
    looks: list[dict[str, Any]] = [{"theme": "light"}, {"theme": "dark"}, {"theme": "auto"}, colours]
    for type_ in TYPES:
        for look in looks:
            show(page, message(type_, imageUrl=IMAGE_URL, **texts, **look))
            await_shown(page, type_)
            assert axe_violations(page) == [], (type_, look)
            page.evaluate("id => { hide(id); reports.length = 0 }", type_)
    page.close()


# Keyboard and focus


@pytest.mark.parametrize("type_", OTHERS)
def test_a_message_takes_no_focus_and_gives_it_back(page: Page, type_: str) -> None:
    page.locator("#before").focus()
    show(page, message(type_))
    await_shown(page, type_)
    assert focused(page) == "before"
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(focused(page))
    assert reached[-2:] == ["inapp-cta", "inapp-dismiss"]
    page.keyboard.press("Escape")
    expect(part(page, "panel")).to_have_count(0)
    assert reports(page) == [f"shown {type_}", f"dismissed {type_}"]
    assert focused(page) == reached[1]


def test_a_modal_holds_the_focus_and_gives_it_back(page: Page) -> None:
    page.locator("#before").focus()
    show(page, message("modal"))
    await_shown(page, "modal")
    assert focused(page) == "inapp-panel"
    page.keyboard.press("Enter")
    assert reports(page) == ["shown modal"]
    reached = set()
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.add(focused(page))
    assert {"inapp-cta", "inapp-dismiss"} <= reached
    assert not reached & {"before", "anchor"}
    page.keyboard.press("Escape")
    expect(part(page, "panel")).to_have_count(0)
    assert reports(page) == ["shown modal", "dismissed modal"]
    assert focused(page) == "before"


@pytest.mark.parametrize("type_", TYPES)
def test_a_message_that_is_not_dismissible_stays(page: Page, type_: str) -> None:
    show(page, message(type_, dismissible=False))
    await_shown(page, type_)
    expect(part(page, "dismiss")).to_have_count(0)
    part(page, "cta").focus()
    for _ in range(3):
        page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    expect(part(page, "panel")).to_be_visible()
    part(page, "cta").click()
    assert reports(page) == [f"shown {type_}", f"clicked {type_}"]


def test_a_modal_without_any_way_out_can_be_dismissed_all_the_same(page: Page) -> None:
    show(page, message("modal", dismissible=False, ctaText=None))
    part(page, "dismiss").click()
    assert reports(page)[-1] == "dismissed modal"


def test_a_press_beside_a_modal_does_not_lose_it(page: Page) -> None:
    show(page, message("modal"))
    await_shown(page, "modal")
    page.mouse.click(5, 5)
    expect(part(page, "panel")).to_be_visible()


def test_a_message_is_announced_once(page: Page) -> None:
    show(page, message("slideout"))
    region = page.get_by_test_id("inapp-layer").locator("[aria-live]")
    expect(region.locator("p")).to_have_text(
        ["Scheduled exports. Pick a weekday and an hour, and the report is in your inbox."]
    )
    expect(part(page, "panel")).to_have_role("region")
    expect(part(page, "panel")).to_have_accessible_name("Scheduled exports")
    expect(part(page, "dismiss")).to_have_accessible_name("Dismiss")
    expect(region.locator("p")).to_have_count(0, timeout=8_000)


# What is shown, and where it may lead


def test_a_strict_page_shows_every_type_without_a_violation(browser: Browser, site: str) -> None:
    page = browser.new_page(reduced_motion="reduce")
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(error.message))
    open_host(page, f"{site}/strict")
    for type_ in ("banner", "slideout", "tooltip", "modal"):
        show(page, message(type_, imageUrl=IMAGE_URL, backgroundColor="#123456", ctaUrl="https://example.com/"))
        await_shown(page, type_)
        expect(part(page, "panel", type_)).to_have_css("background-color", "rgb(18, 52, 86)")
    part(page, "dismiss", "modal").click()
    assert complaints == []
    page.close()


def test_the_pages_own_rules_stay_outside(page: Page) -> None:
    show(page, message("slideout"))
    for name in ("title", "body"):
        expect(part(page, name)).to_have_css("text-transform", "none")
    expect(part(page, "body")).not_to_have_css("color", "rgb(176, 0, 32)")
    page.add_style_tag(content="[data-type=slideout]::part(cta) { background: rgb(1, 2, 3) }")
    expect(part(page, "cta")).to_have_css("background-color", "rgb(1, 2, 3)")


@pytest.mark.parametrize(
    ("given", "surface", "text"),
    [
        ({"backgroundColor": "#777", "textColor": "#888888"}, "rgb(119, 119, 119)", "rgb(136, 136, 136)"),
        ({"backgroundColor": "#ffd84d"}, "rgb(255, 216, 77)", "rgb(0, 0, 0)"),
        ({"textColor": "#ffd84d"}, "rgb(0, 0, 0)", "rgb(255, 216, 77)"),
        ({"backgroundColor": "red", "theme": "light"}, "rgb(255, 255, 255)", "rgb(23, 24, 28)"),
    ],
)
def test_an_authors_colours_are_shown_exactly(page: Page, given: dict[str, str], surface: str, text: str) -> None:
    show(page, message("banner", **given))
    expect(part(page, "panel")).to_have_css("background-color", surface)
    expect(part(page, "title")).to_have_css("color", text)
    expect(part(page, "cta")).to_have_css("background-color", text)
    expect(part(page, "cta")).to_have_css("color", surface)


def test_a_position_and_a_theme_of_a_newer_server_become_the_plainest_ones(page: Page) -> None:
    for type_ in ("banner", "slideout", "tooltip", "modal"):
        show(page, message(type_, position="left", theme="sepia"))
        expect(part(page, "panel", type_)).to_have_attribute("data-position", "center")
        expect(part(page, "panel", type_)).to_have_css("color-scheme", "light dark")  # the page's
        expect(part(page, "panel", type_)).to_be_visible()


@pytest.mark.parametrize(
    "url", ["javascript:window.broken=1", "data:text/html,x", "http://example.com/", "//x", "http:"]
)
def test_a_refused_url_becomes_a_button_that_only_closes(page: Page, url: str) -> None:
    show(page, message("banner", ctaUrl=url, ctaText=None))
    cta = part(page, "cta")
    expect(cta).to_have_text("Learn more")
    assert cta.evaluate("node => node.localName") == "button"
    cta.click()
    assert reports(page)[-1] == "clicked banner"
    assert page.evaluate("window.broken") is None


def test_a_link_leads_elsewhere_in_a_new_tab_and_home_in_place(page: Page, site: str) -> None:
    page.context.route("https://example.com/**", lambda route: route.fulfill(body="elsewhere"))
    show(page, message("banner", ctaUrl="https://example.com/pricing"))
    expect(part(page, "cta")).to_have_attribute("rel", "noreferrer")
    with page.expect_popup() as opened:
        part(page, "cta").click()
    expect(opened.value).to_have_url("https://example.com/pricing")
    assert opened.value.evaluate("opener") is None
    assert reports(page)[-1] == "clicked banner"
    opened.value.close()

    show(page, message("slideout", ctaUrl=f"{site}/there"))
    part(page, "cta").click()
    expect(page).to_have_url(f"{site}/there")


def test_a_link_is_not_followed_when_the_app_takes_care_of_it(page: Page, site: str) -> None:
    page.evaluate("follows = false")
    show(page, message("slideout", ctaUrl=f"{site}/there"))
    part(page, "cta").click()
    assert reports(page)[-1] == "clicked slideout"
    page.wait_for_timeout(200)
    expect(page).to_have_url(f"{site}/")


def test_an_image_that_fails_keeps_its_room(page: Page) -> None:
    for type_ in TYPES:
        show(page, message(type_, id=f"{type_}1", imageUrl=IMAGE_URL))
        await_shown(page, f"{type_}1")
        whole = box(part(page, "panel", f"{type_}1"))
        page.evaluate("hide", f"{type_}1")
        with page.expect_event("requestfailed"):
            show(page, message(type_, id=f"{type_}2", imageUrl=GONE_IMAGE))
        expect(part(page, "panel", f"{type_}2")).to_be_visible()
        expect(part(page, "image", f"{type_}2")).to_be_hidden()
        assert box(part(page, "panel", f"{type_}2"))["height"] == whole["height"]
        page.evaluate("hide", f"{type_}2")


@pytest.mark.parametrize("type_", TYPES)
def test_a_long_text_fits_a_small_screen_with_the_ways_out_in_sight(browser: Browser, site: str, type_: str) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 480}, reduced_motion="reduce")
    open_host(page, site)
    before = page.evaluate("document.documentElement.scrollWidth")
    show(page, message(type_, title=LONG_WORD, body=f"{LONG_WORD} " * 40, ctaText=LONG_WORD, imageUrl=IMAGE_URL))
    await_shown(page, type_)
    assert page.evaluate("document.documentElement.scrollWidth") == before
    panel = box(part(page, "panel"))
    assert panel["x"] >= 0 and panel["y"] >= 0 and panel["right"] <= 320 and panel["bottom"] <= 480
    for name in ("title", "body", "cta"):
        assert part(page, name).evaluate("node => node.scrollWidth <= node.clientWidth + 1"), name
    for name in ("cta", "dismiss"):
        assert is_on_top(part(page, name)), name
        size = box(part(page, name))
        assert min(size["width"], size["height"]) >= 24
    page.close()


def test_nothing_moves_for_who_wants_no_motion(browser: Browser, site: str) -> None:
    running: dict[str, list[int]] = {}
    for motion in ("reduce", "no-preference"):
        page = browser.new_page(reduced_motion="reduce" if motion == "reduce" else "no-preference")
        open_host(page, site)
        moving = "node => node.getRootNode().getAnimations().length"
        running[motion] = []
        for type_ in ("banner", "modal"):
            show(page, message(type_))
            running[motion].append(part(page, "panel", type_).evaluate(moving))
        page.close()
    assert running["reduce"] == [0, 0]
    assert all(running["no-preference"])


# Several messages, and the page's own dialogs


def test_banners_stack_and_tell_the_page_how_high_they_are(page: Page) -> None:
    edge = "side => document.documentElement.style.getPropertyValue(`--sendora-${side}`)"
    for id_, position in (("a", "top"), ("b", "top"), ("c", "bottom")):
        show(page, message("banner", id=id_, position=position))
        await_shown(page, id_)
    first, second, third = (box(part(page, "panel", id_)) for id_ in "abc")
    assert (first["y"], second["y"]) == (0, first["bottom"])
    eventually(lambda: page.evaluate(edge, "top") == f"{round(second['bottom'])}px")
    assert page.evaluate(edge, "bottom") == f"{round(third['height'])}px"
    for id_ in "abc":
        part(page, "dismiss", id_).click()
    eventually(lambda: [page.evaluate(edge, side) for side in ("top", "bottom")] == ["", ""])


def test_slideouts_in_one_corner_stack(page: Page) -> None:
    for id_ in "ab":
        show(page, message("slideout", id=id_))
        await_shown(page, id_)
    assert box(part(page, "panel", "a"))["bottom"] < box(part(page, "panel", "b"))["y"]


def test_a_message_moves_into_an_open_dialog_and_out_of_it_again(page: Page) -> None:
    dismiss = part(page, "dismiss")
    page.evaluate("settings.showModal()")
    show(page, message("banner"))
    await_shown(page, "banner")
    assert is_on_top(dismiss)
    page.evaluate("question.showModal()")
    assert is_on_top(dismiss)
    for name in ("question", "settings"):
        page.evaluate(f"{name}.close()")
        assert is_on_top(dismiss)
    page.evaluate("settings.showModal()")
    assert is_on_top(dismiss)
    page.evaluate("settings.remove()")
    assert is_on_top(dismiss)
    assert page.get_by_test_id("inapp-layer").evaluate("node => node.parentNode === document.body")
    assert reports(page) == ["shown banner"]


def test_escape_in_a_message_leaves_the_dialog_around_it_open(page: Page) -> None:
    page.evaluate("settings.showModal()")
    show(page, message("slideout"))
    page.keyboard.press("Tab")
    while focused(page) != "inapp-cta":
        page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(part(page, "panel")).to_have_count(0)
    assert page.evaluate("settings.open")
    assert focused(page) == "inside"


def test_a_message_lies_above_everything_that_the_page_has(page: Page) -> None:
    cover = """() => {
      const cover = document.createElement("div");
      cover.style.cssText = "position: fixed; inset: 0; z-index: 2147483647; background: red";
      document.body.append(cover);
    }"""
    for type_ in ("banner", "slideout", "tooltip", "modal"):
        show(page, message(type_))
        await_shown(page, type_)
        page.evaluate(cover)
        assert is_on_top(part(page, "dismiss", type_))


def test_a_message_is_shown_only_once_somebody_looks_at_the_page(page: Page) -> None:
    hidden = "isHidden => Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true })"
    page.evaluate(hidden, True)
    show(page, message("banner"))
    page.wait_for_timeout(200)
    assert reports(page) == []
    page.evaluate(hidden, False)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await_shown(page, "banner")


# Tooltips


def test_a_tooltip_waits_for_its_anchor_goes_with_it_and_comes_back(page: Page) -> None:
    show(page, message("tooltip", anchor="#later"))
    panel = part(page, "panel")
    page.wait_for_timeout(150)
    assert reports(page) == []
    add = "main.insertAdjacentHTML('beforeend', '<button id=later>Late</button>')"
    page.evaluate(f"const main = document.querySelector('main'); {add}; scrollTo(0, 9999)")
    expect(panel).to_be_visible()
    await_shown(page, "tooltip")
    page.evaluate("later.style.opacity = 0")
    expect(panel).to_be_hidden()
    page.evaluate("later.style.opacity = 1")
    expect(panel).to_be_visible()
    page.evaluate("window.kept = later; later.remove()")
    expect(panel).to_be_hidden()
    page.evaluate("document.querySelector('main').prepend(kept); scrollTo(0, 0)")
    expect(panel).to_be_visible()
    assert reports(page) == ["shown tooltip"]


def test_a_tooltip_flips_and_stays_inside_the_viewport(browser: Browser, site: str) -> None:
    page = browser.new_page(viewport={"width": 600, "height": 400}, reduced_motion="reduce")
    open_host(page, site)
    page.evaluate("anchor.style.cssText = 'position: fixed; left: 0; bottom: 0'")
    show(page, message("tooltip", position="bottom"))
    panel = part(page, "panel")
    expect(panel).to_have_attribute("data-side", "above")
    assert box(panel)["x"] == 8
    page.evaluate("anchor.style.cssText = 'position: fixed; right: 0; top: 0'")
    expect(panel).to_have_attribute("data-side", "below")
    eventually(lambda: box(panel)["right"] == 592)
    assert box(panel)["y"] == box(page.locator("#anchor"))["bottom"] + 12
    page.close()


def test_a_tooltip_follows_scrolling_and_hides_with_what_scrolls_away(page: Page) -> None:
    page.evaluate(
        """() => {
          const pane = document.createElement("div");
          pane.id = "pane";
          pane.style.cssText = "block-size: 200px; overflow: auto; margin-block-end: 900px";
          const filler = document.createElement("p");
          filler.style.blockSize = "600px";
          pane.append(document.querySelector("#anchor"), filler);
          document.querySelector("main").before(pane);
        }"""
    )
    show(page, message("tooltip", position="bottom"))
    panel, anchor = part(page, "panel"), page.locator("#anchor")
    expect(panel).to_be_visible()
    page.evaluate("pane.scrollTop = 10")
    eventually(lambda: box(panel)["y"] == box(anchor)["bottom"] + 12)
    page.evaluate("pane.scrollTop = 120")
    expect(panel).to_be_hidden()
    page.evaluate("pane.scrollTop = 0; scrollTo(0, 20)")
    expect(panel).to_be_visible()
    eventually(lambda: box(panel)["y"] == box(anchor)["bottom"] + 12)
    page.evaluate("scrollTo(0, 600)")
    expect(panel).to_be_hidden()


def test_a_tooltip_hides_while_a_dialog_shuts_its_anchor_off(page: Page) -> None:
    show(page, message("tooltip"))
    expect(part(page, "panel")).to_be_visible()
    page.evaluate("settings.showModal()")
    expect(part(page, "panel")).to_be_hidden()
    page.evaluate("settings.close()")
    expect(part(page, "panel")).to_be_visible()


@pytest.mark.parametrize("anchor", ["#(", "", None])
def test_an_anchor_that_is_no_selector_is_never_there(page: Page, anchor: str | None) -> None:
    show(page, message("tooltip", anchor=anchor))
    page.wait_for_timeout(150)
    expect(part(page, "panel")).to_be_hidden()
    assert reports(page) == []


def test_nothing_is_done_while_nothing_changes(page: Page) -> None:
    page.evaluate(
        """() => {
          window.calls = 0;
          for (const name of ["requestAnimationFrame", "setTimeout", "setInterval"]) {
            const real = window[name];
            window[name] = (...given) => { window.calls += 1; return real(...given); };
          }
        }"""
    )
    for type_ in OTHERS:
        show(page, message(type_))
        await_shown(page, type_)
    page.wait_for_timeout(300)
    before = page.evaluate("calls")
    page.wait_for_timeout(500)
    assert page.evaluate("calls") == before
