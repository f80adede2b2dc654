"""Draw the pictures of the page in the documentation, by Debian's chromium and playwright.

Of an example box, and of the README's ten minutes on the simulated Spark, as they are: a gateway is started, asked, and
looked at. apt-get install chromium; .venv/bin/pip install playwright; python scripts/page_pictures.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import httpx

from sparkctl.base.units import GIB
from sparkctl.operations.page import rendered
from sparkctl.operations.page.view import (
    AgentOnPage,
    BoxView,
    GatewayOnPage,
    GpuOnPage,
    GuardOnPage,
    HappenedOnPage,
    HostOnPage,
    KeyOnPage,
    MemoryHolder,
    MemoryNow,
    MemorySample,
    RequestOnPage,
    RoomOnPage,
    RouteOnPage,
    ServiceOnPage,
    TroubleOnPage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(__file__).parent.parent / "docs" / "pictures"
PICTURES: Final = {"page.png": (1280, "light"), "page-narrow.png": (360, "dark")}
"""Each picture of the example, with the width of the window and the colours."""
ESCALATED: Final = "page-escalated.png"
STACK: Final = "pair"
NOW: Final = 1_793_000_000.0
TOTAL: Final = int(119.6 * GIB)
ARITHMETIC: Final = "stops it: it makes room for reasoner, which needs 44.9 GiB where 31.2 GiB are free to start"


def example() -> BoxView:
    """Return a box of an executor and a reasoner, as values; no figure of it was measured."""
    executor = ServiceOnPage(
        "executor",
        "busy",
        "3 running, 0 waiting",
        recipe="e4b-nvfp4",
        served=("gemma-4-e4b",),
        start="always",
        priority=10,
        keep=True,
        url="http://127.0.0.1:8003",
        claim_bytes=22 * GIB,
        held_bytes=21 * GIB,
        generated=141.3,
        prompt=820.0,
        running=3.0,
        waiting=0.0,
        kv=0.31,
        idle_s=0.0,
        may=("stop", "pin"),
        has_log=True,
    )
    reasoner = ServiceOnPage(
        "reasoner",
        "starting",
        "loading weights 3/7",
        eta_s=94.0,
        recipe="26b-a4b-fp8-mtp",
        start="on-demand",
        priority=5,
        claim_bytes=45 * GIB,
        held_bytes=18 * GIB,
        may=("stop",),
        has_log=True,
    )
    vision = ServiceOnPage(
        "vision", "off", "starts on demand", recipe="e4b-fp8", start="on-demand", priority=1, may=("start",)
    )
    memory = MemoryNow(
        "memory",
        TOTAL,
        68 * GIB,
        10 * GIB,
        12 * GIB,
        48 * GIB,
        6 * GIB,
        4 * GIB,
        (MemoryHolder("executor", 21 * GIB, 1 * GIB), MemoryHolder("reasoner", 18 * GIB, 27 * GIB, starting=True)),
    )
    used = [*([30.0] * 80), *([58.0, 58.5] * 60), *(float(30 + step) for step in range(22))]
    course = tuple(
        MemorySample(NOW - 30 * (len(used) - place), TOTAL, TOTAL - int(one * GIB), 0) for place, one in enumerate(used)
    )
    gateway = GatewayOnPage(
        "http://127.0.0.1:8080",
        ("auto", "executor", "reasoner", "vision"),
        requests=(
            RequestOnPage("req_5e2a", "auto", "executor", "editor", 4.0, "answers", 412),
            RequestOnPage(
                "req_91cc", "auto", "reasoner", "agent", 21.0, "waits for reasoner", None, "context", waits=True
            ),
        ),
        routes=(
            RouteOnPage(
                "auto", "executor", "reasoner", (("context", 7), ("tools-broken", 2), ("asked", 1)), NOW - 21, "context"
            ),
        ),
        hosts=other_hosts(executor),
        keys=(KeyOnPage("editor", 212, 801_233, 90_120), KeyOnPage("agent", 1044, 5_120_448, 402_001)),
    )
    happened = (
        HappenedOnPage(
            NOW - 21, "reasoner", "asked", "starts it: a request through auto is longer than executor's context"
        ),
        HappenedOnPage(NOW - 24, "vision", "stopped-room", ARITHMETIC),
        HappenedOnPage(NOW - 4000, "vision", "running", "ready after 1m 42s"),
        HappenedOnPage(NOW - 9000, "", "applied", "generation 7 of the stack box"),
    )
    room = (
        RoomOnPage("e2b-nvfp4", fits=False, words="e2b-nvfp4 does not fit: 4.1 GiB are missing", bytes=26 * GIB),
        RoomOnPage("vision", fits=False, words="vision does not fit: 7.8 GiB are missing", bytes=30 * GIB),
    )
    return BoxView(
        NOW,
        host="spark",
        memories=(memory,),
        services=(executor, reasoner, vision),
        happened=happened,
        room=room,
        gpus=(GpuOnPage("NVIDIA GB10", 46.0, 61, 96),),
        guard=GuardOnPage(running=True, first="reasoner"),
        agent=AgentOnPage(
            running=True, told=("the agent runs since 3d 02h; it keeps generation 7 of box",), generation=7
        ),
        gateway=gateway,
        course=course,
        large_blocks=((2 << 20, 812), (4 << 20, 9021)),
    )


def other_hosts(executor: ServiceOnPage) -> tuple[HostOnPage, ...]:
    """Return a host with an equal service, and one that is switched off."""
    held = (MemoryHolder("executor", 21 * GIB, 1 * GIB), MemoryHolder("coder", 41 * GIB, 3 * GIB))
    memory = MemoryNow(
        "memory", TOTAL, 48 * GIB, 10 * GIB, 9 * GIB, act_bytes=6 * GIB, floor_bytes=4 * GIB, holders=held
    )
    coder = ServiceOnPage("coder", "ready", claim_bytes=44 * GIB, held_bytes=41 * GIB, running=0.0, waiting=0.0, kv=0.0)
    off = TroubleOnPage("nothing answers at its ssh port", "is it switched on?")
    there = HostOnPage(
        "spark-b", None, (memory,), (executor._replace(running=2.0, words=""), coder), GuardOnPage(running=True)
    )
    return there, HostOnPage("spark-c", off, silent_s=312.0)


class _Page(BaseHTTPRequestHandler):
    """Serves the example, without its stream."""

    def do_GET(self) -> None:
        """Answer with the page, or one of its files."""
        name = self.path.removeprefix("/page/")
        body = rendered.page(example(), origin="http://spark:8080", zone=UTC) if self.path == "/" else b""
        kind = "text/html; charset=utf-8"
        if name in {"page.css", "icon.svg"}:
            body, kind = rendered.data(name).encode(), "text/css" if name.endswith("css") else "image/svg+xml"
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its parent's name)
        """Say nothing."""


def ask(url: str, body: dict[str, object]) -> str:
    """Ask the gateway, and return by which service and why it was answered."""
    answer = httpx.post(url, json=body, timeout=60).raise_for_status()
    return f"{answer.headers['x-sparkctl-model']}, {answer.headers['x-sparkctl-route']}"


@contextmanager
def served() -> Iterator[str]:
    """Serve the stack on a simulated Spark of its own, and yield its address."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with TemporaryDirectory() as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home, "SPARKCTL_ENGINE": "sim"}
        sparkctl = [sys.executable, "-m", "sparkctl"]
        # What it says is shown: why it cannot serve is there.
        gateway = subprocess.Popen([*sparkctl, "gateway", "run", STACK, "--port", port], env=environ)
        try:
            while not _loaded(f"http://127.0.0.1:{port}/v1/models"):
                if gateway.poll() is not None:
                    sys.exit("the gateway does not serve")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            gateway.terminate()
            gateway.wait(30)
            subprocess.run([*sparkctl, "down", STACK], env=environ, capture_output=True, check=True)


