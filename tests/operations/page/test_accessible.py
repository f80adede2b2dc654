"""The pages for everybody: narrow windows, the keyboard, a screen reader, both schemes of colours; asked of a browser.

The limits are those of WCAG 2.2, level AA: 4.5 to 1 for text (3 to 1 where it is large) and 3 to 1 for borders of
controls and for what shows the focus; 320 pixels without scrolling sideways.
"""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from scripts.page_pictures import example
from sparkctl.operations.page import rendered
from sparkctl.operations.page.pages import EVENTS, html
from sparkctl.operations.page.view import BoxView, ServiceOnPage, TroubleOnPage
from sparkctl.world.door_ports import PageAnswer
from tests.support.browsers import browser, opened
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.page_bench import PageBench, served_in_a_thread
from tests.support.thorough import pairs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sparkctl.world.door_ports import Page, PageAsked, Pages

__all__ = ["browser"]

LONG = "a-service-whose-name-has-as-many-characters-as-a-name-may-have"
WORDS = "held: " + "a cause of one word /" + "x" * 200
FOCUSABLE = 'a[href], button, input:not([type="hidden"]), [tabindex="0"]'
SEEN = "(one) => one.checkVisibility({visibilityProperty: true})"
PALE = """(level) => {
  if (level) document.body.dataset.level = level;
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).map((one) => one / 255)
      .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const ratio = (one, other) => {
    const [less, more] = [light(one), light(other)].sort((a, b) => a - b);
    return (more + 0.05) / (less + 0.05);
  };
  const found = [];
  const hold = (what, one, colour, least, back = behind(one)) => {
    const seen = ratio(colour, back);
    if (seen < least) found.push(`${what} of ${one.outerHTML.slice(0, 80)}: ${colour} on ${back}, ${seen.toFixed(2)}`);
  };
  for (const one of document.body.querySelectorAll("*")) {
    if (!one.checkVisibility({visibilityProperty: true}) || one.closest("svg, .apart")) continue;
    const style = getComputedStyle(one);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (own) hold("text", one, style.color, large ? 3 : 4.5);
    const before = getComputedStyle(one, "::before");
    if (before.content.startsWith('"')) hold("label", one, before.color, 4.5);
    if (one.matches("button, .log, input")) {
      hold("border", one, style.borderTopColor, 3);
      hold("border", one, style.borderTopColor, 3, behind(one.parentElement));
    }
    if (one.matches("a[href], button, input, [tabindex]")) hold("focus", one, style.getPropertyValue("--link"), 3);
  }
  return found;
}"""
WITHOUT_NAME = """() => {
  const text = (id) => (document.getElementById(id)?.textContent ?? "").trim();
  const name = (one) => (one.getAttribute("aria-label")
    ?? (one.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean).map(text).join(" ")).trim();
  const wanted = 'svg[role="img"], section, table form, pre[tabindex], [role="log"]';
  const found = [...document.querySelectorAll(wanted)].filter((one) => one.checkVisibility() && !name(one));
  found.push(...[...document.querySelectorAll("button, a[href]")].filter((one) => !one.textContent.trim()));
  found.push(...[...document.querySelectorAll('input:not([type="hidden"])')].filter((one) => one.labels.length === 0));
  found.push(...[...document.querySelectorAll("table")].filter((one) => !one.caption?.textContent.trim()));
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  return [...found.map((one) => one.outerHTML.slice(0, 120)), ...ids.filter((one, at) => ids.indexOf(one) !== at)];
}"""


def troubled() -> BoxView:
    """Return a box of which everything is said that is ill, in words as long as they come."""
    box = example()
    phases = ("held", "dead", "failing", "stuck", "starting", "draining", "busy", "off")
    services = tuple(
        ServiceOnPage(f"{LONG}-{phase}", phase, WORDS, "mend it", 70.0, claim_bytes=1 << 40, held_bytes=1 << 39,
                      doubts=("a label is damaged",), may=("start", "stop", "pin", "unpin"), has_log=True)
        for phase in phases
    )  # fmt: skip
    warnings = (TroubleOnPage("what happened cannot be read", "mend it"), TroubleOnPage(WORDS, WORDS))
    gateway = box.gateway._replace(names=(LONG, *box.gateway.names), needs_key=True)
    return replace(box, services=services, warnings=warnings, gateway=gateway, host=LONG)


def shows(body: bytes) -> Page:
    async def page(_: PageAsked) -> PageAnswer:
        return html(200, body)

    return page


PAGES: dict[str, bytes] = {
    "/": rendered.page(example(), said="reasoner was stopped"),
    "/troubled": rendered.page(troubled(), said=WORDS),
    "/a-log": rendered.log_page(LONG, [WORDS, "short"]),
    "/a-login": rendered.login_page("no key that may administer this gateway"),
    "/trouble": rendered.trouble_page("Not done", WORDS),
}


