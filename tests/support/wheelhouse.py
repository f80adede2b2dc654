"""A folder of wheels that are made by hand, with pip's own, for builds without a network."""

from __future__ import annotations

import shutil
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.operations.jobs import installer
from sparkctl.recipes.job.built_image import build_files, image_tag
from sparkctl.world.builder import BuildOrder
from tests.support.engine_fixtures import BASE

if TYPE_CHECKING:
    from sparkctl.world.docker.engine import DockerEngine

TAG = "py3-none-any"


def pip_wheel() -> Path:
    """Return the wheel of pip that every Python brings along, or Debian beside it (python3-pip-whl)."""
    folders = (Path(str(files("ensurepip") / "_bundled")), Path("/usr/share/python-wheels"))
    return next(wheel for folder in folders for wheel in folder.glob("pip-*.whl"))


def pip_base(engine: DockerEngine, folder: Path) -> str:
    """Return the tag of an image that is the tests' base and has pip: it is made once for an engine, by its wheel.

    A pip that runs out of its wheel compiles itself each time.
    """
    base = engine.image(BASE)
    assert base is not None
    wheels = folder / "pip"
    wheels.mkdir()
    version = Path(shutil.copy(pip_wheel(), wheels)).name.split("-")[1]
    steps = [[f"pip=={version}"]]
    tag = f"sparkctl-test/pip:{image_tag(base.id, steps, '').rpartition(':')[2]}"
    if engine.image(tag) is None:
        program = Path(installer.__file__).read_bytes()
        order = BuildOrder(tag, base.id, program, build_files(steps, "", {}, wheels=True), wheels=wheels, network=False)
        *_, last = engine.build(order)
        assert last.end is not None
        assert last.end.exit_code == 0, last.end.lines
    return tag


def wheel(folder: Path, name: str, version: str, *, requires: tuple[str, ...] = (), python: str = ">=3.8") -> Path:
    """Write a wheel of one module that says its version."""
    path = folder / f"{name}-{version}-{TAG}.whl"
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n{needs}"
    contents = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: {TAG}\n",
    }
    record = "".join(f"{one},,\n" for one in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in [*contents.items(), (f"{info}/RECORD", record)]:
            archive.writestr(inside, text)
    return path


def wheelhouse(folder: Path) -> Path:
    """Write pip, two releases of ``tinybase``, and packages that need one or the other."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(pip_wheel(), folder)
    for version in ("1.0", "2.0"):
        wheel(folder, "tinybase", version)
    wheel(folder, "tinynew", "1.0", requires=("tinybase>=2",))
    wheel(folder, "tinyold", "1.0", requires=("tinybase<2",))
    wheel(folder, "tinyfuture", "1.0", python=">=3.99")
    return folder
