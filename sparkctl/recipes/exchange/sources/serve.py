"""``vllm serve`` commands that no container holds, and those that ``docker exec`` starts in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.fields.recipe import BARE
from sparkctl.recipes.exchange.fields.server import serving
from sparkctl.recipes.exchange.launch import Launch, Word
from sparkctl.recipes.exchange.shell.wrappers import Unwrapped, unwrapped
from sparkctl.recipes.exchange.sources.docker_run import behind_engine, left_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.recipes.exchange.shell.script import ShellCommand

_EXEC_WITH_VALUE: Final = frozenset(["-e", "--env", "--env-file", "-u", "--user", "-w", "--workdir", "--detach-keys"])
_OF_THE_SHELL: Final = frozenset({"PATH", "HOME", "PWD", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"})


def launch(command: ShellCommand) -> Launch | None:
    """Return the launch of a command; None where it starts no server of vLLM."""
    inner = inside(command.words)
    words = inner.words
    if serving(words) is None:
        return None
    options = tuple(
        Word(f"--env={name}={value.text}", value.place)
        for name, value in command.environment
        if name not in _OF_THE_SHELL
    )
    notes = (f"it stands in {command.within}",) if command.within else ()
    if words != command.words:
        notes = (*notes, "it is started in a container that is there already: the recipe starts its own")
    left = tuple(left_over(command._replace(before=(*command.before, *inner.before))))
    return Launch("", BARE, command.place, options, None, words, leftovers=left, notes=notes)


def inside(words: Sequence[Word]) -> Unwrapped:
    """Return the command that ``docker exec`` runs; of another command the words themselves."""
    rest = behind_engine(words)
    if rest and rest[0].text == "compose":
        rest = rest[1:]
    if not rest or rest[0].text != "exec":
        return Unwrapped(tuple(words))
    at = 1
    while at < len(rest) and rest[at].text.startswith("-"):
        at += 2 if rest[at].text in _EXEC_WITH_VALUE else 1
    return unwrapped(rest[at + 1 :])
