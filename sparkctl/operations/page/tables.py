"""The page's tables: the same cells for the HTML and for what the stream says of changes. Pure.

The text of a cell is plain: the HTML writer escapes it, and the script sets it as text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from sparkctl.base.shown import one_line
from sparkctl.base.units import GIB, format_bytes, format_duration, format_gib
from sparkctl.operations.page import bar, hosts

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from sparkctl.operations.page.view import BoxView, MemoryNow, RequestOnPage, RoomOnPage, RouteOnPage, ServiceOnPage

NONE: Final = "-"
"""Stands for a missing value."""
_LONGEST: Final = 2000
"""Characters of a cell that are shown, a choice: words of a refusal have a few hundred."""


class ShownColumn(NamedTuple):
    """A column: its heading, its kind (text, number) and what it means, for whoever hovers or listens."""

    heading: str
    kind: str = "text"
    means: str = ""


class ShownRow(NamedTuple):
    """A row: a key that distinguishes it from others, its cells, a word that colours it, and its buttons."""

    key: str
    cells: tuple[str, ...]
    state: str = ""
    may: tuple[str, ...] = ()
    link: str = ""


class ShownTable(NamedTuple):
    """A table: its name, its heading, its columns and rows; ``empty`` is its text without rows."""

    name: str
    heading: str
    columns: tuple[ShownColumn, ...]
    rows: tuple[ShownRow, ...]
    empty: str
    buttons: tuple[str, ...] = ()


def tables(view: BoxView, zone: tzinfo | None = None) -> dict[str, ShownTable]:
    """Return the tables of a page by their names. ``zone`` is that of times, None: this host's."""
    found = (_memory(view), _services(view), _requests(view), _happened(view, zone), _room(view), _machine(view))
    more = (_routes(view, zone), _keys(view), _hosts(view), _elsewhere(view))
    return {one.name: _shown(one) for one in (*found, *more)}


def _shown(table: ShownTable) -> ShownTable:
    """Return a table in whose cells every character is seen."""
    return table._replace(rows=tuple(row._replace(cells=tuple(map(_cell, row.cells))) for row in table.rows))


