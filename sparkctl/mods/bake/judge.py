"""Baking: turn a community mod script's changes in a container into an overlay mod, or say why that is impossible.

An overlay is regular files, mounted read-only one by one. What a script did beyond that (deleted, linked, compiled,
installed) is refused rather than left out: half of a mod would be another mod.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from sparkctl.base.units import MIB
from sparkctl.mods.checksum import ABSENT, md5_of
from sparkctl.mods.placed import pin
from sparkctl.vllm import releases

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.world.workbench import PathChange, PathEntry

LARGEST_BYTES: Final = 64 * MIB
"""The same bound as for the source of any mod (``sparkctl.mods.on_disk``)."""
MOST_PATHS: Final = 2000
"""More than a patch changes, but fewer than installing a package does: vLLM 0.32.0 has some 2,700 Python files."""
PACKAGES: Final = ("site-packages", "dist-packages")
_COMPILED: Final = (".so", ".pyc", ".pyo", ".pyd", ".o", ".a", ".cubin", ".fatbin")
_VERSIONED: Final = re.compile(r"\.so\.\d")
_ELF: Final = b"\x7fELF"
_INSTALLED: Final = re.compile(r"([^/]+)\.(?:dist-info|egg-info)(?:/|$)")
_CACHES: Final = {"__pycache__", ".cache", ".triton", ".nv", ".mypy_cache", ".pytest_cache"}
_PASSING: Final = ("tmp", "var/tmp", "run", "proc", "sys", "dev", "var/log", "var/cache", "var/lib/apt/lists")
_ENGINES: Final = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab", "/.dockerenv"}
_DOUBTFUL: Final = re.compile(
    r"\b(warning|error|fail(s|ed|ure)?|skipp(ed|ing)|can't|cannot|could not|not (found|applicable)|no such file)\b",
    re.IGNORECASE,
)
_NETWORK: Final = re.compile(r"resolv(e|ing)\b|unreachable|connection|https?://", re.IGNORECASE)
REJECTED: Final = "is what a patch did not apply: without it this is another mod"
OWN: Final = "the mod's own folder"
_EXECUTABLE: Final = 0o111
_SETUID: Final = 0o6000
_READABLE: Final = 0o004


class PathRemark(NamedTuple):
    """A path and, in words, why it is refused or ignored."""

    path: str
    why: str


class ScriptFolders(NamedTuple):
    """Where the script ran: the folder that the container starts in, the mod's own folder, further package roots."""

    workdir: str
    own: str
    roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileChange:
    """A path as it was in the image and as it is after the script; None: nothing was there."""

    path: str
    before: PathEntry | None
    after: PathEntry | None


@dataclass(frozen=True, slots=True)
class BakedFile:
    """One file of the overlay: where it goes, its bytes, and the bytes that it covers (None: a new file)."""

    target: str
    content: bytes
    before: bytes | None

    @property
    def covers(self) -> str | None:
        """The md5 of the covered file, None for a new file."""
        return None if self.before is None else md5_of(self.before)


