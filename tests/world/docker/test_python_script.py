"""What a Python says of itself from inside, asked as the engine asks it: its text in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sparkctl.world.docker import python_script

PYC = py_compile.PycInvalidationMode


def ask(request: dict[str, object], *, packages: Path, **env: str) -> dict[str, Any]:
    """Ask a Python whose packages are in a folder."""
    environment = {"PATH": "/nowhere", "PYTHONPATH": str(packages), **env}
    text = Path(python_script.__file__).read_text()
    command = [sys.executable, "-c", python_script.STARTER, text, json.dumps(request)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=packages)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Return a folder with a package whose import would end the process."""
    folder = tmp_path / "site-packages"
    (folder / "fake" / "models").mkdir(parents=True)
    (folder / "fake" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (folder / "fake" / "models" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (folder / "fake" / "models" / "one.py").write_text("ONE = 1\n")
    return folder


def one(packages: Path, path: Path | None = None, module: str | None = None, **env: str) -> dict[str, Any]:
    target = str(path or packages / "fake" / "models" / "one.py")
    found: dict[str, Any] = ask({"packages": [], "files": [[target, module]]}, packages=packages, **env)["files"][
        target
    ]
    return found


def test_a_package_is_found_without_importing_it(packages: Path) -> None:
    found = ask({"packages": ["fake", "nothing"], "files": []}, packages=packages)["packages"]
    assert found["fake"] == {"folder": str(packages / "fake"), "on_disk": True, "version": None}
    assert found["nothing"] == {"folder": None, "on_disk": False, "version": None}


def test_links_are_resolved(packages: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(packages)
    found = ask({"packages": ["fake"], "files": []}, packages=link)["packages"]["fake"]
    assert found["folder"] == str(packages / "fake")
    assert one(link)["origin"] == str(link / "fake" / "models" / "one.py")


def test_a_file_is_the_module_that_its_path_makes_it(packages: Path) -> None:
    found = one(packages)
    assert found["module"] == "fake.models.one"
    assert found["origin"] == str(packages / "fake" / "models" / "one.py")
    assert found["md5"] == hashlib.md5(b"ONE = 1\n", usedforsecurity=False).hexdigest()
    assert found["shadow"] is None
    outside = packages.parent / "x.jinja"
    outside.write_text("")
    assert (one(packages, outside)["module"], one(packages, outside)["origin"]) == (None, None)
    assert one(packages, packages / "fake" / "gone.py")["md5"] is None


def test_another_copy_is_what_is_imported(packages: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    (first / "fake" / "models").mkdir(parents=True)
    (first / "fake" / "__init__.py").write_text("")
    (first / "fake" / "models" / "one.py").write_text("")
    found = one(packages, module="fake.models.one", PYTHONPATH=f"{first}{os.pathsep}{packages}")
    assert found["origin"] == str(first / "fake" / "models" / "one.py"), "a folder without __init__.py counts too"


@pytest.mark.parametrize(
    ("mode", "shadows"), [(PYC.UNCHECKED_HASH, True), (PYC.CHECKED_HASH, False), (PYC.TIMESTAMP, False)]
)
def test_a_compiled_file_of_another_source_shadows_only_where_python_does_not_check(
    packages: Path, mode: PYC, *, shadows: bool
) -> None:
    source = packages / "fake" / "models" / "one.py"
    py_compile.compile(str(source), invalidation_mode=mode, doraise=True)
    assert one(packages)["shadow"] is None, "it was made from this very source"
    source.write_text("ONE = 2000\n")
    found = one(packages)["shadow"]
    assert (found is not None) is shadows
    # What Python itself runs is the judge.
    for package in ("fake", "fake/models"):
        (packages / package / "__init__.py").write_text("")
    program = "import fake.models.one as m; print(m.ONE)"
    ran = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(packages)}, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == ("1" if shadows else "2000")


def test_a_damaged_compiled_file_is_not_trusted(packages: Path) -> None:
    source = packages / "fake" / "models" / "one.py"
    compiled = Path(py_compile.compile(str(source), invalidation_mode=PYC.UNCHECKED_HASH, doraise=True))
    compiled.write_bytes(compiled.read_bytes()[:20])
    assert one(packages)["shadow"] == str(compiled)


def test_the_servers_own_python_answers(packages: Path, tmp_path: Path) -> None:
    """The program `vllm` names an interpreter that is not the first in PATH, with packages of its own."""
    other = tmp_path / "venv"
    (other / "bin").mkdir(parents=True)
    (other / "lib" / f"python3.{sys.version_info.minor}" / "site-packages").mkdir(parents=True)
    (other / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    (other / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    mine = other / "lib" / f"python3.{sys.version_info.minor}" / "site-packages" / "fake"
    packages.joinpath("fake").rename(mine)
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f"#!{other}/bin/python3\n")
    program.chmod(0o755)
    found = ask({"packages": ["fake"], "files": []}, packages=packages, PATH=str(program.parent), PYTHONPATH="")
    assert found["packages"]["fake"]["folder"] == str(mine)
