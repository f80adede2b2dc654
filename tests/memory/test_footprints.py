"""The table of whole starts in docs/memory.md, which another test keeps up to date, keeps what the page promises."""

from __future__ import annotations

from tests.support.paths import REPOSITORY

PAGE = (REPOSITORY / "docs" / "memory.md").read_text()


def test_no_start_held_more_than_the_most_and_the_middle_is_within_a_tenth() -> None:
    table = PAGE.split("<!-- table: footprints -->\n")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in table.splitlines()[2:]]
    assert len(rows) > 20
    for name, figure, logged, _, most, whole, _ in rows:
        assert float(logged) <= float(most), (name, figure)
        assert abs(float(whole.rstrip("%"))) <= 10, (name, figure)
