"""The name of a flag as vLLM's parser reads it: with dashes or underscores, a short name, or a unique beginning.

From ``FlexibleArgumentParser`` (vLLM 0.17.1 to 0.33.0 utils/argparse_utils.py) and argparse, which accepts any
beginning that only one name has.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.vllm import flags

if TYPE_CHECKING:
    from packaging.version import Version

_LEVEL: Final = "optimization-level"
_SHORT_LEVEL: Final = re.compile(r"O(?:=?([0-3]))?")
_LEAST_BEGINNING: Final = 4
"""Characters: a shorter beginning is taken as a typing error."""


class FlagName(NamedTuple):
    """A flag's long name without dashes; ``path`` is the keys after its dots, and the value that the spelling implies.

    ``level`` is what ``-O3`` sets; ``opposite``: the written name negates the flag.
    """

    name: str
    path: str = ""
    level: str | None = None
    opposite: bool = False

    @property
    def key(self) -> str:
        """The name with its path, as a recipe writes it."""
        return f"{self.name}.{self.path}" if self.path else self.name


def spelled(written: str, version: Version | None = None) -> FlagName:
    """Return what a name means; with a ``version``, also the beginning of a name that this release has.

    An unknown name stays as it is, except that its underscores become dashes.
    """
    if written.startswith(("--", "no-")):
        return FlagName(written)
    short = written.removeprefix("-")
    level = _SHORT_LEVEL.fullmatch(short)
    if level is not None:
        return FlagName(_LEVEL, level=level[1])
    head, _, path = short.partition(".")
    if f"-{head}" in flags.names():
        return FlagName(_long(f"-{head}"), path)
    if written.startswith("-"):
        return FlagName(written)
    name = head.replace("_", "-")
    if f"--{name}" not in flags.names() and version is not None:
        name = _begun(name, version) or name
    first = _first(name)
    return FlagName(first, path, opposite=first != name)


def _long(short: str) -> str:
    """Return the long name of a short one; for a switch, the form that turns it on."""
    long = [name for name in flags.names()[short] if name.startswith("--")]
    return next((name for name in long if not name.startswith(("--disable-", "--no-"))), short).lstrip("-")


def _begun(beginning: str, version: Version) -> str | None:
    """Return the only flag of a release that begins with this text; None if there is none, or more than one."""
    if len(beginning) < _LEAST_BEGINNING:
        return None
    found = {_first(name[2:]) for name in flags.flags_of(version) if name.startswith(f"--{beginning}")}
    return found.pop() if len(found) == 1 else None


@cache
def _first(name: str) -> str:
    """Return the older of two names for one switch: 0.33 has a ``--disable-x`` for every ``--enable-x``."""
    for prefix, other in (("disable-", "enable-"), ("enable-", "disable-")):
        twin = other + name.removeprefix(prefix)
        if name.startswith(prefix) and f"--{twin}" in flags.names().get(f"--{name}", ()):
            older = flags.since(f"--{twin}") < flags.since(f"--{name}")
            return twin if older else name
    return name
