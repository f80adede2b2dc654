"""Why pip failed, from the lines that it printed: its own sentence, and what to do. Pure.

The texts are those of pip 22 to 25 (pypa/pip, src/pip/_internal/exceptions.py and resolution/resolvelib/factory.py).
No address is shown: an index of the operator's own may have a token in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.world.builder import WHEELS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST: Final = 400
"""Characters of a line that are shown."""
_READ: Final = 4_000
"""Characters of a line that are read: a line of versions has some thousand."""
MOST_LINES: Final = 10
_NEWEST: Final = 3
_ADDRESS: Final = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://[^\s,]*", re.IGNORECASE)
_HOST: Final = re.compile(
    r"(?<=host=)'[^']*'|(?<=located at )\S+|(?<=Failed to resolve )'[^']*'|(?<=Connection to )\S+"
)
_ERROR: Final = re.compile(r"^\s*(?:ERROR|error): (?P<text>.*)$")
_NO_MATCH: Final = re.compile(r"No matching distribution found for (?P<wanted>.+)$")
_VERSIONS: Final = re.compile(r"satisfies the requirement .*\(from versions: (?P<versions>[^)]*)\)")
_PYTHON: Final = re.compile(r"require a different python version: .*Requires-Python (?P<python>[^\s;]+)", re.IGNORECASE)
_OTHER_PYTHON: Final = re.compile(
    r"Package '(?P<name>[^']+)' requires a different Python: (?P<has>\S+) not in '(?P<wants>.*)'"
)
_BROKEN: Final = re.compile(r"connection broken by '(?P<kind>\w+)\(")
_BROKEN_BY: Final = {
    "Connection refused": "connection refused",
    "name resolution": "its name is not known",
    "Name or service not known": "its name is not known",
    "nodename nor servname": "its name is not known",
    "Network is unreachable": "the network is unreachable",
    "No route to host": "no route to it",
    "timed out": "it does not answer",
    "Cannot connect to proxy": "the proxy does not answer",
    "Tunnel connection failed": "the proxy refuses",
}
"""Texts in a line about a broken connection, and their meanings."""
_CERTIFICATE: Final = "CERTIFICATE_VERIFY_FAILED"
_UNTRUSTED: Final = "is not a trusted or secure host and is being ignored"
_FULL: Final = "No space left on device"
_CAUSE: Final = "The conflict is caused by:"
_NETWORK_HINT: Final = (
    "the container of the build has to reach a package index; without a network: pip download the packages elsewhere, "
    "and name their folder with --wheels DIR"
)


class PipFailure(NamedTuple):
    """Why pip failed; ``text`` may have several lines."""

    text: str
    hint: str


def shown_line(line: str) -> str:
    """Return a line of pip's, shortened, with addresses reduced to the names of their files."""
    return _cut(_without_addresses(line))


def _without_addresses(line: str) -> str:
    return _HOST.sub("(address)", _ADDRESS.sub(_file_of, line[:_READ].replace(f"{WHEELS_FOLDER}/", ""))).rstrip()


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} …"


def _file_of(address: re.Match[str]) -> str:
    last = re.split(r"[?#]", address[0].partition("://")[2])[0].rpartition("/")
    return last[2] if last[1] and last[2] else "(address)"


def explained(lines: Sequence[str], *, wheels: bool) -> PipFailure:
    """Return why pip failed; ``wheels``: it had a folder in place of an index."""
    shown = [_without_addresses(line) for line in lines]
    for reading in (_full, _conflict, _other_python, _no_match, _unreachable):
        found = reading(shown, wheels=wheels)
        if found is not None:
            return found._replace(text="\n".join(map(_cut, found.text.split("\n"))))
    errors = [error["text"] for error in map(_ERROR.match, shown) if error]
    said = [line.strip() for line in shown if line.strip()]
    text = errors[-1] if errors else said[-1] if said else "it printed nothing"
    return PipFailure(_cut(text), "the steps of the job's image name what is installed, in their order")


def _full(lines: Sequence[str], *, wheels: bool) -> PipFailure | None:
    del wheels
    if not any(_FULL in line for line in lines):
        return None
    return PipFailure(
        _FULL[0].lower() + _FULL[1:],
        "free some at the engine's data folder: docker system df; docker image prune --all",
    )


def _conflict(lines: Sequence[str], *, wheels: bool) -> PipFailure | None:
    """Return what contradicts what: the lines between pip's two sentences."""
    del wheels
    heads = [number for number, line in enumerate(lines) if line.startswith(_CAUSE)]
    if not heads:
        return None
    causes = []
    for line in lines[heads[-1] + 1 :]:
        if not line.startswith(" "):
            break
        causes.append(f"  {line.strip()}")
    more = [f"  and {len(causes) - MOST_LINES} more"] if len(causes) > MOST_LINES else []
    text = "\n".join(["these packages contradict each other:", *causes[:MOST_LINES], *more])
    return PipFailure(text, "change a version in the steps or in the constraints")


def _no_match(lines: Sequence[str], *, wheels: bool) -> PipFailure | None:
    missing = next((found for found in map(_NO_MATCH.search, reversed(lines)) if found), None)
    if missing is None:
        return None
    text = f"No matching distribution found for {missing['wanted'].strip()}"
    broken = _unreachable(lines, wheels=wheels)
    versions = [found["versions"] for found in map(_VERSIONS.search, lines) if found]
    known = [one.strip() for one in versions[-1].split(",")] if versions and versions[-1] != "none" else []
    if broken is not None and not known:
        return broken._replace(text=f"{text}: {broken.text}")
    if known:
        text += f"; the newest that there are: {', '.join(known[-_NEWEST:])}"
    python = next((found["python"] for found in map(_PYTHON.search, lines) if found), None)
    if python is not None:
        return PipFailure(f"{text}; there is one for Python {python}", "take a base image with another Python")
    hint = "is the version right, and is there a wheel of it for this processor and this Python?"
    if wheels:
        hint = "the folder of --wheels lacks it, or has none for this processor and this Python: pip download it there"
    return PipFailure(text, hint)


def _other_python(lines: Sequence[str], *, wheels: bool) -> PipFailure | None:
    del wheels
    found = next((found for found in map(_OTHER_PYTHON.search, reversed(lines)) if found), None)
    if found is None:
        return None
    text = f"{found['name']} wants Python {found['wants']}, and the base image has {found['has']}"
    return PipFailure(text, "take a base image with another Python, or another version of the package")


def _unreachable(lines: Sequence[str], *, wheels: bool) -> PipFailure | None:
    del wheels
    if any(_UNTRUSTED in line for line in lines):
        hint = "use one with https://, or set PIP_TRUSTED_HOST to its host in your environment"
        return PipFailure("the package index is spoken to without encryption, which pip refuses", hint)
    broken = [(found["kind"], line) for found, line in zip(map(_BROKEN.search, lines), lines, strict=True) if found]
    if not broken:
        return None
    kind, line = broken[-1]
    if _CERTIFICATE in line:
        hint = "the base image does not know who signed the index's certificate; name another base, or use --wheels DIR"
        return PipFailure("the package index shows a certificate that is not known", hint)
    means = next((means for text, means in _BROKEN_BY.items() if text in line), kind)
    return PipFailure(f"the package index was not reached: {means}", _NETWORK_HINT)
