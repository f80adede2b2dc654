"""The page over the real door: what it shows, to whom, and what its buttons do."""

from __future__ import annotations

import asyncio
import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.base.units import GIB
from sparkctl.operations.page.view import GatewayOnPage, RequestOnPage
from tests.support.applied_stack import AppliedStack
from tests.support.door_bench import SOON_S, request, soon
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.page_bench import NamedKeys, PageBench, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

E4B = "e4b-nvfp4"
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
KEYS = {"the-admin-key": "ada", "a-users-key": "bob"}


class Elements(HTMLParser):
    """The elements of a page, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def on(folder: Path, try_it: Callable[[PageBench, FakeSpark], Awaitable[None]], *, keys: NamedKeys | None = None,
       up: bool = True) -> None:  # fmt: skip
    spark = FakeSpark(folder)
    if up:
        spark.run("up", E4B).expect(0)

    async def run() -> None:
        async with served(spark.world(FakeReport()), keys) as page:
            await try_it(page, spark)

    asyncio.run(run())


def test_the_page_shows_the_box_and_runs_no_script_of_others(tmp_path: Path) -> None:
    async def look(page: PageBench, _: FakeSpark) -> None:
        page.desk.shown = GatewayOnPage(
            url=page.url,
            names=("executor", EVIL),
            requests=(RequestOnPage("r-1", EVIL, E4B, "ada", 3.0, EVIL),),
        )
        answer = await page.get("/")
        text = answer.body.decode()
        found = Elements(text)
        assert answer.status == 200
        assert "e4b-nvfp4 answers" in text
        assert [one.get("src") for one in found.all("script")] == ["/page/page.js"]
        assert not found.all("img"), "what a client sends is text"
        assert text.count("&lt;script&gt;alert(1)") >= 2
        assert not [name for _, attributes in found.found for name in attributes if name.startswith("on")]
        assert not [attributes for _, attributes in found.found if "style" in attributes], "the policy refuses these"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"

    on(tmp_path, look)


def test_every_address_of_the_page_is_its_own(tmp_path: Path) -> None:
    async def look(page: PageBench, _: FakeSpark) -> None:
        found = Elements((await page.get("/")).body.decode())
        places = [
            attributes.get(name) or ""
            for _, attributes in found.found
            for name in ("href", "src", "action")
            if name in attributes
        ]
        assert {one[:1] for one in places if one} <= {"/", "#"}
        assert not [one for one in places if one.startswith("//")]
        for path in ("/page/page.js", "/page/page.css", "/page/icon.svg"):
            assert (await page.get(path)).status == 200
        script = (await page.get("/page/page.js")).body.decode()
        assert "innerHTML" not in script
        assert "http" not in script.replace("http://www.w3.org/2000/svg", "")
        assert "url(" not in (await page.get("/page/page.css")).body.decode()

    on(tmp_path, look)


def test_tables_have_headings_and_fields_have_labels(tmp_path: Path) -> None:
    async def look(page: PageBench, _: FakeSpark) -> None:
        found = Elements((await page.get("/")).body.decode())
        tables = len(found.all("table"))
        assert tables >= 5
        assert len(found.all("caption")) == tables
        assert all(one.get("scope") in {"col", "row"} for one in found.all("th"))
        assert all(one.get("aria-label") or one.get("aria-labelledby") for one in found.all("svg"))
        assert [one["lang"] for one in found.all("html")] == ["en"]
        login = Elements((await page.get("/login")).body.decode())
        assert {one.get("id") for one in login.all("input")} == {one.get("for") for one in login.all("label")}

    on(tmp_path, look)


def test_buttons_start_and_stop_without_a_script(tmp_path: Path) -> None:
    async def press(page: PageBench, spark: FakeSpark) -> None:
        token = await page.token()
        stopped = await page.form("/act", {"act": "stop", "of": E4B, "token": token})
        assert stopped.status == 200
        assert f"{E4B} was stopped" in stopped.body.decode()
        assert spark.engine.container(E4B) is None
        again = await page.form("/act", {"act": "start", "of": E4B, "token": token})
        assert "there is no service" in again.body.decode(), "no stack has it"

    on(tmp_path, press)


def test_a_service_of_the_stack_is_started_by_its_button_where_it_fits(tmp_path: Path) -> None:
    stack = AppliedStack(tmp_path)
    stack.apply("{small: {recipe: e4b-nvfp4}}")
    spark = stack.spark

    async def run() -> None:
        async with served(stack.world) as page:
            token = await page.token()
            await page.form("/act", {"act": "stop", "of": "small", "token": token})
            assert spark.engine.container("small") is None
            spark.host.available = 12 * GIB
            await page.live.fresh(0.0)
            full = await page.form("/act", {"act": "start", "of": "small", "token": token})
            assert (full.status, "does not fit" in full.body.decode()) == (409, True)
            spark.host.available = 100 * GIB
            assert (
                "is being started"
                in (await page.form("/act", {"act": "start", "of": "small", "token": token})).body.decode()
            )
            await soon(lambda: is_there(spark, "small"))

    asyncio.run(run())


def test_a_button_that_cannot_is_told_with_its_reason(tmp_path: Path) -> None:
    async def press(page: PageBench, _: FakeSpark) -> None:
        token = await page.token()
        for act, of, said in (
            ("start", E4B, f"{E4B} is ready: what can be done is stop, pin"),
            ("start", "/etc/passwd", "there is no service '/etc/passwd' here"),
            ("start", EVIL, "there is no service"),
            ("cancel", "r-9", "no request r-9"),
            ("explode", E4B, "there is no button"),
        ):
            answer = await page.form("/act", {"act": act, "of": of, "token": token}, {"Accept": "application/json"})
            assert (answer.status, said in str(answer.json["said"])) == (409, True), answer.body
            assert EVIL not in (await page.form("/act", {"act": act, "of": of, "token": token})).body.decode()

    on(tmp_path, press)


def test_a_request_is_cancelled_and_a_service_pinned(tmp_path: Path) -> None:
    async def press(page: PageBench, _: FakeSpark) -> None:
        page.desk.shown = GatewayOnPage(url=page.url, requests=(RequestOnPage("r-1", "a", E4B, "-", 1.0, "answers"),))
        token = await page.token()
        done = await page.form("/act", {"act": "cancel", "of": "r-1", "token": token})
        assert "r-1 was broken off" in done.body.decode()
        await page.form("/act", {"act": "pin", "of": E4B, "token": token})
        assert "0, pinned" in (await page.get("/")).body.decode()

    on(tmp_path, press)


@pytest.mark.parametrize(
    ("headers", "token", "said"),
    [
        ({"Origin": "http://evil.example"}, "", "another site"),
        ({"Sec-Fetch-Site": "cross-site"}, "", "another site"),
        ({"Sec-Fetch-Site": "same-site"}, "", "another site"),
        ({"Origin": "null"}, "", "another site"),
        ({"Origin": "http://[bad"}, "", "another site"),
        ({}, "wrong", "reload it"),
        ({}, "\udcff", "reload it"),
    ],
)
def test_a_form_of_another_site_does_nothing(tmp_path: Path, headers: dict[str, str], token: str, said: str) -> None:
    async def press(page: PageBench, spark: FakeSpark) -> None:
        given = token.encode("utf-8", "replace").decode() if token else await page.token()
        answer = await page.form("/act", {"act": "stop", "of": E4B, "token": given}, headers)
        assert answer.status == 403
        assert said in answer.body.decode()
        assert spark.engine.container(E4B) is not None

    on(tmp_path, press)


def test_a_name_that_is_none_of_this_host_sees_nothing(tmp_path: Path) -> None:
    async def look(page: PageBench, _: FakeSpark) -> None:
        for path in ("/", "/events", "/login", "/metrics", f"/services/{E4B}/log"):
            answer = await page.get(path, {"Host": "evil.example"})
            assert answer.status in {401, 403}
            assert E4B not in answer.body.decode().replace(f"/services/{E4B}", "")

    on(tmp_path, look)


def test_with_keys_only_an_admins_session_sees_it(tmp_path: Path) -> None:
    keys = NamedKeys(dict(KEYS), {"ada"})

    async def look(page: PageBench, spark: FakeSpark) -> None:
        away = await page.get("/")
        assert (away.status, away.headers["location"]) == (303, "/login")
        for path in ("/events", f"/services/{E4B}/log", f"/services/{E4B}/log/stream", "/metrics", "/metrics/targets"):
            assert (await page.get(path)).status == 401, path
        for key in ("a-users-key", "none", ""):
            refused = await page.form("/login", {"key": key})
            assert (refused.status, "set-cookie" in refused.headers) == (401, False)
        entered = await page.form("/login", {"key": "the-admin-key"})
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "the-admin-key" not in cookie
        mine = {"Cookie": cookie.split(";")[0]}
        token = await page.token(mine)
        assert (await page.form("/act", {"act": "stop", "of": E4B, "token": token})).status == 401, "no session"
        assert (await page.form("/act", {"act": "pin", "of": E4B, "token": token}, mine)).status == 200
        again = {"Cookie": (await page.form("/login", {"key": "the-admin-key"})).headers["set-cookie"].split(";")[0]}
        assert (await page.form("/act", {"act": "pin", "of": E4B, "token": token}, again)).status == 403, "another's"
        keys.admins.clear()  # revoked
        assert (await page.get("/", mine)).status == 303
        assert spark.engine.container(E4B) is not None

    on(tmp_path, look, keys=keys)


def test_logging_out_ends_the_session(tmp_path: Path) -> None:
    async def leave(page: PageBench, _: FakeSpark) -> None:
        mine = {"Cookie": (await page.form("/login", {"key": "the-admin-key"})).headers["set-cookie"].split(";")[0]}
        assert (await page.form("/logout", {"token": "x"}, mine)).status == 403
        left = await page.form("/logout", {"token": await page.token(mine)}, mine)
        assert "Max-Age=0" in left.headers["set-cookie"]
        assert (await page.get("/", mine)).status == 303

    on(tmp_path, leave, keys=NamedKeys(dict(KEYS), {"ada"}))


def test_the_figures_are_read_with_any_key(tmp_path: Path) -> None:
    async def read(page: PageBench, _: FakeSpark) -> None:
        by = {"Authorization": "Bearer a-users-key"}
        assert b"sparkctl_memory_total_bytes" in (await page.get("/metrics", by)).body
        assert (await page.get("/metrics", {"x-api-key": "a-users-key"})).status == 200
        assert (await page.get("/metrics", {"Authorization": "Bearer other"})).status == 401
        assert (await page.get("/", by)).status == 303, "the page is an admin's"
        health = await page.get("/health")
        assert (health.status, health.body) == (200, b'{"status": "ok"}'), "a balancer has no key"

    on(tmp_path, read, keys=NamedKeys(dict(KEYS), {"ada"}))


async def is_there(spark: FakeSpark, name: str) -> bool:
    return spark.engine.container(name) is not None


async def is_watched(page: PageBench, *, by: int) -> bool:
    await page.live.fresh(0.0)
    return page.live.viewers == by


async def events(page: PageBench, path: str, count: int) -> list[tuple[str, dict[str, object]]]:
    """Return the first events of a stream."""
    reader, writer = await page.door.connect()
    writer.write(request(path, None, method="GET"))
    found: list[tuple[str, dict[str, object]]] = []
    name = ""
    try:
        async with asyncio.timeout(SOON_S):
            while len(found) < count:
                line = (await reader.readline()).decode().strip()
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    found.append((name, json.loads(line.removeprefix("data: "))))
    finally:
        writer.close()
    return found


def test_the_stream_has_the_history_and_then_what_changes(tmp_path: Path) -> None:
    async def follow(page: PageBench, _: FakeSpark) -> None:
        page.desk.shown = GatewayOnPage(url=page.url, requests=(RequestOnPage("r-1", EVIL, E4B, "", 1.0, "x"),))
        reading = asyncio.create_task(events(page, "/events", 2))
        await soon(lambda: is_watched(page, by=1))
        while not reading.done():
            await page.live.fresh(0.0)
            await asyncio.sleep(0.02)
        (first, history), (second, tick) = await reading
        assert (first, second) == ("history", "tick")
        rows = history["tables"]["services"]  # type: ignore[index,call-overload]
        assert rows[0][0] == E4B
        assert tick["tables"]["requests"][0][4] == EVIL  # type: ignore[index,call-overload]
        await soon(lambda: is_watched(page, by=0))

    on(tmp_path, follow)


def test_the_log_is_shown_without_secrets_and_followed(tmp_path: Path) -> None:
    async def follow(page: PageBench, spark: FakeSpark) -> None:
        container = spark.engine.container(E4B)
        assert container is not None
        spark.engine.log[container.id] += ["token hf_abcdefghijklmnopqrstuvwx", EVIL, "\x1b[31mred\x1b[0m"]
        answer = await page.get(f"/services/{E4B}/log")
        text = answer.body.decode()
        assert "hf_abcdefgh" not in text
        assert EVIL not in text
        assert "\x1b" not in text
        # The tail of the fake engine gives one line a look.
        spark.engine.log[container.id][:] = ["token hf_abcdefghijklmnopqrstuvwx", EVIL]
        (name, first), (_, second) = await events(page, f"/services/{E4B}/log/stream", 2)
        assert (name, first["fresh"], second["fresh"]) == ("lines", True, False)
        assert second["lines"] == [EVIL]
        assert "hf_abcdefgh" not in json.dumps(first)
        assert (await page.get("/services/nothing/log")).status == 404

    on(tmp_path, follow)


def test_without_services_it_says_what_to_do(tmp_path: Path) -> None:
    async def look(page: PageBench, _: FakeSpark) -> None:
        text = (await page.get("/")).body.decode()
        assert "nothing runs" in text
        assert "sparkctl apply STACK" in text

    on(tmp_path, look, up=False)


def test_an_engine_that_does_not_answer_is_said(tmp_path: Path) -> None:
    async def look(page: PageBench, spark: FakeSpark) -> None:
        spark.engine.away = EngineError("cannot connect to the Docker daemon", hint="sudo systemctl start docker")
        text = (await page.get("/")).body.decode()
        assert "Nothing can be seen: " in text
        assert 'next: <span data-text="todo">sudo systemctl start docker' in text
        assert b"sparkctl_engine_up 0.0" in (await page.get("/metrics")).body

    on(tmp_path, look)