class SteppedStream:
    """A stream of events of which each comes when it is let."""

    def __init__(self, *events: bytes) -> None:
        self.events = events
        self.let = threading.Semaphore(0)

    async def __call__(self, _: PageAsked) -> PageAnswer:
        return PageAnswer(200, {**rendered.SECURITY, "Content-Type": EVENTS}, self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield b"retry: 60000\n\n"
        for one in self.events:
            while not self.let.acquire(blocking=False):  # noqa: ASYNC110  (a test lets it from another thread)
                await asyncio.sleep(0.01)
            yield one
        await asyncio.sleep(60)


@pytest.fixture(scope="module")
def stream() -> SteppedStream:
    """Return a stream: the first event differs from the page in a figure alone, the second one in its sentence."""
    later = example()
    executor, reasoner, vision = later.services
    later = replace(later, at=later.at + 2, services=(executor, reasoner._replace(eta_s=88.0), vision))
    answer = tuple(one._replace(problem=None) for one in later.gateway.hosts)
    ready = replace(later, services=(executor, reasoner._replace(phase="ready", eta_s=None), vision))
    ready = replace(ready, gateway=ready.gateway._replace(hosts=answer))
    return SteppedStream(rendered.event("history", later), rendered.event("tick", ready))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, stream: SteppedStream) -> Iterator[PageBench]:
    spark = FakeSpark(tmp_path_factory.mktemp("spark"))
    pages: Pages = {("GET", path): shows(body) for path, body in PAGES.items()}
    pages = {**pages, ("GET", "/events"): stream}
    with served_in_a_thread(spark.world(FakeReport()), pages=pages) as bench:
        yield bench


def visible(page: Any, what: str) -> list[Any]:  # noqa: ANN401
    return [one for one in page.locator(what).element_handles() if one.evaluate(SEEN)]


@pytest.mark.parametrize(("width", "scheme"), pairs([320, 360, 1280], ["light", "dark"]))
def test_each_page_is_no_wider_than_its_window_and_has_contrast(
    browser: Any,  # noqa: ANN401
    bench: PageBench,
    width: int,
    scheme: str,
) -> None:
    size = {"width": width, "height": 800}
    with opened(browser, bench.url, viewport=size, color_scheme=scheme) as (page, complaints):
        found = []
        for path in PAGES:
            page.goto(f"{bench.url}{path}")
            wide = page.evaluate("document.documentElement.scrollWidth")
            found += [f"{path} is {wide} wide"] * (wide > width)
            for level in ("well", "busy", "ill") if path == "/" else ("",):
                found += [f"{path} {level}: {one}" for one in page.evaluate(PALE, level)]
        assert found == []
        assert complaints == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_screen_reader_has_names_and_tables_also_where_these_are_drawn_as_lists(
    browser: Any,  # noqa: ANN401
    bench: PageBench,
    width: int,
) -> None:
    with opened(browser, bench.url, viewport={"width": width, "height": 800}) as (page, _):
        for path in PAGES:
            page.goto(f"{bench.url}{path}")
            assert page.evaluate(WITHOUT_NAME) == [], path
            assert page.locator("h1").count() == page.locator("main").count() == 1, path
        page.goto(bench.url)
        seen = page.locator("body").aria_snapshot()
        for one in ('table "Services"', 'columnheader "state"', 'rowheader "executor"'):
            assert one in seen, one
        assert re.search(r'cell "(GiB: )?21\.0 of 22\.0"', seen), "of a narrow table each cell has its heading"
        assert 'heading "Services" [level=2]' in seen


def test_the_keyboard_goes_from_top_to_bottom_and_each_stop_is_seen(browser: Any, bench: PageBench) -> None:  # noqa: ANN401
    with opened(browser, bench.url) as (page, _):
        page.locator("#link").get_by_text("live").wait_for()
        wanted = [one.evaluate("(one) => one.outerHTML") for one in visible(page, FOCUSABLE)]
        assert len(wanted) > 15
        told = "[document.activeElement.outerHTML, getComputedStyle(document.activeElement).outlineStyle]"
        for one in wanted:
            page.keyboard.press("Tab")
            assert page.evaluate(told) == [one, "solid"]
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "BODY", "and it is no trap"
        first = page.locator("a.apart")
        first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**#services")


def test_a_new_sentence_is_announced_and_a_figure_that_goes_on_is_not(
    browser: Any,  # noqa: ANN401
    bench: PageBench,
    stream: SteppedStream,
) -> None:
    with opened(browser, bench.url) as (page, _):
        announced, told = page.locator("#announced"), page.locator("#health")
        assert announced.get_attribute("aria-live") == "polite"
        stream.let.release()
        told.get_by_text("about 1m 28s left").wait_for()
        assert announced.text_content() == ""
        stream.let.release()
        told.get_by_text("All is well").wait_for()
        assert announced.text_content() == told.text_content()
        assert page.locator("#said").get_attribute("role") == "alert"
