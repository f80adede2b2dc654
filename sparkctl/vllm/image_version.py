"""The vLLM version of an image, from its files, and whether it is the declared one. Pure: nothing is run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from packaging.version import InvalidVersion, Version

from sparkctl.base.lazy import regex
from sparkctl.vllm.flags import AUTO

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = "vllm/_version.py"
"""A file below the folder of Python's packages, written by vLLM's build (vLLM 0.17.1 to 0.32.0)."""
ROOTS: Final = tuple(
    f"{place}/lib/python3.{minor}/{folder}"
    for minor in (12, 11, 10, 13)
    for place, folder in (
        ("/usr/local", "dist-packages"),
        ("/usr/local", "site-packages"),
        ("/opt/venv", "site-packages"),
        ("/opt/conda", "site-packages"),
    )
)
"""Where images keep packages, in addition to the folder that a template names."""
_WRITTEN: Final = regex(r"^(?:__version__ *= *)?version *= *['\"]([^'\"]{1,100})['\"]", re.MULTILINE)
_TITLE: Final = "org.opencontainers.image.title"
_VERSION: Final = "org.opencontainers.image.version"
_TAG: Final = regex(r"v(\d+\.\d+(?:\.\d+)?(?:rc\d+|\.post\d+)?)(?:-.*)?")
_DEVELOPMENT: Final = Version("0.2")
"""A build in which git found no tag is called 0.1.devN, whatever it was built from (setuptools-scm)."""


def of_file(content: bytes) -> str | None:
    """Return the version that ``vllm/_version.py`` says, None where it says none."""
    found = _WRITTEN.search(content.decode(errors="replace"))
    return _usable(found[1]) if found else None


def of_labels(labels: Mapping[str, str]) -> str | None:
    """Return the version that an image's labels say; None if they are not about vLLM: a base image's labels remain."""
    return _usable(labels.get(_VERSION, "")) if "vllm" in labels.get(_TITLE, "").lower() else None


def of_tag(image: str) -> str | None:
    """Return the release that a tag of vLLM's own images names, None where it names none."""
    name, _, tag = image.partition("@")[0].rpartition(":")
    found = _TAG.fullmatch(tag) if name.rpartition("/")[2].startswith("vllm-openai") else None
    return found[1] if found else None


def _usable(text: str) -> str | None:
    try:
        Version(text.removeprefix("v"))
    except InvalidVersion:
        return None
    return text.removeprefix("v")


def is_release(version: str) -> bool:
    """Return whether a version tells what is in an image: a development build only names the release before it."""
    return not Version(version).is_devrelease


def is_known(version: str) -> bool:
    """Return whether a version, which may be of a development build, tells how old the vLLM is."""
    return Version(version) >= _DEVELOPMENT


def contradicts(declared: str, found: str) -> bool:
    """Return whether a recipe's version cannot be the image's: another release, compared as far as it is written out.

    ``0.19`` is any 0.19.x; ``0.27+b12x`` is a fork of 0.27.
    """
    if declared in {AUTO, found}:
        return False
    want, have = Version(declared).release, Version(found).release
    return have[: len(want)] != want[: len(have)]
