"""What each release of vLLM has: its flags, their choices, the variables that it reads; and a recipe's deviations.

The facts are data files, read out of released wheels by scripts/read_vllm_flags.py.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import Version

from sparkctl.base.declarations import Finding
from sparkctl.base.validation import nearest
from sparkctl.vllm.data import data_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sparkctl.base.declarations import FlagValue

AUTO: Final = "auto"
"""Stands for a recipe's version: the version of its image."""
LINEAR_VARIABLE: Final = "VLLM_NVFP4_GEMM_BACKEND"
"""The variable that chose the NVFP4 linear layers' backend before ``--linear-backend``."""
_FIELDS: Final = {"--linear-backend": "backend: {linear: …}", "--moe-backend": "backend: {moe: …}"}
_NUMBERS: Final[dict[str, tuple[type, ...]]] = {"int": (int,), "float": (int, float)}
_RELEASE_PARTS: Final = 3


class Resolved(NamedTuple):
    """A version of a recipe.

    ``asked`` is the release in the image ("0.19" is its newest known patch release), ``version`` the known release
    that it counts as, ``note`` why the two differ, or None.
    """

    asked: Version
    version: Version
    note: str | None

    @property
    def beyond(self) -> bool:
        """Whether it is older or newer than every release that is known."""
        return not releases()[0] <= self.asked <= releases()[-1]

    @property
    def memory(self) -> Version:
        """The release whose rules of memory apply: for older releases they are known, although their flags are not."""
        return min(self.asked, self.version)


class Flag(NamedTuple):
    """An option of ``vllm serve``: what it may be (() is anything), its parser's type, whether it has a --no- form."""

    name: str
    aliases: tuple[str, ...]
    choices: tuple[str, ...]
    kind: str | None
    negatable: bool

    @property
    def switch(self) -> bool:
        """Whether it takes no value: on by its name, off by its ``--no-`` form."""
        return self.negatable and self.kind is None


def known(text: str, image: str | None = None) -> Resolved:
    """Return the release that a recipe's version counts as; ``image`` is its image's version, None if not known.

    A version between two known ones counts as the lower; pre-releases sort as PEP 440 says. "auto" is the image's
    version, or the newest known one until the image's is known. A fork ("0.27+b12x") counts as its base.

    Raises:
        packaging.version.InvalidVersion: not a version; a recipe's has been checked.
    """
    if text == AUTO and image is None:
        newest = releases()[-1]
        return Resolved(newest, newest, f"vLLM is the image's, which is not known yet; it counts as {newest}")
    asked = Version(Version(image if text == AUTO and image else text).public)
    if len(asked.release) < _RELEASE_PARTS and not (asked.is_prerelease or asked.is_postrelease):
        patches = [release for release in releases() if release.release[: len(asked.release)] == asked.release]
        asked = patches[-1] if patches else asked
    version = _counts_as(asked)
    if asked == version:
        return Resolved(asked, version, None)
    first, last = releases()[0], releases()[-1]
    if asked < first:
        why = f"older than {first}, the oldest release whose flags are known"
    elif asked > last:
        why = f"newer than {last}, the newest release whose flags are known"
    else:
        why = "between two releases whose flags are known"
    return Resolved(asked, version, f"vLLM {asked} is {why}; it counts as {version}")


def fork_of(text: str) -> str | None:
    """Return the name of the fork that a recipe's version declares (``0.27+b12x``), None where it is vLLM's own."""
    return None if text == AUTO else Version(text).local


@cache
def releases() -> tuple[Version, ...]:
    """Return the known releases, oldest first."""
    return tuple(sorted(Version(text) for text in data_files.values("vllm-flags.json")["versions"]))


def _counts_as(version: Version) -> Version:
    return releases()[max(0, bisect_right(releases(), version) - 1)]


@cache
def flags_of(version: Version) -> Mapping[str, Flag]:
    """Return the flags of the release that ``version`` counts as, by each of their names: ``--dtype``, ``-q``."""
    release = _counts_as(version)
    entries = data_files.values("vllm-flags.json")["flags"]
    there = {name: entry for name, entry in entries.items() if _has(entry["in"], release)}
    return {
        name: Flag(
            name,
            tuple(alias for alias in entry.get("aliases", ()) if alias in there),
            _choices(entry.get("choices", {}), release),
            entry.get("type"),
            f"--no-{name[2:]}" in there,
        )
        for name, entry in there.items()
    }


