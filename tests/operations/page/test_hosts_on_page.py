"""Other hosts on the page: a bar for each, how it is, and its services; in HTML and in what the stream says."""

from __future__ import annotations

from datetime import UTC

from sparkctl.base.units import GIB
from sparkctl.operations.page import health, hosts, rendered, tables
from sparkctl.operations.page.view import (
    NOT_YET,
    BoxView,
    GatewayOnPage,
    GuardOnPage,
    HostOnPage,
    MemoryHolder,
    MemoryNow,
    ServiceOnPage,
    TroubleOnPage,
)

MEMORY = MemoryNow(
    "memory", 120 * GIB, 60 * GIB, 10 * GIB, act_bytes=6 * GIB, floor_bytes=4 * GIB,
    holders=(MemoryHolder("coder", 50 * GIB, 5 * GIB),),
)  # fmt: skip
CODER = ServiceOnPage("coder", "busy", claim_bytes=55 * GIB, held_bytes=50 * GIB, running=2.0, waiting=1.0)
WELL = HostOnPage("b", None, (MEMORY,), (CODER,), GuardOnPage(running=True))
DOWN = HostOnPage("c", TroubleOnPage("nothing answers at its ssh port", "is it switched on?"), silent_s=90.0)


def view(*others: HostOnPage) -> BoxView:
    return BoxView(1.0, "a", gateway=GatewayOnPage("http://127.0.0.1:8090", hosts=others))


def test_each_host_has_its_bar_with_the_lines_of_its_guard() -> None:
    document = rendered.document(view(WELL, DOWN), UTC)
    well, down = document["hosts"]  # type: ignore[misc]
    assert [one["kind"] for one in well["parts"]] == ["held", "foreign", "claimed", "free", "reserve"]
    assert [(one["kind"], one["x"]) for one in well["lines"]] == [("act", 950.0), ("floor", 966.67)]
    assert down["parts"] == down["lines"] == []
    assert document["texts"]["host-0"] == "b: memory, 120.0 GiB"  # type: ignore[index]
    assert document["texts"]["host-1"] == "c, which does not answer"  # type: ignore[index]


def test_a_host_that_does_not_answer_is_said_with_since_when_and_the_next_step() -> None:
    rows = {row.key: row for row in tables.tables(view(WELL, DOWN), UTC)["hosts"].rows}
    assert rows["b"].cells == ("b", "answers", "45.0 GiB", "guards")
    expected = "does not answer for 1m 30s: nothing answers at its ssh port; next: is it switched on?"
    assert rows["c"].cells == ("c", expected, "-", "-")


def test_its_services_are_rows_without_buttons() -> None:
    (row,) = tables.tables(view(WELL), UTC)["elsewhere"].rows
    assert row.cells == ("b", "coder", "busy", "50.0 of 55.0", "-", "2 + 1", "-")
    assert (row.may, row.link) == ((), "")


def test_the_page_has_no_section_of_hosts_where_there_are_none() -> None:
    assert b"Other hosts" not in rendered.page(view())
    html = rendered.page(view(WELL, DOWN)).decode()
    assert html.count('<figure data-bar="h') == 2
    assert "50.0 GiB held by coder" in html


def test_a_guard_is_told_as_it_is() -> None:
    closed = WELL._replace(guard=GuardOnPage(running=True, closed=True))
    none = WELL._replace(guard=GuardOnPage(running=False))
    assert [hosts.guard(one) for one in (closed, none)] == ["lets nothing start", "none runs"]
    assert hosts.caption(WELL._replace(memories=())) == "b, whose memory was not looked at yet"


def test_of_many_services_so_many_are_shown() -> None:
    many = WELL._replace(services=tuple(CODER._replace(name=f"s{number}") for number in range(hosts.MOST)))
    assert len(tables.tables(view(many, many._replace(name="c")), UTC)["elsewhere"].rows) == hosts.MOST


def test_a_host_that_is_silent_is_in_the_sentence_at_the_top_and_one_that_was_not_looked_at_is_not() -> None:
    told = health.sentence(view(WELL, DOWN, DOWN._replace(name="d")))
    assert told.level == health.BUSY
    assert told.words.endswith("but host c does not answer (and 1 more): nothing answers at its ssh port")
    assert told.todo == "is it switched on?"
    assert health.sentence(view(WELL, HostOnPage("e", NOT_YET))).level == health.WELL
    assert hosts.caption(HostOnPage("e", NOT_YET)) == "e, which was not looked at yet"
