"""The routes of the page: what each answers, and to whom."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.base.shown import one_line
from sparkctl.operations.page import logs, rendered
from sparkctl.world.door_ports import PageAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from sparkctl.operations.context import World
    from sparkctl.operations.page.ports import PageDesk
    from sparkctl.operations.page.seen.live import LiveBox
    from sparkctl.operations.page.visitors import Visitors
    from sparkctl.world.door_ports import Page, PageAsked, Pages

STREAMS: Final = 32
"""Streams of events at a time, a choice: each is a connection that stays."""
CANCEL: Final = "cancel"
NO_ADMIN: Final = (
    "this is no key that may administer the gateway: that takes one for all models that may start services, "
    "as sparkctl keys add NAME makes it without options; sparkctl keys shows which there are"
)
_SHOWN: Final = 100
"""How many characters of an unknown value are shown."""
HTML: Final = "text/html; charset=utf-8"
EVENTS: Final = "text/event-stream; charset=utf-8"
_FILES: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class BoxPages:
    """Answers for the page. ``desk`` does what its buttons say."""

    def __init__(self, world: World, live: LiveBox, visitors: Visitors, desk: PageDesk) -> None:
        self._world = world
        self._live = live
        self._visitors = visitors
        self._desk = desk
        self._streams = 0

    def routes(self) -> Pages:
        """Return the routes, as the door takes them."""
        found: dict[tuple[str, str], Page] = {
            ("GET", "/"): self._guarded(self._page),
            ("GET", "/events"): self._guarded(self._events),
            ("POST", "/act"): self._guarded(self._act),
            ("GET", "/services/{name}/log"): self._guarded(self._log),
            ("GET", "/services/{name}/log/stream"): self._guarded(self._log_stream),
            ("GET", "/login"): self._login_page,
            ("POST", "/login"): self._login,
            ("POST", "/logout"): self._logout,
        }
        return found | {("GET", f"/page/{name}"): _file(name, kind) for name, kind in _FILES.items()}

    # --- who may -----------------------------------------------------------------------------------------------------

    def _guarded(self, call: Callable[[PageAsked], Awaitable[PageAnswer]]) -> Page:
        async def page(asked: PageAsked) -> PageAnswer:
            if self._visitors.wrong_host(asked):
                return html(403, _wrong_host())
            if self._visitors.who(asked) is not None:
                return await call(asked)
            if asked.method == "GET" and asked.path == "/":
                return PageAnswer(303, {**rendered.SECURITY, "Location": "/login"}, b"")
            return _answered(asked, 401, "log in first: the session has ended")

        return page

    async def _login_page(self, asked: PageAsked) -> PageAnswer:
        if self._visitors.wrong_host(asked):
            return html(403, _wrong_host())
        if self._visitors.who(asked) is not None:
            return PageAnswer(303, {**rendered.SECURITY, "Location": "/"}, b"")
        return html(200, rendered.login_page())

    async def _login(self, asked: PageAsked) -> PageAnswer:
        if not self._visitors.same_site(asked):
            return html(403, rendered.trouble_page("Not taken", "this login comes from another site"))
        cookie = self._visitors.log_in(asked.fields.get("key", ""), encrypted=asked.encrypted)
        if cookie is None:
            return html(401, rendered.login_page(NO_ADMIN))
        return PageAnswer(303, {**rendered.SECURITY, "Location": "/", "Set-Cookie": cookie}, b"")

    async def _logout(self, asked: PageAsked) -> PageAnswer:
        why = self._visitors.why_not(asked)
        if why:
            return html(403, rendered.trouble_page("Not taken", why))
        cookie = self._visitors.log_out(asked)
        return PageAnswer(303, {**rendered.SECURITY, "Location": "/login", "Set-Cookie": cookie}, b"")

    # --- what is shown -----------------------------------------------------------------------------------------------

    async def _page(self, asked: PageAsked) -> PageAnswer:
        return await self._shown(asked, 200, "")

    async def _shown(self, asked: PageAsked, status: int, said: str) -> PageAnswer:
        view = await self._live.fresh()
        body = rendered.page(view, token=self._visitors.token(asked), origin=_origin(asked), said=said)
        return html(status, body)

    async def _events(self, asked: PageAsked) -> PageAnswer:
        return self._streamed(self._ticks(asked))

    async def _ticks(self, asked: PageAsked) -> AsyncIterator[bytes]:
        with self._live.watching():
            yield b"retry: 2000\n\n"
            yield rendered.event("history", await self._live.fresh())
            while True:
                view = await self._live.tick()
                if self._visitors.who(asked) is None:
                    words = json.dumps({"words": "the session has ended: log in again"})
                    yield f"event: over\ndata: {words}\n\n".encode()
                    return
                yield rendered.event("tick", view)

    async def _log(self, asked: PageAsked) -> PageAnswer:
        name = asked.places["name"]
        try:
            lines = await asyncio.to_thread(logs.said, self._world, name)
        except SparkctlError as error:
            return html(404, rendered.trouble_page(f"No log of {name}", error.message))
        return html(200, rendered.log_page(name, lines))

    async def _log_stream(self, asked: PageAsked) -> PageAnswer:
        return self._streamed(logs.stream(self._world, asked.places["name"]))

    def _streamed(self, pieces: AsyncIterator[bytes]) -> PageAnswer:
        if self._streams >= STREAMS:
            return html(503, rendered.trouble_page("Too many", f"{STREAMS} streams are open already"))
        return PageAnswer(200, {**rendered.SECURITY, "Content-Type": EVENTS}, self._counted(pieces))

    async def _counted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            async for piece in pieces:
                yield piece
        finally:
            self._streams -= 1
            await _closed(pieces)

    # --- what is done ------------------------------------------------------------------------------------------------

    async def _act(self, asked: PageAsked) -> PageAnswer:
        why = self._visitors.why_not(asked)
        if why:
            return _answered(asked, 403, f"nothing was done: {why}")
        try:
            await self._live.fresh()
            said = await self._done(asked.fields.get("act", ""), asked.fields.get("of", ""))
        except SparkctlError as error:
            words = error.message if not error.hint else f"{error.message} ({error.hint})"
            return await self._told(asked, 409, words)
        self._live.changed()
        return await self._told(asked, 200, said)

    async def _done(self, act: str, of: str) -> str:
        desk = self._desk
        acts: Mapping[str, Callable[[], Awaitable[str]]] = {
            "start": lambda: desk.start(of),
            "stop": lambda: desk.stop(of),
            "pin": lambda: desk.pin(of, pinned=True),
            "unpin": lambda: desk.pin(of, pinned=False),
            CANCEL: lambda: desk.cancel(of),
        }
        if act not in acts:
            raise InputError(f"there is no button {act[:_SHOWN]!r} here")
        if act != CANCEL:
            self._refuse_unseen(act, of)
        return await acts[act]()

    def _refuse_unseen(self, act: str, of: str) -> None:
        """Refuse a button that the page does not show: it only starts the page's services, and no files.

        Raises:
            InputError: it is not there.
        """
        one = self._live.view().service(of)
        if one is None:
            raise InputError(f"there is no service {of[:_SHOWN]!r} here")
        if act not in one.may:
            raise InputError(f"{one.name} is {one.phase}: what can be done is {', '.join(one.may) or 'nothing'}")

    async def _told(self, asked: PageAsked, status: int, said: str) -> PageAnswer:
        """Report the result of a button: to the script in JSON, to anybody else by the page itself."""
        if _by_script(asked):
            return _answered(asked, status, said)
        return await self._shown(asked, status, said)


def html(status: int, body: bytes) -> PageAnswer:
    """Return an answer that is a page."""
    return PageAnswer(status, {**rendered.SECURITY, "Content-Type": HTML}, body)


def _answered(asked: PageAsked, status: int, said: str) -> PageAnswer:
    if _by_script(asked):
        body = json.dumps({"said": one_line(said)}).encode()
        return PageAnswer(status, {**rendered.SECURITY, "Content-Type": "application/json"}, body)
    return html(status, rendered.trouble_page("Not done" if status >= 400 else "Done", said))  # noqa: PLR2004


def _by_script(asked: PageAsked) -> bool:
    return asked.headers.get("accept", "") == "application/json"


def _wrong_host() -> bytes:
    words = "this name is not one of this host: use its address, or localhost"
    return rendered.trouble_page("Not here", words)


def _origin(asked: PageAsked) -> str:
    host = asked.headers.get("host", "")
    return f"{'https' if asked.encrypted else 'http'}://{host}" if host else ""


def _file(name: str, kind: str) -> Page:
    async def page(_: PageAsked) -> PageAnswer:
        return PageAnswer(200, {**rendered.SECURITY, "Content-Type": kind}, rendered.data(name).encode())

    return page


async def _closed(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()