@dataclass(frozen=True, slots=True)
class Sorted:
    """The changed paths, sorted by their names alone: to be examined, refused unread, or ignored."""

    look: tuple[str, ...]
    refused: tuple[PathRemark, ...]
    ignored: tuple[PathRemark, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a script's changes."""

    files: tuple[BakedFile, ...]
    refused: tuple[PathRemark, ...]
    ignored: tuple[PathRemark, ...]


# --- which paths count -----------------------------------------------------------------------------------------------


def sort_paths(changes: Sequence[PathChange], place: ScriptFolders) -> Sorted:
    """Sort the changes that the engine reports; a folder that only contains other changes is left out."""
    holders = {str(parent) for change in changes for parent in PurePosixPath(change.path).parents}
    look, refused, ignored = [], [], []
    for change in sorted(changes):
        if change.path in holders and change.kind != "deleted":
            continue
        unimportant = _unimportant(change.path, place)
        if unimportant:
            ignored.append(PathRemark(change.path, unimportant))
        elif not _expressible(change.path, place):
            refused.append(PathRemark(change.path, "lies outside the Python packages and the working folder"))
        else:
            look.append(change.path)
    if len(look) > MOST_PATHS:
        refused += [
            PathRemark(path, f"is one of more than {MOST_PATHS} changes: that is an installation") for path in look
        ]
        look = []
    return Sorted(tuple(look), tuple(refused), tuple(ignored))


def package_root(path: str, roots: Iterable[str] = ()) -> str | None:
    """Return the folder of Python packages that contains a path (a usual name, or one of ``roots``), or None."""
    for root in roots:
        if path.startswith(f"{root}/"):
            return root
    parts = PurePosixPath(path).parts
    found = [index for index, part in enumerate(parts[:-1]) if part in PACKAGES]
    return str(PurePosixPath(*parts[: found[0] + 1])) if found else None


def _unimportant(path: str, place: ScriptFolders) -> str | None:
    parts = PurePosixPath(path).parts
    if _within(path, place.own):
        return OWN
    if place.own.startswith(f"{path}/"):
        return "holds the mod's own folder"
    if _CACHES.intersection(parts):
        return "a cache"
    if any(_within(path, f"/{folder}") for folder in _PASSING):
        return "temporary"
    if path in _ENGINES:
        return "the engine's"
    return "what patch keeps of the original" if path.endswith(".orig") else None


def _expressible(path: str, place: ScriptFolders) -> bool:
    if package_root(path, place.roots):
        return True
    # A script writes files for the server (a chat template) into the folder in which the server starts.
    return _within(path, place.workdir) if place.workdir != "/" else posixpath.dirname(path) == "/"


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


# --- what each change comes to ---------------------------------------------------------------------------------------


def judge(changes: Iterable[FileChange], found: Sorted) -> Judged:
    """Return the overlay's files, what is refused, and what is ignored."""
    files: list[BakedFile] = []
    refused, ignored = list(found.refused), list(found.ignored)
    for change in changes:
        why = _refusal(change)
        if why:
            refused.append(PathRemark(change.path, why))
            continue
        unchanged = _no_change(change)
        if unchanged:
            ignored.append(PathRemark(change.path, unchanged))
        elif change.after is not None:
            before = None if change.before is None else change.before.content
            files.append(BakedFile(change.path, change.after.content or b"", before))
    return Judged(tuple(files), tuple(refused), tuple(ignored))


def _refusal(change: FileChange) -> str | None:
    """Return why a change cannot be expressed as a mounted file, or None."""
    before, after = change.before, change.after
    installed = _INSTALLED.search(change.path)
    if installed:
        return f"belongs to an installation of {installed[1]}"
    if after is None:
        return None if before is None else f"was deleted ({before.kind}): an overlay lays files over, it removes none"
    if after.kind == "link":
        return f"is a symbolic link to {after.link}"
    if after.kind == "other":
        return "is a device, a pipe or a socket"
    if before is not None and before.kind != after.kind:
        return f"was a {before.kind} in the image and is a {after.kind} now"
    return _refused_file(change.path, before, after) if after.kind == "file" else None


def _refused_file(path: str, before: PathEntry | None, after: PathEntry) -> str | None:
    if path.endswith(".rej"):
        return REJECTED
    if after.content is None or (before is not None and before.content is None):
        return f"is larger than {LARGEST_BYTES // MIB} MiB"
    if path.endswith(_COMPILED) or _VERSIONED.search(path) or after.content.startswith(_ELF):
        return "is compiled: it belongs into an image that is built with it"
    return _refused_mode(path, before, after)


def _refused_mode(path: str, before: PathEntry | None, after: PathEntry) -> str | None:
    """Return why a change of permissions cannot be kept, or None: a mounted copy is readable by all, and no more."""
    gained = after.mode & ~(before.mode if before is not None else 0)
    if gained & _SETUID:
        return "is setuid or setgid"
    if gained & _EXECUTABLE and not path.endswith((".py", ".pth", ".jinja", ".json")):
        return "was made executable, and a mounted copy is not"
    if not after.mode & _READABLE and before is not None and before.mode & _READABLE:
        return "was made unreadable for others, and a mounted copy is readable"
    return None


def _no_change(change: FileChange) -> str | None:
    before, after = change.before, change.after
    if after is None:
        return "was there for a while only"
    if after.kind == "folder":
        return "an empty folder" if before is None else "a folder"
    if before is not None and before.content == after.content:
        return "the same content as before"
    return None


# --- the mod ---------------------------------------------------------------------------------------------------------


class Origin(NamedTuple):
    """What a mod was baked from, for its manifest; the reference and the version are None if they are not known."""

    folder: str
    script_md5: str
    image: str
    image_id: str
    vllm: str | None


def manifest(files: Sequence[BakedFile], origin: Origin, module_roots: Sequence[str]) -> dict[str, bytes]:
    """Return the mod's folder: its ``mod.yaml`` and its files, by their names.

    A file under one of ``module_roots``, which templates declare, is named as a module; any other by its path.
    """
    names = file_names([file.target for file in files])
    applies: dict[str, str] = {"image": origin.image}
    if origin.vllm is not None:
        applies["vllm"] = f"=={origin.vllm}"
    declared = {
        "description": f"baked from {origin.folder} (run.sh with md5 {origin.script_md5}) in {origin.image_id}",
        "applies-to": applies,
        "files": [_declared(file, names[file.target], module_roots) for file in files],
    }
    text = yaml.safe_dump(declared, sort_keys=False, allow_unicode=True, width=120)
    return {**{names[file.target]: file.content for file in files}, "mod.yaml": text.encode()}


def _declared(file: BakedFile, name: str, module_roots: Sequence[str]) -> dict[str, Any]:
    module = module_of(file.target, module_roots)
    target = {"module": module} if module else {"path": file.target}
    covers = {"md5": file.covers} if file.covers is not None else ABSENT
    return {**target, "source": name, **pin(file.content).model_dump(), "replaces": covers}


def module_of(path: str, roots: Sequence[str]) -> str | None:
    """Return the dotted name of a module's file under a package root, or None. A package's __init__ has none."""
    for root in roots:
        inner = PurePosixPath(path.removeprefix(f"{root}/"))
        parts = inner.with_suffix("").parts
        if path.startswith(f"{root}/") and inner.suffix == ".py" and all(map(str.isidentifier, parts)):
            return None if parts[-1] == "__init__" else ".".join(parts)
    return None


def file_names(targets: Sequence[str]) -> dict[str, str]:
    """Return a unique file name for each target: its own name, with its folders in front if several share it.

    A mod's folder is flat, and mod.yaml and pins.yaml are taken.
    """
    own = Counter(posixpath.basename(target) for target in targets)
    found: dict[str, str] = {}
    taken = {"mod.yaml", "pins.yaml"}
    for target in targets:
        root = package_root(target)
        base = posixpath.basename(target)
        inner = target.removeprefix(f"{root}/") if root else target.strip("/")
        name = base if own[base] == 1 else inner.replace("/", ".")
        while name in taken:
            name = f"_{name}"
        taken.add(name)
        found[target] = name
    return found


# --- how much of a file comes from another release --------------------------------------------------------------------


class LineCounts(NamedTuple):
    """How many lines of a file are new, and how many of the image's lines are gone."""

    added: int
    removed: int

    def __str__(self) -> str:
        return f"+{self.added} -{self.removed}"


def lines(file: BakedFile) -> LineCounts:
    """Return how a file differs from the one that it covers, counted as in a diff."""
    old, new = (file.before or b"").splitlines(), file.content.splitlines()
    # Lines are counted as a multiset: this is quick for any file, and equals a diff except for moved lines.
    return LineCounts((Counter(new) - Counter(old)).total(), (Counter(old) - Counter(new)).total())


def copied_whole(files: Iterable[BakedFile], shipped: Iterable[bytes]) -> list[BakedFile]:
    """Return the files that the mod contains as whole copies and that lack lines of the image's files.

    Such a copy was made from some release's file; over another release's file it undoes that release's changes.
    """
    known = set(shipped)
    return [file for file in files if file.before is not None and file.content in known and lines(file).removed]


# --- what the script said --------------------------------------------------------------------------------------------


def missed_network(lines: Iterable[str]) -> bool:
    """Return whether a script's output says that it missed a network."""
    return any(map(_NETWORK.search, lines))


def doubtful(lines: Iterable[str]) -> list[str]:
    """Return the lines that say that something failed but the script went on. Some are harmless: a person decides."""
    return [line.strip() for line in lines if _DOUBTFUL.search(line)]


# --- in words --------------------------------------------------------------------------------------------------------


def covered(target: str, md5: str | None) -> str:
    """Return in words which file is covered: its md5, and the releases of vLLM that have it, if known."""
    of = releases.releases(releases.below_root(target), md5 or "")
    return f"{md5 or 'new'}{f' (vLLM {releases.span(of)})' if of else ''}"


def in_words(findings: Sequence[PathRemark], *, most: int = 3) -> list[str]:
    """Return one line for each reason, with its first paths."""
    reasons: dict[str, list[str]] = {}
    for finding in findings:
        reasons.setdefault(finding.why, []).append(finding.path)
    return [
        f"{', '.join(paths[:most])}{f' and {len(paths) - most} more' if len(paths) > most else ''}: {why}"
        for why, paths in reasons.items()
    ]
