"""The page of a real Docker Engine, served by `gateway run` and driven by a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.units import GIB
from tests.support.browsers import SOON_MS, browser, opened, row
from tests.support.command_line import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.command_server import Command
    from tests.support.docker_spark import Spark

__all__ = ["browser"]

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]
PATIENCE = 6
"""By how much longer it waits than where nothing but fakes answers: on a crowded machine each look takes seconds."""
MUCH = 600 << 20
"""Bytes that something in the container holds, so that its figure is none of a small process."""
LINE = "<b>a line of the real log</b>"


class PageSpark:
    """A service behind a gateway, and the process of that, which ends and begins again."""

    def __init__(self, spark: Spark) -> None:
        self.spark, self.port = spark, free_port()
        self.name = spark.recipe("page")
        lines = "host: {guard: {act: 300 MiB, floor: 200 MiB}}"  # below the reserve of these tests' profile
        text = f"{lines}\nservices: {{{self.name}: {{recipe: {self.name}}}}}\ngateway: {{port: {self.port}}}\n"
        spark.write("recipes/stacks/box.yaml", text)
        self.process: Command | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def begin(self, *words: str) -> None:
        process = self.process = self.spark.start("gateway", "run", *words)
        wait_for(lambda: "keeps generation" in process.told() or process.poll() is not None)
        assert process.poll() is None, process.told()

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)

    def held_bytes(self) -> int:
        """Return what the kernel says that the container's processes hold for themselves."""
        told = self.spark.docker("top", self.name, "-eo", "pid").split()[1:]
        each = [re.findall(r"\d+", Path(f"/proc/{pid}/statm").read_text()) for pid in told]
        return sum((int(resident) - int(shared)) * 4096 for _, resident, shared, *_ in each)


@pytest.fixture
def box(docker_spark: Spark) -> Iterator[PageSpark]:
    box = PageSpark(docker_spark)
    yield box
    box.end()
    docker_spark.run("down", box.name)


def test_a_real_container_is_seen_stopped_started_followed_and_lost_and_found(
    browser: Any,  # noqa: ANN401
    box: PageSpark,
) -> None:
    box.begin("box")
    box.spark.docker("exec", "--detach", box.name, "python3", "-c", f"x = b'x' * {MUCH}; import time; time.sleep(60)")
    with opened(browser, box.url) as (page, complaints):
        page.set_default_timeout(SOON_MS * PATIENCE)
        link, said, service = page.locator("#link"), page.locator("#said"), row(page, box.name)
        link.get_by_text("live").wait_for()
        service.get_by_text("ready").wait_for()

        # What the page says that it holds is what the kernel says.
        service.get_by_text(re.compile(r"0\.[6-9] of")).wait_for()
        shown = float(service.locator("td", has_text=" of ").first.inner_text().split(" of ")[0])
        assert shown == pytest.approx(box.held_bytes() / GIB, abs=0.06)
        in_bar = page.locator('#table-memory tr[data-state="held"]', has_text=box.name).locator("td").first
        assert float(in_bar.inner_text()) == shown

        stop, start = (service.get_by_role("button", name=name, exact=True) for name in ("stop", "start"))
        stop.click()
        said.get_by_text("was stopped").wait_for()
        assert box.spark.state(box.name) == ""
        start.click()
        said.get_by_text("is being started").wait_for()
        service.get_by_text(re.compile("^ready|^busy")).wait_for()
        assert box.spark.state(box.name) == "running"

        service.get_by_role("link", name="log").click()
        link.get_by_text("live").wait_for()
        box.spark.docker("exec", box.name, "sh", "-c", f"echo '{LINE}' >/proc/1/fd/1")
        page.locator("#log").get_by_text(LINE).wait_for()
        page.get_by_role("link", name="back").click()

        # The gateway is killed: the page says so, finds the next one by itself, and its buttons are of the next one.
        link.get_by_text("live").wait_for()
        box.end()
        link.get_by_text("connection lost").wait_for()
        box.begin()
        link.get_by_text("live").wait_for()
        stop.click()
        said.get_by_text("reload it").wait_for()
        page.reload()
        stop.click()
        said.get_by_text("was stopped").wait_for()
        assert box.spark.state(box.name) == ""
        page.locator('table[data-rows="happened"]').get_by_text("running").first.wait_for()
        assert [one for one in complaints if "net::ERR" not in one and "403" not in one] == []
