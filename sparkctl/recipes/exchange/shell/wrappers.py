"""The prefixes of a command: sudo, env, nohup, numactl, ``uv run``, ``bash -c``, ssh and others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.launch import Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_WITH_VALUE: Final = {
    "sudo": frozenset({"-u", "-g", "-h", "-p", "-C", "-D", "-r", "-t", "--user", "--group"}),
    "doas": frozenset({"-u", "-C"}),
    "env": frozenset({"-u", "-C", "--unset", "--chdir"}),
    "nice": frozenset({"-n"}),
    "ionice": frozenset({"-c", "-n"}),
    "stdbuf": frozenset[str](),
    "timeout": frozenset({"-s", "-k"}),
    "numactl": frozenset({"-N", "-m", "-C", "-i", "-p", "--cpunodebind", "--membind", "--physcpubind", "--interleave"}),
    "taskset": frozenset({"-c"}),
    "nohup": frozenset[str](),
    "exec": frozenset({"-a"}),
    "command": frozenset[str](),
    "setsid": frozenset[str](),
    "time": frozenset[str](),
    "unbuffer": frozenset[str](),
    "srun": frozenset({"-p", "-N", "-n", "-c", "-w", "-t", "-J", "--gpus", "--partition", "--gres", "--nodelist"}),
    "systemd-run": frozenset({"-p", "-u", "-E", "-M", "-H", "--unit", "--property", "--setenv", "--slice", "--uid"}),
    "uvx": frozenset({"--from", "--with", "-p", "--python", "--index-url", "--extra-index-url", "--torch-backend"}),
    "$": frozenset[str](),
}
_RUNNERS: Final = {
    **dict.fromkeys(("conda", "mamba", "micromamba"), frozenset({"-n", "-p", "--name", "--prefix", "--cwd"})),
    **dict.fromkeys(("hatch", "pdm", "pipenv", "pixi", "poetry", "rye"), frozenset({"-e", "-p", "--project"})),
    "uv": frozenset(
        {"-p", "--python", "-w", "--with", "--with-requirements", "--extra", "--group", "--project", "--directory"}
        | {"--env-file", "--index", "--index-url", "--extra-index-url", "--package", "--torch-backend"}
    ),
}
"""Programs that start a command by ``NAME run COMMAND`` in a Python environment, with the options that take a value."""
_ONE_MORE: Final = frozenset({"timeout", "taskset"})
"""Prefixes with one word of their own before the command."""
_OF_THE_SCRIPT: Final = frozenset({"$", "command", "exec", "nohup", "setsid", "stdbuf", "time", "unbuffer"})
"""Prefixes whose effect ends with the script, whatever their options."""
_AS_WITHOUT: Final = frozenset({"-E", "-H", "-n", "-S"})
"""Options of sudo that change nothing of what it starts as root."""
_SHELLS: Final = frozenset({"bash", "sh", "zsh", "dash", "ash"})
_TEXT_OPTION: Final = re.compile(r"-[a-z]*c")
_SSH_WITH_VALUE: Final = frozenset(
    [
        "-b",
        "-c",
        "-D",
        "-E",
        "-e",
        "-F",
        "-I",
        "-i",
        "-J",
        "-L",
        "-l",
        "-m",
        "-O",
        "-o",
        "-p",
        "-Q",
        "-R",
        "-S",
        "-W",
        "-w",
    ]
)
_ENGINES: Final = frozenset({"docker", "podman", "nerdctl"})
_MULTIPLEXERS: Final = frozenset({"tmux", "screen"})


BEFORE: Final = "it stands before the command, and a recipe says only what the container starts"
"""Why a prefix that matters becomes a leftover."""


class Unwrapped(NamedTuple):
    """A command without its prefixes; ``text`` is the text that another shell would read instead of it.

    ``before`` are the prefixes that would change how the command runs, a text for each: ``taskset -c 0-3``.
    """

    words: tuple[Word, ...]
    environment: tuple[tuple[str, Word], ...] = ()
    text: Word | None = None
    before: tuple[Word, ...] = ()


def unwrapped(words: Sequence[Word]) -> Unwrapped:
    """Return the command that the words start."""
    rest = list(words)
    environment: list[tuple[str, Word]] = []
    before: list[Word] = []
    while rest:
        name = base_name(rest[0].text)
        if name in _WITH_VALUE:
            behind = _behind_options(rest, name)
            behind = behind[1:] if name in _ONE_MORE else behind
            before += _that_counts(name, rest[: len(rest) - len(behind)])
            rest = behind
        elif name in _RUNNERS and (behind := _run_by(rest, _RUNNERS[name])):
            before += _that_counts(name, rest[: len(rest) - len(behind)])
            rest = behind
        elif _ASSIGNMENT.match(rest[0].text):
            key, _, value = rest[0].text.partition("=")
            environment.append((key, Word(value, rest[0].place)))
            rest = rest[1:]
        else:
            break
    return Unwrapped(tuple(rest), tuple(environment), shell_text(rest), tuple(before))


def _that_counts(name: str, words: Sequence[Word]) -> Iterator[Word]:
    """Yield the prefix of a command as one text, if it changes how the command runs."""
    own = [word.text for word in words[1:] if not (name == "sudo" and word.text in _AS_WITHOUT)]
    if own and name not in _OF_THE_SCRIPT:
        yield Word(" ".join(word.text for word in words), words[0].place)


def base_name(text: str) -> str:
    """Return the last part of a command's path."""
    return text.rpartition("/")[2]


def _run_by(rest: list[Word], with_value: frozenset[str]) -> list[Word]:
    """Return the command behind ``NAME run``; nothing where it runs none."""
    at = _end_of_options(rest, 1, with_value)
    if at >= len(rest) or rest[at].text != "run":
        return []
    return rest[_end_of_options(rest, at + 1, with_value) :]


def _end_of_options(rest: Sequence[Word], at: int, with_value: frozenset[str]) -> int:
    while at < len(rest) and rest[at].text.startswith("-"):
        if rest[at].text == "--":
            return at + 1
        at += 2 if rest[at].text in with_value else 1
    return at


def _behind_options(rest: list[Word], name: str) -> list[Word]:
    at = _end_of_options(rest, 1, _WITH_VALUE[name])
    # `taskset -c 0-3` has its word behind the option.
    return rest[at - 1 :] if name == "taskset" and at > 1 else rest[at:]


def shell_text(words: Sequence[Word]) -> Word | None:
    """Return the text that ``bash -c TEXT``, ``ssh HOST TEXT`` or ``tmux new TEXT`` gives to another shell."""
    name = base_name(words[0].text) if words else ""
    if name in _SHELLS:
        at = next((at for at, word in enumerate(words) if at and _TEXT_OPTION.fullmatch(word.text)), None)
        return words[at + 1] if at is not None and at + 1 < len(words) else None
    if name == "ssh":
        at = 1
        while at < len(words) and words[at].text.startswith("-"):
            at += 2 if words[at].text in _SSH_WITH_VALUE else 1
        text = " ".join(word.text for word in words[at + 1 :])
        return Word(text, words[at + 1].place) if text else None
    if name in _ENGINES and any(word.text == "exec" for word in words[1:4]):
        shell = next((at for at, word in enumerate(words) if base_name(word.text) in _SHELLS), None)
        return shell_text(words[shell:]) if shell is not None else None
    if name in _MULTIPLEXERS:
        return next((word for word in reversed(words) if " " in word.text), None)
    return None
