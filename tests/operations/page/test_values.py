"""What the page is made of: the bar, the course, the sentence, the tables, the lines to paste. Values alone."""

from __future__ import annotations

import ast
import json
import shlex
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.units import GIB
from sparkctl.operations.page import bar, client_examples, course, health, rendered, tables
from sparkctl.operations.page.seen import buddies
from sparkctl.operations.page.view import (
    AgentOnPage,
    BoxView,
    GatewayOnPage,
    GuardOnPage,
    HappenedOnPage,
    MemoryHolder,
    MemoryNow,
    MemorySample,
    RoomOnPage,
    RouteOnPage,
    ServiceOnPage,
    TroubleOnPage,
)

BYTES = st.integers(0, 200 * GIB)
HOLDERS = st.lists(st.builds(MemoryHolder, st.sampled_from("abc"), BYTES, BYTES, st.booleans()), max_size=4)
MEMORY = st.builds(MemoryNow, st.just("memory"), BYTES, BYTES, BYTES, BYTES, holders=HOLDERS.map(tuple))
APPLIED = AgentOnPage(running=True, generation=1)


def memory(available: int = 60, **more: object) -> MemoryNow:
    return MemoryNow("memory", 120 * GIB, available * GIB, 10 * GIB)._replace(**more)


def view(*services: ServiceOnPage, **more: object) -> BoxView:
    given_ = {"at": 1.0, "memories": (memory(),), "agent": APPLIED, **more}
    return BoxView(services=services, **given_)  # type: ignore[arg-type]


# --- the bar ---------------------------------------------------------------------------------------------------------


@given(MEMORY)
def test_the_parts_of_a_bar_are_the_whole_memory(one: MemoryNow) -> None:
    parts = bar.parts(one)
    assert sum(part.bytes for part in parts) == one.total_bytes
    place = 0
    for part in parts:
        assert (part.start_bytes, part.bytes > 0) == (place, True)
        place += part.bytes


@given(MEMORY)
def test_what_may_be_started_is_never_in_the_reserve_nor_claimed(one: MemoryNow) -> None:
    free = sum(part.bytes for part in bar.parts(one) if part.kind in {"free", "cache"})
    if one.available_bytes <= one.total_bytes:
        assert bar.to_start_bytes(one) == free


