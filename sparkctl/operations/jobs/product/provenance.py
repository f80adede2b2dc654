"""Where a product comes from, in a file of its folder: sparkctl-job.json. Written and read in one place."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.operations.records import decoded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.world.ports import Files

FILE: Final = "sparkctl-job.json"
SCHEMA: Final = 1
_LONGEST: Final = 60
"""Characters of a parameter's value that are shown."""


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file of a product: its path in the folder, its bytes, their sha256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class MadeIn:
    """The image that a product was made in: its name, its id, and its packages by name.

    ``key`` is what the digest counts of it: the tag of one that sparkctl builds, the id of any other.
    """

    reference: str
    id: str
    key: str
    packages: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MadeBy:
    """The script that made a product: its name, the md5 of its bytes, and its library's (None: it uses none)."""

    name: str
    md5: str
    library: str | None = None

    @property
    def md5s(self) -> tuple[str, ...]:
        """The md5s of all that ran."""
        return (self.md5,) if self.library is None else (self.md5, self.library)


@dataclass(frozen=True, slots=True)
class MadeOf:
    """The model that a product was made of. ``digest`` is that of its files (``recipes.job.digest``)."""

    digest: str
    repo: str | None = None
    revision: str | None = None
    path: str | None = None
    files: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MadeOn:
    """The machine that a product was made on; its name is nobody's business."""

    kernel: str
    machine: str
    memory_bytes: int
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """All that decided a product, and what was found of it. Sizes are in bytes, times in UTC.

    ``job`` is its name and ``declared`` the whole of it as it was resolved; ``digest`` is that of what was asked, and
    ``overrides`` are those of ``--set``. ``seconds`` are those of the container, ``peak_bytes`` the most memory that it
    was seen to take; None: not known. ``checks`` has a sentence for each check that passed.
    """

    job: str
    digest: str
    sparkctl: str
    declared: dict[str, Any]
    overrides: tuple[str, ...]
    image: MadeIn
    script: MadeBy
    input: MadeOf
    parameters: dict[str, Any]
    started: str | None
    ended: str | None
    seconds: float | None
    layers: int | None
    peak_bytes: int | None
    host: MadeOn
    bytes: int
    files: tuple[MadeFile, ...]
    checks: dict[str, str]
    schema: int = SCHEMA


@cache
def _adapter() -> TypeAdapter[Provenance]:
    return TypeAdapter(Provenance)


def text_of(one: Provenance) -> bytes:
    """Return the file's content; half a surrogate pair (a name that is no UTF-8) is written as JSON's escape."""
    return (json.dumps(asdict(one), indent=2, ensure_ascii=False, default=str) + "\n").encode(errors="backslashreplace")


def read(files: Files, folder: Path) -> Provenance | None:
    """Return where the product in a folder comes from; None where no file says it, or it is damaged."""
    content = files.content(folder / FILE)
    try:
        return None if content is None else decoded(_adapter(), content)
    except InputError:
        return None


def utc(seconds: float | None) -> str | None:
    """Return a time since the epoch as UTC; None where it is not known, or no calendar has it."""
    try:
        return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return None


class WantedProduct(NamedTuple):
    """What is asked for now: the job's name, the md5s of its script and library, the model's digest, the parameters.

    ``image`` is the ``key`` of the image, None where that is not known.
    """

    job: str
    script: tuple[str, ...]
    input: str
    image: str | None
    parameters: Mapping[str, Any]


def differences(made: Provenance, wanted: WantedProduct) -> list[str]:
    """Return in what a product was made otherwise than it is wanted now, a phrase each."""
    found = [] if made.job == wanted.job else [f"by the job {made.job}"]
    if made.script.md5s != wanted.script:
        # An update of sparkctl brings another library, and the operator's script is the same.
        same = made.script.md5 == wanted.script[0]
        found.append("with another library for scripts (sparkctl_job)" if same else "with another script")
    found += [] if made.input.digest == wanted.input else ["of other files of the model"]
    found += [] if wanted.image in {None, made.image.key} else ["in another image"]
    names = sorted({*made.parameters, *wanted.parameters})
    for name in names:
        before, now = made.parameters.get(name), wanted.parameters.get(name)
        if before != now:
            found.append(f"with {name} {_short(before)}, not {_short(now)}")
    return found


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
