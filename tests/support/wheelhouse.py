"""A folder of wheels that are made by hand, with pip's own, for builds without a network."""

from __future__ import annotations

import shutil
import zipfile
from importlib.resources import files
from pathlib import Path

TAG = "py3-none-any"


def pip_wheel() -> Path:
    """Return the wheel of pip that every Python brings along."""
    bundled = Path(str(files("ensurepip") / "_bundled"))
    return next(bundled.glob("pip-*.whl"))


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