def test_a_bar_has_the_figures_that_it_is_made_of() -> None:
    one = memory(holders=(MemoryHolder("a", 20 * GIB, 5 * GIB), MemoryHolder("b", 10 * GIB, 0, starting=True)),
                 cache_bytes=15 * GIB, act_bytes=6 * GIB, floor_bytes=4 * GIB)  # fmt: skip
    assert [(part.key, part.bytes // GIB) for part in bar.parts(one)] == [
        ("held a", 20), ("starting b", 10), ("foreign", 30), ("claimed a", 5), ("cache", 15), ("free", 30),
        ("reserve", 10),
    ]  # fmt: skip
    assert [(line.name, line.at_bytes // GIB) for line in bar.lines(one)] == [("act", 114), ("floor", 116)]
    assert tables.bar_words(one).startswith("120.0 GiB of memory: 20.0 GiB held by a, 10.0 GiB held by b, which is")


# --- the course ------------------------------------------------------------------------------------------------------


def sample(at: float, used: int) -> MemorySample:
    return MemorySample(at, 100 * GIB, (100 - used) * GIB, 0)


def test_the_ring_keeps_the_dip_between_two_samples_and_forgets_the_oldest() -> None:
    ring = course.CourseRing(kept=3, every_s=30)
    for at, used in ((0, 10), (5, 50), (10, 20), (30, 10), (60, 11), (90, 12)):
        ring.add(sample(at, used))
    assert [(one.at, one.available_bytes // GIB) for one in ring.samples()] == [(30, 90), (60, 89), (90, 88)]
    dipped = course.CourseRing(kept=3, every_s=30)
    for at, used in ((0, 10), (5, 50), (10, 20)):
        dipped.add(sample(at, used))
    assert [(one.at, one.available_bytes // GIB) for one in dipped.samples()] == [(5, 50)]


@given(st.lists(st.integers(0, 100), min_size=2, max_size=900))
def test_a_thinned_course_keeps_the_worst_moment_and_the_last(used: list[int]) -> None:
    samples = [sample(30.0 * place, one) for place, one in enumerate(used)]
    shown = course.thinned(samples, most=50)
    assert len(shown) <= 51
    assert shown[-1] == samples[-1]
    assert min(one.available_bytes for one in shown) == min(one.available_bytes for one in samples)
    assert [one.at for one in shown] == sorted({one.at for one in shown})
    for point in course.line(samples).split():
        x, y = map(float, point.lstrip("ML").split(","))
        assert 0 <= x <= course.WIDTH
        assert 0 <= y <= course.HEIGHT


def test_a_clock_that_is_set_back_draws_nothing_odd() -> None:
    assert course.line([sample(100, 1), sample(50, 2)]) == ""
    assert course.line([sample(100, 1)]) == ""


def test_where_nobody_watched_the_line_is_broken_and_the_words_say_so() -> None:
    watched = [sample(30.0 * place, 50) for place in range(3)]
    later = [one._replace(at=one.at + 7260) for one in watched]
    assert course.line([*watched, *later]) == "M0.0,60.0 L4.1,60.0 L8.2,60.0 M991.8,60.0 L995.9,60.0 L1000.0,60.0"
    assert course.area([*watched, *later]).count("Z") == 2
    html = rendered.page(view(course=(*watched, *later)), zone=UTC).decode()
    assert "since 1970-01-01 00:00:00; for 2h 00m of it nobody watched; the least that was available: 50.0 GiB" in html
    assert course.unwatched_s(watched) == 0


# --- the sentence ----------------------------------------------------------------------------------------------------

READY = ServiceOnPage("a", "ready", priority=5, held_bytes=20 * GIB)
HELD = ServiceOnPage("b", "held", "3 failures", "sparkctl up b")
LOADS = ServiceOnPage("b", "starting", eta_s=94)
FULL = memory(7, holders=(MemoryHolder("a", 20 * GIB, 0),))
TROUBLE = TroubleOnPage("it is away", "mend it")
UNGUARDED = GuardOnPage(running=False, problem="no guard runs")


@pytest.mark.parametrize(
    ("found", "level", "words", "todo"),
    [
        (view(READY), "well", "All is well: a answers, 50.0 GiB are free to start more", ""),
        (view(), "well", "nothing runs", ""),
        (view(agent=AgentOnPage(running=False)), "well", "nothing runs", "sparkctl apply STACK"),
        (view(READY, LOADS), "busy", "b is starting, about 1m 34s left. a answers", ""),
        (view(READY, HELD), "ill", "b is held: 3 failures", "up b"),
        (view(READY, ServiceOnPage("b", "stuck")), "ill", "b is stuck", "sparkctl status b"),
        (view(READY, problem=TROUBLE), "ill", "Nothing can be seen: it is away", "mend it"),
        (view(READY, warnings=(TROUBLE, TROUBLE)), "busy", "a answers, 50.0 GiB are free to start more, but it is away",
         "mend it"),
        (view(READY, HELD, warnings=(TROUBLE,)), "ill", "b is held", "up b"),
        (view(READY, memories=(FULL,)), "ill", "3.0 GiB of the reserve of memory", "stop a, which holds 20.0 GiB"),
        (view(READY, memories=(memory(), FULL._replace(holders=()))), "ill", "3.0 GiB of the reserve", "end what else"),
        (view(memories=(memory(7),)), "ill", "113.0 GiB are held by what is not sparkctl's", "end what else"),
        (
            view(READY, memories=(FULL,), guard=GuardOnPage(running=True, closed=True, available_bytes=5 * GIB)),
            "ill",
            "Memory ran short, and the guard lets nothing start (5.0 GiB are available)",
            "stop a",
        ),
        (view(READY, guard=UNGUARDED), "busy", "but no guard runs", "sparkctl agent install"),
        (view(READY, guard=GuardOnPage(running=True, problem="it is late")), "busy", "it is late", "guard status"),
        (
            view(READY, guard=UNGUARDED, simulated=True),
            "well",
            "All is well",
            "",
        ),
    ],
)  # fmt: skip
def test_the_sentence_says_the_worst_and_the_next_step(found: BoxView, level: str, words: str, todo: str) -> None:
    told = health.sentence(found)
    assert (told.level, words in told.words) == (level, True), told
    assert todo in told.todo if todo else not told.todo, told


def test_what_is_kept_or_pinned_is_not_offered_to_be_stopped() -> None:
    kept = READY._replace(name="kept", keep=True, priority=0)
    pinned = READY._replace(name="pinned", pinned=True, priority=0)
    holders = tuple(MemoryHolder(name, 20 * GIB, 0) for name in ("kept", "pinned", "a"))
    told = health.sentence(view(kept, pinned, READY, memories=(memory(7, holders=holders),)))
    assert told.todo.startswith("stop a, ")


# --- the tables ------------------------------------------------------------------------------------------------------


def test_all_columns_of_a_service_are_there() -> None:
    one = ServiceOnPage(
        "a", "busy", "3 running, 0 waiting", recipe="e4b", priority=7, keep=True, claim_bytes=22 * GIB,
        held_bytes=21 * GIB, generated=140.26, prompt=800, running=3, waiting=1, kv=0.315, acceptance=0.61, idle_s=65,
        stops_s=600, may=("stop", "pin"), has_log=True,
    )  # fmt: skip
    (row,) = tables.tables(view(one))["services"].rows
    assert row.cells == (
        "a", "busy: 3 running, 0 waiting", "7, kept", "21.0 of 22.0", "140.3 out, 800 in", "3 + 1", "32%", "61%",
        "1m 05s, is stopped in 10m 00s",
    )  # fmt: skip
    assert (row.may, row.link) == (("stop", "pin"), "/services/a/log")


def test_an_escalation_is_seen_with_its_reason_and_its_moment() -> None:
    routes = (RouteOnPage("auto", "a", "b", (("asked", 1), ("cut", 2)), 60.0, "cut"), RouteOnPage("other", "a", "b"))
    table = tables.tables(view(gateway=GatewayOnPage("http://x", routes=routes)), UTC)["routes"]
    assert [row.cells[-1] for row in table.rows] == [
        "asked 1, cut 2; the last at 1970-01-01 00:01:00, by cut",
        "-",
    ]


def test_a_word_is_not_said_twice() -> None:
    happened = (HappenedOnPage(2.0, "a", "running", "running"), HappenedOnPage(1.0, "a", "off", "off: on demand"))
    table = tables.tables(view(happened=happened), UTC)["happened"]
    assert [row.cells[2:] for row in table.rows] == [("running", ""), ("off", "on demand")]


def test_what_runs_by_now_is_not_among_what_would_fit() -> None:
    found = view(READY, room=(RoomOnPage("a", fits=True), RoomOnPage("b", fits=True, command="sparkctl up b")))
    assert [row.cells for row in tables.tables(found)["room"].rows] == [("b", "yes", "-", "sparkctl up b")]


def test_two_events_of_one_moment_have_keys_of_their_own_and_a_time_that_is_none_is_shown_as_such() -> None:
    one = HappenedOnPage(1.0, "a", "held", "x")
    table = tables.tables(view(happened=(one, one, one._replace(at=1e300))), UTC)["happened"]
    assert len({row.key for row in table.rows}) == 3
    assert [row.cells[0] for row in table.rows] == ["?", "1970-01-01 00:00:01", "1970-01-01 00:00:01"]


def test_the_same_tables_are_in_the_page_and_in_the_stream() -> None:
    found = view(READY, happened=(HappenedOnPage(1.0, "a", "running", "ready"),))
    html = rendered.page(found).decode()
    for name, rows in rendered.document(found)["tables"].items():  # type: ignore[attr-defined]
        if rows and f'data-rows="{name}"' in html:
            for row in rows:
                assert all(str(cell) in html.replace("&#39;", "'") for cell in row[4:]), (name, row)


# --- how to call it --------------------------------------------------------------------------------------------------


@given(st.text(max_size=30), st.booleans())
def test_what_is_pasted_is_one_command_and_valid_python(name: str, needs_key: bool) -> None:
    found = view(gateway=GatewayOnPage("http://127.0.0.1:1", (name,), needs_key=needs_key))
    curl, python, _ = client_examples.ways(found, "https://spark:8080")
    words = shlex.split(curl.text.replace("\\\n", " "))
    assert words[:2] == ["curl", "https://spark:8080/v1/chat/completions"]
    assert json.loads(words[-1])["model"] == name
    tree = ast.parse(python.text)
    assert name in {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant)}
    assert ("SPARKCTL_KEY" in curl.text) == needs_key


def test_without_a_gateway_the_service_itself_is_called() -> None:
    found = view(READY._replace(url="http://127.0.0.1:8003", served=("gemma",)))
    assert '"model": "gemma"' in client_examples.ways(found, "http://spark:9")[0].text
    assert "http://127.0.0.1:8003/v1" in client_examples.ways(found, "http://spark:9")[0].text
    assert client_examples.ways(view()) == ()


# --- free blocks -----------------------------------------------------------------------------------------------------

BUDDYINFO = """\
Node 0, zone      DMA      1      0      0      1      2      1      1      0      1      1      3
Node 0, zone   Normal    216     55    189    101     84     38     37     27      5      3    587
"""


def test_large_free_blocks_are_those_of_two_mebibytes_and_more() -> None:
    assert buddies.large_blocks(BUDDYINFO, 4096) == ((2 << 20, 4), (4 << 20, 590))
    large = dict(buddies.large_blocks(BUDDYINFO, 65536))
    assert large[16 << 20] == 6, "with pages of 64 KiB, as a GB10's kernel has them: the ninth column"


@given(st.text())
def test_what_is_no_buddyinfo_says_nothing_and_raises_nothing(text: str) -> None:
    assert buddies.large_blocks("Node 0, zone a b\n" + text.replace("Node", "node"), 4096) == ()
