"""The terminal session of docs/hosts.md, from one Spark to two, is what the commands print on two real hosts."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.operations.groups.test_groups_on_hosts import RECIPE
from tests.support.command_server import in_scripts
from tests.support.paths import REPOSITORY
from tests.support.real_hosts import folder_of_hosts, ssh_of
from tests.support.sessions import replay, sessions
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300)]


@only_thorough
def test_from_one_spark_to_two_goes_as_the_page_says(tmp_path: Path, tiny_model: Path) -> None:
    hosts = folder_of_hosts()
    (session,) = sessions(REPOSITORY / "docs/hosts.md")
    environ = in_scripts(tmp_path / "bin")
    ssh_of(hosts, tmp_path / "bin")
    recipes = tmp_path / "home/.config/sparkctl/recipes"
    recipes.mkdir(parents=True)
    (recipes / "large.yaml").write_text(RECIPE.format(name="large", port=8655, faults="load_s=0.3"))
    models = [hosts / host / "root/models/large" for host in ("spark-a", "spark-b")]
    shutil.copytree(tiny_model, models[0])
    try:
        replay(session, tmp_path / "home", environ)
    finally:
        for folder in models:
            shutil.rmtree(folder, ignore_errors=True)