@cache
def names() -> Mapping[str, tuple[str, ...]]:
    """Return the options of all known releases: for each name of an option, its other names."""
    return {
        name: tuple(entry.get("aliases", ())) for name, entry in data_files.values("vllm-flags.json")["flags"].items()
    }


@cache
def kinds() -> Mapping[str, str | None]:
    """Return the type of every option of any known release, as its parser names it."""
    return {name: entry.get("type") for name, entry in data_files.values("vllm-flags.json")["flags"].items()}


def since(name: str) -> Version:
    """Return the first known release that has an option.

    Raises:
        KeyError: no release has it.
    """
    return _ends(data_files.values("vllm-flags.json")["flags"][name]["in"][0])[0]


def lifetime(name: str) -> tuple[Version, Version] | None:
    """Return the first and the last known release with an option (``--dtype``) or a variable, None: none has it."""
    if name.startswith("-"):
        ranges = data_files.values("vllm-flags.json")["flags"].get(name, {}).get("in", [])
    else:
        ranges = data_files.values("vllm-env.json")["variables"].get(name, [])
    return (_ends(ranges[0])[0], _ends(ranges[-1])[1]) if ranges else None


def _choices(by_release: Mapping[str, list[str]], release: Version) -> tuple[str, ...]:
    choices: list[str] = []
    for since in sorted(by_release, key=Version):
        if Version(since) <= release:
            choices = by_release[since]
    return tuple(choices)


@cache
def variables_of(version: Version) -> frozenset[str]:
    """Return the environment variables that the release reads."""
    release = _counts_as(version)
    variables = data_files.values("vllm-env.json")["variables"]
    return frozenset(name for name, ranges in variables.items() if _has(ranges, release))


class Deprecation(NamedTuple):
    """A variable that will be removed: the release that first announces it, the removal, and what replaces it."""

    since: Version
    removal: str
    use: tuple[str, ...]


def deprecation(variable: str) -> Deprecation | None:
    """Return what vLLM announces of a variable, None where it announces nothing."""
    found = data_files.values("vllm-env.json")["deprecated"].get(variable)
    if found is None:
        return None
    return Deprecation(Version(found["deprecated_from"]), found["removal_announced"], tuple(found["use"]))


def check_flag(name: str, value: FlagValue, version: Version) -> str | None:
    """Return what is wrong with ``--name value`` for this release, or None. ``name`` has no dashes in front."""
    finding = _flag_finding(name, value, version)
    return f"{finding.message}; {finding.hint}" if finding and finding.hint else finding and finding.message


def backend_words(backends: Mapping[str, str], version: Version) -> tuple[dict[str, str], dict[str, str]]:
    """Return the flags and the variables that choose the backends (moe, linear, attention) in this release.

    The linear layers' backend was a variable, spelled with dashes, until ``--linear-backend``, with underscores
    (vLLM 0.19.1 and 0.22.1 envs.py, config/kernel.py).
    """
    flags: dict[str, str] = {}
    variables: dict[str, str] = {}
    if "moe" in backends:
        flags["--moe-backend"] = backends["moe"].replace("-", "_")
    if "attention" in backends:
        flags["--attention-backend"] = backends["attention"]
    if "linear" in backends and "--linear-backend" in flags_of(version):
        flags["--linear-backend"] = backends["linear"].replace("-", "_")
    elif "linear" in backends:
        variables[LINEAR_VARIABLE] = backends["linear"].replace("_", "-")
    return flags, variables


def doubts(
    args: Mapping[str, FlagValue], env: Iterable[str], backends: Mapping[str, str], version: Version
) -> list[Finding]:
    """Return what is asked of this release that it lacks, each with the path of the key that asks for it.

    ``env`` are names of variables; the paths begin with args, env or backend, as in a recipe.
    """
    found = [
        finding._replace(path=("args", name))
        for name, value in args.items()
        if (finding := _flag_finding(name, value, version))
    ]
    found += [finding._replace(path=("env", name)) for name in env if (finding := _variable_finding(name, version))]
    flags, _ = backend_words(backends, version)
    for flag, value in flags.items():
        finding = _flag_finding(flag[2:], value, version)
        if finding:
            found.append(finding._replace(path=("backend", flag[2:].removesuffix("-backend"))))
    return found