def _loaded(url: str) -> bool:
    """Return whether the first service answers."""
    with suppress(httpx.HTTPError):
        return '"loaded"' in httpx.get(url).text
    return False


def draw_escalated(browser: Any, place: Path) -> None:  # noqa: ANN401  (playwright's, which has no types here)
    """Draw a request through `auto` that was escalated, for its answer was cut: the reasoner was started for it."""
    with served() as url:
        print(ask(f"{url}/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}))
        print(ask(f"{url}/v1/completions", {"model": "auto", "prompt": "1 2 3"}))
        page = browser.new_page(viewport={"width": 1100, "height": 800}, color_scheme="light")
        page.goto(url)
        page.get_by_text("26b-a4b-fp8 answer").wait_for()
        page.locator("#table-happened").get_by_text("1 request asks").wait_for()
        # What does not differ from the example's picture is left out, and this machine's name.
        hidden = "h-memory", "h-requests", "h-room", "h-machine", "h-call"
        page.evaluate(
            "ids => ids.forEach((id) => { document.getElementById(id).closest('section').hidden = true; })", hidden
        )
        page.evaluate("document.querySelector('h1').firstChild.textContent = 'spark '")
        page.screenshot(path=place, full_page=True)
        page.close()


def main() -> int:
    """Draw the pictures into the folder of the documentation, or into another one that is named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with import_module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (width, scheme) in PICTURES.items():
            size = {"width": width, "height": 800}
            page = browser.new_page(viewport=size, color_scheme=scheme, java_script_enabled=False)
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.screenshot(path=folder / name, full_page=True)
            page.close()
        draw_escalated(browser, folder / ESCALATED)
        browser.close()
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
