"""The page in a real browser: it starts, stops, follows a log, is reloaded, and lives through a cut connection."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.units import GIB
from sparkctl.operations.page import rendered
from sparkctl.operations.page.pages import EVENTS, html
from sparkctl.operations.page.view import (
    BoxView,
    GatewayOnPage,
    HostOnPage,
    MemoryHolder,
    MemoryNow,
    RequestOnPage,
    TroubleOnPage,
)
from sparkctl.world.door_ports import PageAnswer
from tests.support.applied_stack import AppliedStack
from tests.support.browsers import SOON_MS, browser, opened, row
from tests.support.filled import HOSTILE, QUOTES, TAGS, filled
from tests.support.page_bench import NamedKeys, served_in_a_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sparkctl.world.door_ports import PageAsked, Pages

__all__ = ["browser"]

SMALL = "small"
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture
def stack(tmp_path: Path) -> AppliedStack:
    applied = AppliedStack(tmp_path)
    applied.apply("{small: {recipe: e4b-nvfp4}}")
    return applied


def test_a_service_is_stopped_started_followed_and_seen_again(browser: Any, stack: AppliedStack) -> None:  # noqa: ANN401
    with served_in_a_thread(stack.world) as bench, opened(browser, bench.url) as (page, complaints):
        link = page.locator("#link")
        link.get_by_text("live").wait_for()
        stop, start = (row(page, SMALL).get_by_role("button", name=name, exact=True) for name in ("stop", "start"))
        stop.click()
        page.locator("#said").get_by_text("was stopped").wait_for()
        start.wait_for()
        assert stack.spark.engine.container(SMALL) is None
        start.focus()
        page.keyboard.press("Enter")
        page.locator("#said").get_by_text("is being started").wait_for()
        stop.wait_for()
        assert stack.spark.engine.container(SMALL) is not None

        bench.desk.shown = GatewayOnPage(url=bench.url, requests=(RequestOnPage("r-1", EVIL, SMALL, "-", 2.0, EVIL),))
        page.reload()
        page.locator('table[data-rows="requests"]').get_by_text("onerror").first.wait_for()
        page.get_by_role("button", name="cancel").click()
        page.get_by_text("no request is under way").wait_for()

        bench.cut.set()
        link.get_by_text("connection lost").wait_for()
        bench.cut.clear()
        link.get_by_text("live").wait_for()

        row(page, SMALL).get_by_role("link", name="log").click()
        page.locator("#link").get_by_text("live").wait_for()
        container = stack.spark.engine.container(SMALL)
        assert container is not None
        stack.spark.engine.log[container.id].append(EVIL)
        page.locator("#log").get_by_text("onerror").wait_for()
        assert page.title() == f"log of {SMALL}"
        assert [one for one in complaints if "ERR_INCOMPLETE_CHUNKED" not in one] == [], "the cut is one of them"


def test_the_bar_and_the_state_of_another_host_follow_the_stream(browser: Any, stack: AppliedStack) -> None:  # noqa: ANN401
    memory = MemoryNow("memory", 120 * GIB, 60 * GIB, 10 * GIB, holders=(MemoryHolder(EVIL, 50 * GIB, 0),))
    silent = HostOnPage("b", TroubleOnPage("nothing answers at its ssh port", "is it switched on?"))
    with served_in_a_thread(stack.world) as bench:
        bench.desk.shown = GatewayOnPage(bench.url, hosts=(silent,))
        with opened(browser, bench.url) as (page, complaints):
            page.get_by_text("b, which does not answer").wait_for()
            bench.desk.shown = GatewayOnPage(bench.url, hosts=(HostOnPage("b", None, (memory,)),))
            page.get_by_text("b: memory, 120.0 GiB").wait_for()
            bar = page.locator('[data-bar="h0"] svg')
            assert bar.locator("rect.held").count() == 1
            assert "50.0 GiB held by <img" in (bar.get_attribute("aria-label") or "")
            page.locator('table[data-rows="hosts"] tr[data-key="b"]').get_by_text("answers", exact=True).wait_for()
            assert complaints == []
            assert page.title() != "owned"


def hostile_pages() -> Pages:
    """Return a page, and a stream of what changes on it, of which every text is a stranger's."""
    first, second = (filled(BoxView, text) for text in (HOSTILE[-1], TAGS))

    async def page(_: PageAsked) -> PageAnswer:
        return html(200, rendered.page(first, token="t", said=HOSTILE[-1]))  # noqa: S106  (no secret)

    async def pieces() -> AsyncIterator[bytes]:
        yield rendered.event("history", first)
        yield rendered.event("tick", second)
        await asyncio.sleep(60)

    async def events(_: PageAsked) -> PageAnswer:
        return PageAnswer(200, {**rendered.SECURITY, "Content-Type": EVENTS}, pieces())

    return {("GET", "/"): page, ("GET", "/events"): events}


