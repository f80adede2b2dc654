"""The simulated Spark's data files: its images, and what recorded starts took."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from sparkctl.world.engine import Image, Package
from sparkctl.world.sim.boot import GIB
from sparkctl.world.sim.flags import parse_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Takes(NamedTuple):
    """What a service takes, in bytes, beside its KV cache, and where the figure comes from.

    ``context`` is the number of tokens that its model is made for, None where that is not known.
    """

    weights: int
    rest: int
    compiled: int
    host: int
    source: str
    context: int | None


def image(reference: str) -> Image:
    """Return the simulated image of this reference, which may be its id."""
    digest = reference.removeprefix("sha256:")
    if digest == reference:
        digest = hashlib.sha256(f"simulated {reference}".encode(errors="surrogatepass")).hexdigest()
    repository = reference.partition("@")[0].rpartition(":")[0] or reference
    return Image(f"sha256:{digest}", (f"{repository}@sha256:{digest}",), int(properties(reference)["bytes"]))


def properties(reference: str) -> Mapping[str, Any]:
    """Return what is declared of an image."""
    images = load("images.yaml")["images"]
    found: Mapping[str, Any] = images.get(reference) or images["other"]
    return found


def image_file(path: str, *, wrong: bool) -> bytes | None:
    """Return a file of every simulated image, or None; ``wrong`` gives it other bytes."""
    declared = load("images.yaml")
    text = declared["files"].get(path.removeprefix(declared["root"] + "/"))
    if text is None or not path.startswith("/"):
        return None
    return f"{text}# other bytes, as ordered\n".encode() if wrong else str(text).encode()


def package(reference: str, name: str) -> Package:
    """Return what the Python of a simulated image says of a package."""
    folder = f"{load('images.yaml')['root']}/{name}"
    version = properties(reference).get("vllm")
    there = image_file(f"{folder}/__init__.py", wrong=False) is not None
    return Package(folder, version=None if version is None else str(version)) if there else Package(None, on_disk=False)


def drafting_file(reference: str) -> str | None:
    """Return the path of the file without whose replacement this image drafts in vain, or None."""
    relative = properties(reference).get("drafts-with")
    return f"{load('images.yaml')['root']}/{relative}" if relative else None


def takes(command: Sequence[str], names: Sequence[str]) -> Takes:
    """Return what a server with this command takes; ``names`` are its recipe, its folder and its repository."""
    recorded = load("recorded.yaml")
    quantization = parse_arguments(command).get("quantization")
    wanted = {name.lower() for name in names}
    rows = [row for row in recorded["models"] if wanted & {name.lower() for name in row["names"]}]
    exact = [row for row in rows if row.get("quantization") == quantization]
    plain = [row for row in rows if "quantization" not in row]
    row = next(iter([*exact, *plain]), {"loaded": recorded["unknown"], "source": "no start of it is recorded"})
    return Takes(
        weights=round(row["loaded"] * GIB),
        rest=round(recorded["rest"] * GIB),
        compiled=round(row.get("compiled", 0) * GIB),
        host=round(recorded["host"] * GIB),
        source=row["source"],
        context=row.get("context"),
    )


@cache
def load(name: str) -> dict[str, Any]:
    """Return one of the data files, ``images.yaml`` or ``recorded.yaml``."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
