"""The routes that are no model's: the page, its stream, the metrics. They are functions, and know no HTTP library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl

from sparkctl.world.door import headers
from sparkctl.world.door_ports import PageAsked

if TYPE_CHECKING:
    from aiohttp import web

    from sparkctl.world.door.to_client import ToClient
    from sparkctl.world.door_ports import Page, PageAnswer, Pages

_PLACE: Final = re.compile(r"\\\{(\w+)\\\}")
_POSTED: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 100


class FoundPage(NamedTuple):
    """A page for a path: what answers it, and what stands in the places of its route; None: not by this method."""

    page: Page | None
    places: dict[str, str]
    methods: tuple[str, ...]


class PageTable:
    """Finds the page of a path. Paths are compared literally, as those of models are."""

    def __init__(self, pages: Pages) -> None:
        self._exact: dict[str, dict[str, Page]] = {}
        self._open: dict[str, tuple[re.Pattern[str], dict[str, Page]]] = {}
        for (method, route), page in pages.items():
            if "{" not in route:
                self._exact.setdefault(route, {})[method] = page
                continue
            pattern = _PLACE.sub(r"(?P<\1>[A-Za-z0-9_-][A-Za-z0-9._-]{0,127})", re.escape(route))
            self._open.setdefault(route, (re.compile(pattern), {}))[1][method] = page

    def find(self, method: str, path: str) -> FoundPage | None:
        """Return what a path is; None: no page."""
        wanted = "GET" if method == "HEAD" else method
        if path in self._exact:
            by_method = self._exact[path]
            return FoundPage(by_method.get(wanted), {}, tuple(by_method))
        for pattern, by_method in self._open.values():
            found = pattern.fullmatch(path)
            if found is not None:
                return FoundPage(by_method.get(wanted), found.groupdict(), tuple(by_method))
        return None


def asked(request: web.BaseRequest, path: str, places: dict[str, str], body: bytes) -> PageAsked:
    """Return what a page is asked."""
    fields: dict[str, str] = {}
    if body and request.content_type == _POSTED:
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            pairs = []
        fields = dict(pairs)
    return PageAsked(
        method=request.method,
        path=path,
        places=places,
        query=dict(request.query),
        headers={name.lower(): value for name, value in request.headers.items()},
        cookies=dict(request.cookies),
        fields=fields,
        body=body,
        address=request.remote or "",
        encrypted=request.secure,
    )


async def answer(out: ToClient, page: PageAnswer, request_id: str, *, head: bool) -> None:
    """Send what a page answers; pieces go out as they come, and what yields them is closed when the client leaves.

    Raises:
        ClientGoneError: nobody is there.
    """
    told = headers.of_own(page.headers, request_id).items()
    if isinstance(page.body, bytes):
        await out.whole(page.status, told, page.body)
        return
    pieces = page.body
    try:
        await out.begin(page.status, [*told, ("X-Accel-Buffering", "no")])
        if not head:
            async for piece in pieces:
                await out.write(piece)
        await out.end()
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