def test_what_strangers_write_runs_nothing_and_the_policy_would_not_let_it(
    browser: Any,  # noqa: ANN401
    stack: AppliedStack,
) -> None:
    with (
        served_in_a_thread(stack.world, pages=hostile_pages()) as bench,
        opened(browser, bench.url) as (page, complaints),
    ):
        row(page, TAGS.replace('"', '\\"')).first.wait_for()
        title = page.title()
        assert "</title>" in title, "it is the text of the title"
        page.locator("#health").get_by_text("onerror").first.wait_for()
        assert page.locator("img, iframe, a[href^=javascript], [style], script:not([src])").count() == 0
        assert complaints == []
        # Even where such a text became HTML, no handler and no script of it would run.
        page.evaluate("text => document.body.insertAdjacentHTML('beforeend', text)", TAGS + QUOTES)
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title=9'}))"
        )
        page.wait_for_timeout(100)
        assert page.title() == title
        assert any("Content Security Policy" in one for one in complaints)


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_the_page_is_as_wide_as_its_window(
    browser: Any,  # noqa: ANN401
    stack: AppliedStack,
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    size = {"width": width, "height": 800}
    with (
        served_in_a_thread(stack.world) as bench,
        opened(browser, bench.url, viewport=size, color_scheme=scheme) as (page, complaints),
    ):
        page.locator("#link").get_by_text("live").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        back = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (sum(map(int, back.removeprefix("rgb(").rstrip(")").split(", "))) < 200) == (scheme == "dark")
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        assert (tmp_path / "page.png").stat().st_size > 10_000
        assert not complaints


def test_it_works_without_a_script(browser: Any, stack: AppliedStack) -> None:  # noqa: ANN401
    with served_in_a_thread(stack.world) as bench, opened(browser, bench.url, java_script_enabled=False) as (page, _):
        row(page, SMALL).get_by_role("button", name="stop", exact=True).click()
        page.get_by_text("small was stopped").wait_for()
        row(page, SMALL).get_by_role("button", name="start", exact=True).wait_for()


def test_what_the_stream_brings_keeps_the_focus(browser: Any, stack: AppliedStack) -> None:  # noqa: ANN401
    with served_in_a_thread(stack.world) as bench, opened(browser, bench.url) as (page, _):
        page.locator("#link").get_by_text("live").wait_for()
        row(page, SMALL).get_by_role("button", name="pin", exact=True).focus()
        before = page.locator("[data-text=at]").text_content()
        stack.spark.clock.now += 60
        deadline = time.monotonic() + SOON_MS / 1000
        while page.locator("[data-text=at]").text_content() == before and time.monotonic() < deadline:
            page.wait_for_timeout(50)
        assert page.locator("[data-text=at]").text_content() != before
        assert page.evaluate("document.activeElement.value") == "pin"


def test_with_a_key_it_asks_for_it(browser: Any, stack: AppliedStack) -> None:  # noqa: ANN401
    keys = NamedKeys({"the-key": "ada"}, {"ada"})
    with served_in_a_thread(stack.world, keys) as bench, opened(browser, bench.url) as (page, _):
        page.get_by_label("a key that may administer").fill("the-key")
        page.keyboard.press("Enter")
        row(page, SMALL).wait_for()
        assert "the-key" not in page.content()
        assert "the-key" not in page.url
        assert page.evaluate("document.cookie") == "", "no script reads the session"
