"""What strangers write is text on the page: everything that is shown, filled with HTML and with control characters.

A service, a request, a key, a user, a refusal, a line of a log, an answer of a model: each is a text of a ``BoxView``,
of the words of a button, or of a log.
"""

from __future__ import annotations

import asyncio
import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.shown import one_line, unseen
from sparkctl.operations.agent.kept import BoxEvent, keep_event
from sparkctl.operations.page import client_examples, rendered
from sparkctl.operations.page.view import BoxView, GatewayOnPage, RequestOnPage
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.filled import CONTROLS, HOSTILE, QUOTES, TAGS, filled
from tests.support.page_bench import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

E4B = "e4b-nvfp4"


class Written(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """The elements and the names of their attributes: what a text must never change."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]


def texts(value: object) -> Iterator[str]:
    """Yield every text of JSON."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from (key, *texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_view_is_html_nor_a_control_character(text: str) -> None:
    tame, view = filled(BoxView, "tame"), filled(BoxView, text)
    page = rendered.page(view, token="t", said=text).decode()  # noqa: S106  (no secret)
    assert Written(page).shape == Written(rendered.page(tame, token="t", said="tame").decode()).shape  # noqa: S106
    shown = "".join(Written(page).texts)
    assert [one for one in unseen(shown) if one != "U+FFFD"] == []
    assert ("onerror" in shown or "onload" in shown) == (text != CONTROLS), "it is shown, as a text"
    for _, attributes in Written(page).elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            assert (attributes.get(name) or "/")[:1] in {"/", "#"}, attributes


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_view_leaves_its_event_and_none_is_unseen(text: str) -> None:
    event = rendered.event("tick", filled(BoxView, text)).decode()
    name, data, *rest = event.split("\n")
    assert (name, rest) == ("event: tick", ["", ""]), "one event of two lines, whatever a text says"
    assert event.isascii()
    assert unseen(event) == []
    document = json.loads(data.removeprefix("data: "))
    tables = document.pop("tables")
    # The first three of a row are its name for buttons, a word for its colour, and the buttons: none of them is shown.
    shown = [*texts(document), *(one for rows in tables.values() for row in rows for one in texts(row[3:]))]
    assert {code for one in shown for code in unseen(one)} == set()


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_pasted_has_no_character_that_is_not_seen(text: str) -> None:
    for way in client_examples.ways(filled(BoxView, text), "http://spark:8090"):
        assert unseen(way.text) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_log_and_trouble_are_text(text: str) -> None:
    lines = [one_line(text)] * 2  # as ``logs`` has them
    for page, tame in (
        (rendered.log_page(text, lines), rendered.log_page("tame", ["tame"])),
        (rendered.trouble_page(text, text), rendered.trouble_page("tame", "tame")),
        (rendered.login_page(text), rendered.login_page("tame")),
    ):
        assert Written(page.decode()).shape == Written(tame.decode()).shape
        assert unseen("".join(Written(page.decode()).texts)) == []


def test_what_comes_in_by_every_way_goes_out_as_text(tmp_path: Path) -> None:
    """The ways are those of a box: its events, its log, its requests, what a browser asks for and a button names."""
    spark = FakeSpark(tmp_path)
    spark.run("up", E4B).expect(0)
    world = spark.world(FakeReport())
    keep_event(world, BoxEvent(1.0, TAGS, QUOTES, TAGS + CONTROLS.replace("\udcff", "")))
    container = spark.engine.container(E4B)
    assert container is not None
    spark.engine.log[container.id] += [TAGS, QUOTES, CONTROLS]

    async def run() -> None:
        async with served(world) as page:
            page.desk.shown = filled(GatewayOnPage, TAGS + CONTROLS)
            token = await page.token()
            asked = [await page.get("/"), await page.get(f"/services/{E4B}/log"), await page.get("/metrics")]
            asked += [await page.get(f"/services/%3Cscript%3E{place}/log") for place in ("", "%1b%5B31m", "%00")]
            for act, of in (("start", TAGS), (TAGS, E4B), ("cancel", CONTROLS.replace("\udcff", "")), ("pin", QUOTES)):
                fields = {"act": act, "of": of, "token": token}
                asked.append(await page.form("/act", fields))
                asked.append(await page.form("/act", fields, {"Accept": "application/json"}))
            asked.append(await page.form("/login", {"key": TAGS}))
            for answer in asked:
                text = answer.body.decode()
                if answer.headers["content-type"].startswith("text/html"):
                    assert answer.headers["x-content-type-options"] == "nosniff"
                    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
                    scripts = [one.get("src") for tag, one in Written(text).elements if tag == "script"]
                    assert scripts in ([], ["/page/page.js"]), "none but the page's own"
                    assert not [tag for tag, _ in Written(text).elements if tag in {"img", "a:b"}]
                    assert [one for one in unseen("".join(Written(text).texts)) if one != "U+FFFD"] == []
                elif answer.headers["content-type"].startswith("application/json"):
                    assert [code for one in texts(answer.json) for code in unseen(one)] == []

    asyncio.run(run())


def test_a_value_of_every_type_of_the_view_can_be_made() -> None:
    view = filled(BoxView, "x")
    assert view.gateway.requests == (filled(RequestOnPage, "x"),)
    assert view.services[0].served == ("x",)
