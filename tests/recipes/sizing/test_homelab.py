"""Five services of a home on the smaller GB10: what docs/howto.md shows."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING

from sparkctl.base.units import GIB
from tests.support.fake_world import FakeSpark
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (REPOSITORY / "docs" / "howto.md").read_text()


def test_the_five_services_of_the_page_fit_on_the_smaller_gb10(tmp_path: Path) -> None:
    section = PAGE[PAGE.index("## Five services on one Spark") :].split("\n## ")[0]
    written = {name: dedent(text) for name, text in re.findall(r"`([\w.]+)`:\n\n((?:        .+\n)+)", section)}
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    home = tmp_path / "home.yaml"
    spark = FakeSpark(tmp_path)
    done = spark.run("plan", str(home), "--host", "gb10-119").expect(0)
    shown = dedent(
        "".join(re.findall(r"^    ((?:service|e4b|e2b|reasoner|embedder|reranker) .+\n)", section, re.MULTILINE))
    )
    assert [" ".join(line.split()) for line in shown.splitlines()] == [
        " ".join(line.split()) for line in done.out.splitlines()[:6]
    ]
    planned = spark.run("plan", str(home), "--host", "gb10-119", "--json").expect(0).json
    assert planned["fits"]
    assert len(planned["order"]) == len(written) + 2 == 5
    together = sum(service["bound_bytes"] for service in planned["services"])
    assert together + planned["pool"]["reserve_bytes"] < planned["pool"]["available_bytes"] + 10 * GIB
