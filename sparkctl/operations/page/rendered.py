"""The view as HTML, and as the JSON of the stream. Text is escaped by jinja2, and there is no HTML in a value."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined

from sparkctl.base.shown import json_text, one_line
from sparkctl.base.units import format_duration, format_gib
from sparkctl.operations.page import bar, client_examples, course, health, hosts, tables

if TYPE_CHECKING:
    from datetime import tzinfo

    from sparkctl.operations.page.view import BoxView, MemoryNow, MemorySample

SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all a form says `Origin: null`, as one of a stranger may
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer of the page: nothing in it comes from elsewhere, goes elsewhere, or is stored."""


def data(name: str) -> str:
    """Return a file of the page, as it is in the package."""
    return files("sparkctl.operations.page").joinpath("data", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        autoescape=True,
        loader=FunctionLoader(data),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(view: BoxView, *, token: str = "", origin: str = "", said: str = "", zone: tzinfo | None = None) -> bytes:
    """Return the page. ``token`` goes with each button, ``said`` is what became of the last one."""
    found = tables.tables(view, zone)
    return _rendered(
        "page.html",
        document=document(view, zone),
        tables=found,
        ways=client_examples.ways(view, origin),
        token=token,
        none_text=tables.NONE,
        said=one_line(said),
        host=one_line(view.host),
        view=view,
        size=(course.WIDTH, course.HEIGHT),
    )


def log_page(name: str, lines: list[str]) -> bytes:
    """Return the page of a service's log: what it has said so far."""
    return _rendered("log.html", name=one_line(name), place=tables.log_place(name), lines=lines)


def login_page(said: str = "") -> bytes:
    """Return the page that asks for a key."""
    return _rendered("login.html", said=one_line(said))


def trouble_page(heading: str, words: str) -> bytes:
    """Return a page that says what went wrong."""
    return _rendered("trouble.html", heading=one_line(heading), words=one_line(words))


def _rendered(template: str, **values: Any) -> bytes:  # noqa: ANN401  (what templates are given)
    return _environment().get_template(template).render(**values).encode("utf-8", "replace")


# --- what the stream says -------------------------------------------------------------------------------------------


def document(view: BoxView, zone: tzinfo | None = None) -> dict[str, object]:
    """Return the changing parts of the page: plain texts and numbers."""
    told = health.sentence(view)
    return {
        "level": told.level,
        "texts": {
            "health": one_line(told.words),
            "todo": one_line(told.todo),
            "at": tables.when(view.at, zone),
            "course-words": _course_words(view.course, zone),
            **{f"host-{place}": one_line(hosts.caption(one)) for place, one in enumerate(view.gateway.hosts)},
        },
        "warnings": [
            one_line(f"{one.words}; next: {one.todo}") for one in view.warnings if one.words not in told.words
        ],
        "bars": [_bar(memory) for memory in view.memories],
        "hosts": [_bar(hosts.memory(one)) for one in view.gateway.hosts],
        "course": {
            "line": course.line(view.course),
            "area": course.area(view.course),
            "lines": [] if view.memory is None else _course_lines(view.memory),
        },
        "tables": {
            name: [[one.key, one.state, list(one.may), one.link, *one.cells] for one in table.rows]
            for name, table in tables.tables(view, zone).items()
        },
    }


def event(name: str, view: BoxView) -> bytes:
    """Return a server-sent event with the changing parts of the page."""
    return f"event: {name}\ndata: {json_text(document(view), ascii_only=True)}\n\n".encode()


def _bar(memory: MemoryNow) -> dict[str, object]:
    """Return a bar: places in per mille of its width."""
    total = max(1, memory.total_bytes)
    return {
        "name": one_line(memory.name),
        "words": one_line(tables.bar_words(memory)),
        "total": format_gib(memory.total_bytes),
        "parts": [
            {
                "kind": one.kind,
                "x": round(one.start_bytes / total * 1000, 2),
                "width": round(one.bytes / total * 1000, 2),
                "title": one_line(f"{one.words}: {format_gib(one.bytes)}"),
                "label": one_line(one.name) if one.kind in {"held", "starting"} else "",
            }
            for one in bar.parts(memory)
        ],
        "lines": [
            {"kind": one.name, "x": round(one.at_bytes / total * 1000, 2), "title": one.words}
            for one in bar.lines(memory)
        ],
    }


def _course_lines(memory: MemoryNow) -> list[dict[str, object]]:
    """Return the reserve and the guard's lines across the course, by their height."""
    given = (("reserve", memory.reserve_bytes), ("act", memory.act_bytes), ("floor", memory.floor_bytes))
    total = max(1, memory.total_bytes)
    return [{"kind": kind, "y": round(count / total * course.HEIGHT, 1)} for kind, count in given if count is not None]


def _course_words(samples: tuple[MemorySample, ...], zone: tzinfo | None) -> str:
    lowest = course.least(samples)
    if lowest is None or not course.line(samples):
        return "its course is shown once it was watched for a minute"
    since, at = tables.when(samples[0].at, zone), tables.when(lowest.at, zone)
    away_s = course.unwatched_s(samples)
    away = f"; for {format_duration(away_s)} of it nobody watched" if away_s else ""
    return f"since {since}{away}; the least that was available: {format_gib(lowest.available_bytes)}, at {at}"