def _flag_finding(name: str, value: FlagValue, version: Version) -> Finding | None:
    base, dotted, _ = name.partition(".")
    flags = flags_of(version)
    flag = flags.get(f"--{base}")
    if flag is None:
        return _unknown_flag(f"--{base}", version)
    # --flag.key fills one key of a JSON option (vLLM's FlexibleArgumentParser): its values are not known here.
    message, hint = (None, None) if dotted or value is None else _value_problem(flag, value)
    return Finding((), f"vLLM {_counts_as(version)}: {message}", hint) if message else None


def _unknown_flag(name: str, version: Version) -> Finding:
    ranges = data_files.values("vllm-flags.json")["flags"].get(name, {}).get("in", [])
    message = f"vLLM {_counts_as(version)} has no {name}{_when(ranges)}"
    replaced = data_files.values("replaced-flags.json")["flags"].get(name)
    if replaced is not None:
        return Finding((), message, f"{replaced['instead']} ({replaced['source']})")
    if ranges and _ends(ranges[-1])[1] < version:
        return Finding((), message)  # it is no typing error, and nothing replaced it
    long = sorted(flag for flag in flags_of(version) if flag.startswith("--") and not flag.startswith("--no-"))
    close = nearest(name, long)
    return Finding((), message, f"the nearest that it has is {close}" if close else None)


def _value_problem(flag: Flag, value: FlagValue) -> tuple[str | None, str | None]:
    if isinstance(value, bool):
        return _switch_problem(flag, on=value)
    if flag.switch:
        return f"{flag.name} is a switch: expected true or false, found {value!r}", None
    values = value if isinstance(value, list) else [value]
    wrong = [str(item) for item in values if flag.choices and str(item) not in flag.choices]
    if wrong:
        return f"{flag.name} has no {wrong[0]!r}", _choices_hint(flag, wrong[0])
    expected = _NUMBERS.get(flag.kind or "")
    if expected and not isinstance(value, (*expected, list)) and not _numeric(value):
        return f"{flag.name} takes a number, found {value!r}", None
    return None, None


def _switch_problem(flag: Flag, *, on: bool) -> tuple[str | None, str | None]:
    if flag.kind is not None or flag.choices:
        return f"{flag.name} takes a value, found {str(on).lower()}", _choices_hint(flag, "")
    if not on and not flag.negatable:
        return f"{flag.name} has no --no- form", "leave it out"
    return None, None


def _numeric(value: object) -> bool:
    return isinstance(value, str) and value.lstrip("+-").replace(".", "", 1).isdigit()


def _choices_hint(flag: Flag, value: str) -> str | None:
    close = nearest(value, flag.choices)
    if close:
        return f"the nearest that it has is {close}"
    return f"it has {', '.join(flag.choices)}" if flag.choices else None


def _variable_finding(name: str, version: Version) -> Finding | None:
    data = data_files.values("vllm-env.json")
    ranges = data["variables"].get(name)
    if name in variables_of(version) or (ranges is None and not name.startswith("VLLM_")):
        return None
    message = f"vLLM {_counts_as(version)} does not read {name}{_when(ranges or [])}: it would be ignored silently"
    instead = data["deprecated"].get(name, {}).get("use", [])
    if instead:
        return Finding((), message, "use " + " or ".join(_FIELDS.get(flag, flag) for flag in instead))
    close = nearest(
        name.removeprefix("VLLM_"),
        [read.removeprefix("VLLM_") for read in variables_of(version) if read.startswith("VLLM_")],
    )
    return Finding((), message, f"the nearest that it reads is VLLM_{close}" if close else None)


def _when(ranges: list[str]) -> str:
    """Return since and until when something exists, among the known releases."""
    if not ranges:
        return ""
    first, last = _ends(ranges[0])[0], _ends(ranges[-1])[1]
    if last == releases()[-1]:
        return f" (it exists from {first})"
    return f" (it existed until {last})" if first == releases()[0] else f" (it existed from {first} until {last})"


@cache
def _ends(text: str) -> tuple[Version, Version]:
    first, _, last = text.partition("..")
    return Version(first), Version(last or first)


def _has(ranges: list[str], release: Version) -> bool:
    return any(first <= release <= last for first, last in map(_ends, ranges))
