"""What a user installs: the wheel's contents, and that it works from an empty folder."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from typing import TYPE_CHECKING

import pytest

from sparkctl.recipes.catalog import FOLDERS
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

ROOT = REPOSITORY
pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel through the source distribution: built from the tree, hatchling would ship ignored files."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_ships_the_recipes_mods_templates_checks_and_jobs_that_git_tracks(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *{*FOLDERS, "jobs"}],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    shipped = {name.removeprefix("sparkctl/_data/") for name in names if name.startswith("sparkctl/_data/")}
    assert shipped == set(tracked)
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "scripts/"))]
    assert "sparkctl/py.typed" in names


def test_the_installed_wheel_finds_its_recipes_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, system_site_packages=False)
    site = next(environment.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies are those of this environment: only sparkctl itself must come from the wheel.
    outer = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(outer)
    command = [environment / "bin" / "python", "-m", "sparkctl", "recipes", "--json"]
    done = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True, env={"HOME": str(tmp_path)}
    )
    assert "e4b-nvfp4" in done.stdout
    assert str(ROOT) not in done.stdout