def _cell(text: str) -> str:
    return one_line(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


# --- memory ----------------------------------------------------------------------------------------------------------


def _memory(view: BoxView) -> ShownTable:
    columns = (ShownColumn("what"), ShownColumn("GiB", "number"), ShownColumn("share", "number"))
    rows = [row for memory in view.memories for row in _of_memory(memory, several=len(view.memories) > 1)]
    return ShownTable("memory", "Where the memory is", columns, tuple(rows), "the memory is not known")


def _of_memory(memory: MemoryNow, *, several: bool) -> list[ShownRow]:
    of = f" ({memory.name})" if several else ""
    total = max(1, memory.total_bytes)
    found = [
        ShownRow(
            f"{memory.name} {one.key}",
            (f"{one.words}{of}", f"{one.bytes / GIB:.1f}", f"{one.bytes / total:.0%}"),
            one.kind,
        )
        for one in bar.parts(memory)
    ]
    lines = [
        ShownRow(
            f"{memory.name} {one.name}",
            (f"{one.words}{of}", f"{one.available_bytes / GIB:.1f}", f"{one.available_bytes / total:.0%}"),
            one.name,
        )
        for one in bar.lines(memory)
    ]
    return [*found, *lines]


# --- services --------------------------------------------------------------------------------------------------------

_SERVICES: Final = (
    ShownColumn("service"),
    ShownColumn("state"),
    ShownColumn("priority", "number", "whoever has less is stopped first"),
    ShownColumn("GiB", "number", "held now, of what it has claimed"),
    ShownColumn("tok/s", "number", "tokens a second that it generates, and that it reads of prompts"),
    ShownColumn("requests", "number", "running and waiting in its server"),
    ShownColumn("KV", "number", "share of its cache of keys and values that is in use"),
    ShownColumn("acceptance", "number", "share of the drafted tokens that were kept"),
    ShownColumn("idle", "text", "since its last answer, and when it is stopped for that"),
)


def _services(view: BoxView) -> ShownTable:
    rows = tuple(
        ShownRow(one.name, _of_service(one), one.phase, one.may, log_place(one.name) if one.has_log else "")
        for one in view.services
    )
    empty = "no service runs, and none is declared: sparkctl up NAME starts one, sparkctl apply STACK declares them"
    return ShownTable("services", "Services", _SERVICES, rows, empty, ("start", "stop", "pin", "unpin"))


def log_place(name: str) -> str:
    """Return where the log of a service is on this page."""
    return f"/services/{quote(name, safe='', errors='replace')}/log"


def _of_service(one: ServiceOnPage) -> tuple[str, ...]:
    priority = NONE if one.priority is None else str(one.priority)
    marks = [mark for mark, on in (("kept", one.keep), ("pinned", one.pinned)) if on]
    return (
        one.name,
        _state(one),
        ", ".join([priority, *marks]),
        _memory_of(one),
        NONE if one.generated is None else f"{one.generated:.1f} out, {one.prompt or 0:.0f} in",
        NONE if one.running is None else f"{one.running:.0f} + {one.waiting or 0:.0f}",
        _share(one.kv),
        _share(one.acceptance),
        _idle(one),
    )


def _memory_of(one: ServiceOnPage) -> str:
    if one.held_bytes is None and one.claim_bytes is None:
        return NONE
    return f"{_gib(one.held_bytes)} of {_gib(one.claim_bytes)}"


def _state(one: ServiceOnPage) -> str:
    words = _beyond(one.phase, one.words)
    told = [f"{one.phase}: {words}" if words else one.phase]
    if one.eta_s is not None:
        told.append(f"about {format_duration(max(1.0, one.eta_s))} left")
    told += one.doubts
    if one.todo:
        told.append(f"next: {one.todo}")
    return "; ".join(told)


def _idle(one: ServiceOnPage) -> str:
    if one.idle_s is None:
        return NONE
    stops = f", is stopped in {format_duration(one.stops_s)}" if one.stops_s is not None else ""
    return f"{format_duration(one.idle_s)}{stops}"


# --- the rest --------------------------------------------------------------------------------------------------------


def _requests(view: BoxView) -> ShownTable:
    columns = (
        ShownColumn("asked for"),
        ShownColumn("answered by"),
        ShownColumn("key"),
        ShownColumn("age", "number"),
        ShownColumn("where it is"),
        ShownColumn("tokens", "number"),
        ShownColumn("request"),
    )
    rows = tuple(ShownRow(one.id, _of_request(one), "", ("cancel",)) for one in view.gateway.requests)
    return ShownTable("requests", "Requests now", columns, rows, "no request is under way", ("cancel",))


def _of_request(one: RequestOnPage) -> tuple[str, ...]:
    by = f"{one.service} (by {one.reason})" if one.reason else one.service or NONE
    tokens = NONE if one.tokens is None else str(one.tokens)
    return one.name or NONE, by, one.key or NONE, format_duration(one.age_s), one.words, tokens, one.id


def _happened(view: BoxView, zone: tzinfo | None) -> ShownTable:
    columns = (ShownColumn("when"), ShownColumn("service"), ShownColumn("what"), ShownColumn("why"))
    latest = sorted(view.happened, key=lambda one: one.at, reverse=True)
    keys: dict[str, int] = {}
    rows = []
    for one in latest:
        key = f"{one.at:.3f} {one.service} {one.kind}"
        keys[key] = keys.get(key, 0) + 1
        cells = (when(one.at, zone), one.service or "the box", one.kind, _beyond(one.kind, one.words))
        rows.append(ShownRow(f"{key} {keys[key]}", cells, one.kind))
    return ShownTable("happened", "What happened", columns, tuple(rows), "nothing that is known of")


def when(at: float, zone: tzinfo | None = None) -> str:
    """Return a moment as a reader has it."""
    try:
        moment = datetime.fromtimestamp(at, tz=UTC).astimezone(zone)
    except (OverflowError, OSError, ValueError):
        return "?"
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _room(view: BoxView) -> ShownTable:
    columns = (ShownColumn("recipe or service"), ShownColumn("fits"), ShownColumn("GiB", "number"), ShownColumn("how"))
    # The search was up to a minute ago: services started since are left out.
    up = {one.name for one in view.services if one.held_bytes or one.url}
    rows = tuple(ShownRow(one.name, _of_room(one), _FITS[one.fits]) for one in view.room if one.name not in up)
    return ShownTable(
        "room", "What else would fit", columns, rows, "everything that is known of runs, or was not asked"
    )


_FITS: Final = {True: "yes", False: "no", None: "unknown"}


def _of_room(one: RoomOnPage) -> tuple[str, ...]:
    return one.name, _FITS[one.fits], _gib(one.bytes), one.words or one.command


def _machine(view: BoxView) -> ShownTable:
    columns = (ShownColumn("what"), ShownColumn("value"))
    found: list[tuple[str, str]] = [
        (
            one.name,
            ", ".join(
                text
                for text, known in (
                    (f"{one.watts or 0:.0f} W", one.watts is not None),
                    (f"{one.degrees} °C", one.degrees is not None),
                    (f"{one.percent} % busy", one.percent is not None),
                )
                if known
            )
            or "the driver reports nothing",
        )
        for one in view.gpus
    ]
    found += [(f"free blocks of {format_bytes(size)}", str(count)) for size, count in view.large_blocks]
    guard = view.guard
    found.append(("guard", guard.problem or ("guards" if guard.running else "none runs")))
    if guard.first:
        found.append(("who has to end first", guard.first))
    found += [("agent", told) for told in view.agent.told]
    rows = tuple(ShownRow(f"{place} {name}", (name, text)) for place, (name, text) in enumerate(found))
    return ShownTable("machine", "The machine", columns, rows, "nothing is known of it")


def _routes(view: BoxView, zone: tzinfo | None) -> ShownTable:
    columns = (ShownColumn("name"), ShownColumn("first"), ShownColumn("then"), ShownColumn("went on to it, by reason"))
    rows = tuple(ShownRow(one.name, (one.name, one.first, one.then, _taken(one, zone))) for one in view.gateway.routes)
    return ShownTable("routes", "Routes", columns, rows, "no route is declared")


def _taken(one: RouteOnPage, zone: tzinfo | None) -> str:
    if not one.taken:
        return NONE
    last = "" if one.last_at is None else f"; the last at {when(one.last_at, zone)}, by {one.last_why}"
    return ", ".join(f"{why} {count}" for why, count in one.taken) + last


def _keys(view: BoxView) -> ShownTable:
    columns = (
        ShownColumn("key"),
        ShownColumn("requests", "number"),
        ShownColumn("tokens in", "number"),
        ShownColumn("tokens out", "number"),
    )
    rows = tuple(
        ShownRow(one.name, (one.name, *map(str, (one.requests, one.prompt_tokens, one.completion_tokens))))
        for one in view.gateway.keys
    )
    return ShownTable("keys", "Use by key", columns, rows, "no key was used yet")


def _hosts(view: BoxView) -> ShownTable:
    columns = (
        ShownColumn("host"),
        ShownColumn("state"),
        ShownColumn("free to start more", "number"),
        ShownColumn("guard"),
    )
    rows = tuple(
        ShownRow(
            one.name,
            (one.name, hosts.state(one), hosts.free(one), hosts.guard(one)),
            "off" if one.problem is not None else "ready",
        )
        for one in view.gateway.hosts
    )
    return ShownTable("hosts", "Other hosts", columns, rows, "no other host is declared")


def _elsewhere(view: BoxView) -> ShownTable:
    columns = (ShownColumn("host"), *_SERVICES[:2], *_SERVICES[3:7])
    found = [(host, one) for host in view.gateway.hosts for one in host.services][: hosts.MOST]
    rows = tuple(
        ShownRow(
            f"{one.name}@{host.name}",
            (host.name, *(cell for place, cell in enumerate(_of_service(one)) if place in {0, 1, 3, 4, 5, 6})),
            one.phase,
        )
        for host, one in found
    )
    return ShownTable("elsewhere", "Services there", columns, rows, "no service is seen on another host")


# --- words -----------------------------------------------------------------------------------------------------------


def _beyond(word: str, words: str) -> str:
    """Return the part of a sentence after the word with which it may begin."""
    return "" if words == word else words.removeprefix(f"{word}: ")


def _gib(count: int | None) -> str:
    return NONE if count is None else f"{count / GIB:.1f}"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}"


def bar_words(memory: MemoryNow, told: Callable[[int], str] = format_gib) -> str:
    """Return a bar in words, for those who do not see it."""
    found = [f"{told(one.bytes)} {one.words}" for one in bar.parts(memory)]
    return f"{told(memory.total_bytes)} of {memory.name}: {', '.join(found)}"
