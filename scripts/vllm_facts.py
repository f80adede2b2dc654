"""The data files of sparkctl/vllm/data: which flag and variable is in which release, as ranges over the known ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.version import Version

if TYPE_CHECKING:
    from pathlib import Path


class Option(NamedTuple):
    """One ``add_argument``: its names, its kind (None: no type; ``switch``: no value) and its choices."""

    names: tuple[str, ...]
    kind: str | None
    choices: tuple[str, ...]


def expand(ranges: list[str], releases: list[Version]) -> set[Version]:
    """Return the releases that ranges such as 0.17.1..0.19.1 hold."""
    found: set[Version] = set()
    for text in ranges:
        first, _, last = text.partition("..")
        found |= {release for release in releases if Version(first) <= release <= Version(last or first)}
    return found


def compress(held: set[Version], releases: list[Version]) -> list[str]:
    """Return the ranges that hold exactly ``held``."""
    ranges: list[list[Version]] = []
    for index, release in enumerate(releases):
        if release in held:
            if ranges and index and ranges[-1][-1] == releases[index - 1]:
                ranges[-1].append(release)
            else:
                ranges.append([release])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in ranges]


def updated_flags(data: dict[str, Any], release: Version, read: list[Option]) -> dict[str, Any]:
    """Return the flags' data with this release read in."""
    before = [Version(text) for text in data["versions"]]
    after = sorted({*before, release})
    by_name = {name: option for option in read for name in option.names}
    flags: dict[str, Any] = {}
    for name in sorted(data["flags"].keys() | by_name.keys()):
        entry = dict(data["flags"].get(name, {"in": []}))
        held = expand(entry["in"], before) - {release}
        option = by_name.get(name)
        entry["in"] = compress(held | ({release} if option else set()), after)
        if option:
            entry |= _details(entry, option, name, release, held)
        if entry["in"]:
            flags[name] = entry
    return {**data, "versions": [str(version) for version in after], "flags": flags}


def _details(entry: dict[str, Any], option: Option, name: str, release: Version, held: set[Version]) -> dict[str, Any]:
    aliases = sorted({*entry.get("aliases", ()), *option.names} - {name})
    choices = {Version(since): values for since, values in entry.get("choices", {}).items()}
    earlier = [since for since in sorted(choices) if since < release]
    current = choices[earlier[-1]] if earlier else []
    if option.choices and set(option.choices) != set(current):
        following = [version for version in sorted(held) if version > release]
        if following and following[0] not in choices and current:
            choices[following[0]] = current
        choices[release] = list(option.choices)
    kind = entry.get("type") or option.kind
    details: dict[str, Any] = {"aliases": aliases} if aliases else {}
    if choices:
        details["choices"] = {str(since): choices[since] for since in sorted(choices)}
    return details | ({"type": kind} if kind else {})


def updated_variables(data: dict[str, Any], release: Version, read: list[str]) -> dict[str, Any]:
    """Return the variables' data with this release read in."""
    before = [Version(text) for text in data["versions"]]
    after = sorted({*before, release})
    found = {}
    for name in sorted(data["variables"].keys() | set(read)):
        held = expand(data["variables"].get(name, []), before) - {release}
        ranges = compress(held | ({release} if name in read else set()), after)
        if ranges:
            found[name] = ranges
    return {**data, "versions": [str(version) for version in after], "variables": found}


def differences(data: dict[str, Any], key: str, release: Version, read: set[str]) -> list[str]:
    """Return what the neighbouring releases in the data do not let one expect."""
    releases = [Version(text) for text in data["versions"]]
    if release in releases:
        near = {release}
    else:
        near = {max(r for r in releases if r < release)} | {
            min((r for r in releases if r > release), default=releases[-1])
        }
    held = {name: expand(entry["in"] if key == "flags" else entry, releases) for name, entry in data[key].items()}
    missing = [f"missing: {name}" for name, versions in sorted(held.items()) if near <= versions and name not in read]
    new = [f"new: {name}" for name in sorted(read) if not near & held.get(name, set())]
    return missing + new


def write(path: Path, data: dict[str, Any], key: str) -> None:
    """Write a data file as it is kept: one flag or variable a line."""
    head = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in data.items() if key != name)
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in data[key].items())
    path.write_text("{\n" + head + f',\n "{key}": {{\n' + rows + "\n }\n}\n", encoding="utf-8")
