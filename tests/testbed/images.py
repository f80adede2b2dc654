"""Images that are rebuilt only when what goes into them has changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .engine import docker
from .state import HERE, REPOSITORY, State, TestbedError, run, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BASE = "sparkctl-test/base:latest"
STANDIN = "sparkctl-test/standin:latest"
STANDIN_SERVE = "sparkctl-test/standin-serve:latest"
INPUTS_LABEL = "sparkctl.testbed.inputs"

SUITE = "bookworm"
BASE_PACKAGES = ("python3-minimal", "libpython3-stdlib", "ca-certificates", "procps", "libnuma1")
BASE_UNNEEDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
BASE_WITHOUT_DEBOOTSTRAP = """\
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends procps libnuma1 && rm -rf /var/lib/apt/lists
"""

SERVER = REPOSITORY / "sparkctl" / "world" / "sim"
SERVER_MODULES = ("answers.py", "boot.py", "flags.py", "server.py")
STANDIN_FILES = HERE / "standin"


class Root(NamedTuple):
    """A Debian to be made by debootstrap: its release and packages; ``inputs`` is the fingerprint of all in it."""

    name: str
    suite: str
    packages: tuple[str, ...]
    inputs: str


def fingerprint(*parts: str | bytes | Path) -> str:
    """One short hash of texts, and of files and folders by their relative names, contents and modes."""
    total = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            total.update(hashlib.sha256(piece).digest())
    return total.hexdigest()[:16]


def image_id(state: State, tag: str) -> str | None:
    """Return the id of an image, or None when the engine has no such image."""
    try:
        return docker(state, "image", "inspect", "--format", "{{.Id}}", tag).strip()
    except TestbedError:
        return None


def is_current(state: State, tag: str, inputs: str) -> bool:
    """Whether the engine has this image, made from these inputs."""
    try:
        labels = docker(state, "image", "inspect", "--format", "{{json .Config.Labels}}", tag)
    except TestbedError:
        return False
    return (json.loads(labels) or {}).get(INPUTS_LABEL) == inputs


def build(state: State, tag: str, folder: Path, inputs: str) -> None:
    """Build a folder that holds a Dockerfile."""
    say(f"building {tag}")
    docker(state, "build", "--label", f"{INPUTS_LABEL}={inputs}", "--tag", tag, str(folder))
    # What this one replaces has lost its name and would only fill the disk.
    docker(state, "image", "prune", "--force", "--filter", f"label={INPUTS_LABEL}")


def base(state: State) -> str:
    """Build what the others start from: a small Debian with a Python and nothing of vLLM."""
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        inputs = fingerprint(BASE_WITHOUT_DEBOOTSTRAP)
        if not is_current(state, BASE, inputs):
            _build_from_text(state, BASE, BASE_WITHOUT_DEBOOTSTRAP, inputs)
        return BASE
    inputs = fingerprint(SUITE, *BASE_PACKAGES, *BASE_UNNEEDED)
    if not is_current(state, BASE, inputs):
        archive = root_archive(state, Root("base", SUITE, BASE_PACKAGES, inputs))
        say(f"importing {BASE}")
        docker(
            state,
            "import",
            "--change",
            f"LABEL {INPUTS_LABEL}={inputs}",
            "--change",
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            str(archive),
            BASE,
        )
    return BASE


def standin(state: State) -> list[str]:
    """Build the stand-in server twice: an image that starts it, and one that leaves the command to the caller."""
    inputs = fingerprint(image_id(state, base(state)) or "", STANDIN_FILES, *(SERVER / name for name in SERVER_MODULES))
    if not is_current(state, STANDIN, inputs) or not is_current(state, STANDIN_SERVE, inputs):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "context"
            shutil.copytree(STANDIN_FILES, folder)
            copy_server(folder / "server")
            build(state, STANDIN_SERVE, folder, inputs)
        entry = f'FROM {STANDIN_SERVE}\nENTRYPOINT ["python3", "/opt/standin"]\n'
        _build_from_text(state, STANDIN, entry, inputs)
    return [STANDIN, STANDIN_SERVE]


def copy_server(folder: Path) -> None:
    """Make a folder that Python runs as the stand-in server, with its own files and the standard library alone."""
    package = folder / "sparkctl" / "world" / "sim"
    package.mkdir(parents=True)
    for parent in (package, package.parent, package.parent.parent):
        (parent / "__init__.py").touch()
    for name in SERVER_MODULES:
        shutil.copyfile(SERVER / name, package / name)
    start = "from sparkctl.world.sim.server import main\n\nraise SystemExit(main())\n"
    (folder / "__main__.py").write_text(start)


def _build_from_text(state: State, tag: str, dockerfile: str, inputs: str) -> None:
    """Build a Dockerfile that needs no files beside it."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "Dockerfile").write_text(dockerfile)
        build(state, tag, Path(scratch), inputs)


def root_archive(state: State, wanted: Root, finish: Callable[[Path], None] = lambda _: None) -> Path:
    """Make a Debian's file system, as a tar file that is kept; ``finish`` changes what is in its folder before."""
    archive = state.cache / f"{wanted.name}-{wanted.inputs}.tar"
    if archive.exists():
        return archive
    state.cache.mkdir(parents=True, exist_ok=True)
    root = state.cache / f"{wanted.name}-root"
    shutil.rmtree(root, ignore_errors=True)
    say(f"debootstrap of Debian {wanted.suite} (a minute or two)")
    run("debootstrap", "--variant=minbase", f"--include={','.join(wanted.packages)}", wanted.suite, str(root))
    for name in BASE_UNNEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir()
    finish(root)
    unfinished = archive.with_suffix(".part")
    run("tar", "--directory", str(root), "--create", "--file", str(unfinished), ".")
    unfinished.rename(archive)
    shutil.rmtree(root)
    return archive


def _pieces(part: str | bytes | Path) -> Iterable[bytes]:
    """Yield what of one part counts for a fingerprint."""
    if isinstance(part, str):
        yield part.encode()
    elif isinstance(part, bytes):
        yield part
    else:
        files = sorted(path for path in part.rglob("*") if path.is_file()) if part.is_dir() else [part]
        for path in files:
            yield str(path.relative_to(part)).encode()
            yield path.read_bytes()
            yield b"x" if os.access(path, os.X_OK) else b""
