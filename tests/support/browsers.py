"""A real browser: Debian's chromium, driven by playwright, which is installed without a browser of its own.

`apt-get install chromium-headless-shell` and `pip install playwright`; tests that want one are skipped without
(`.ci/run` has it). The whole `chromium` will do, too, which takes twice the CPU.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.engine_fixtures import not_here

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON_MS = 8000
"""How long a test waits for what a page shows soon."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start the browser. Its driver keeps an event loop in this thread, so it ends with the module."""
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if chromium is None:
        not_here("browser", "needs a browser: apt-get install chromium-headless-shell")
    if find_spec("playwright") is None:
        not_here("browser", "needs playwright: .venv/bin/pip install playwright")
    drives = import_module("playwright.sync_api").sync_playwright()
    with drives as playwright:
        # As root, in containers and on a machine without much of /dev/shm.
        started = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[tuple[Any, list[str]]]:  # noqa: ANN401
    """Open a page, and collect what the browser complains of; closed before what serves it is."""
    context = browser.new_context(**options)
    context.set_default_timeout(SOON_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    try:
        page.goto(url)
        yield page, complaints
    finally:
        context.close()


def row(page: Any, name: str) -> Any:  # noqa: ANN401
    """Return the row of a service."""
    return page.locator(f'table[data-rows="services"] tr[data-key="{name}"]')
