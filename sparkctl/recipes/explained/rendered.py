"""The words of a rendered command, each option with its value, by what reads them: docker or the server."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.vllm.command.spelling import spelled
from sparkctl.vllm.known.planned import FALSE, STATES, TRUE, WINDOWS, PlannedServer
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.recipes.service import Service


class CommandPart(StrEnum):
    """The program that reads a word of the command."""

    DOCKER = "docker"
    VARIABLE = "variable"
    IMAGE = "image"
    SERVER = "server"


class RenderedWord(NamedTuple):
    """An option with its value. ``name`` has no dashes in front, and of a variable it is the variable's.

    ``value`` of a switch is true or false. ``words`` are as the command has them.
    """

    part: CommandPart
    name: str
    value: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The option as it is spoken of: ``--shm-size``, ``VLLM_API_KEY``, ``image``."""
        return self.name if self.part in {CommandPart.VARIABLE, CommandPart.IMAGE} else f"--{self.name}"


def rendered(words: Sequence[str]) -> tuple[RenderedWord, ...]:
    """Return the options of a command, in its order.

    Raises:
        InputError: the words are no docker run command.
    """
    return tuple(_of(grammar.parts(words)))


def _of(parts: grammar.CommandParts) -> Iterator[RenderedWord]:
    for option in parts.options:
        if option.name == "env":
            name, _, value = option.value.partition("=")
            yield RenderedWord(CommandPart.VARIABLE, name, value, option.words)
        else:
            yield RenderedWord(CommandPart.DOCKER, option.name, option.value, option.words)
    yield RenderedWord(CommandPart.IMAGE, "image", parts.image, (parts.image,))
    for words in parts.command:
        first = words[0]
        if not first.startswith("-"):  # `vllm serve MODEL`, or the model alone
            yield RenderedWord(CommandPart.SERVER, "model", words[-1], words)
            continue
        yield _flag(words)


def _flag(words: tuple[str, ...]) -> RenderedWord:
    """Return a flag of the server by its long name, as vLLM's parser reads it."""
    first, *values = words
    written, equals, value = first.removeprefix("--").partition("=")
    off = written.startswith("no-") and not values and not equals
    text = value if equals else " ".join(values) or (FALSE if off else TRUE)
    meant = spelled(written.removeprefix("no-") if off else written)
    if meant.level is not None:
        text = meant.level
    if meant.opposite:
        text = {TRUE: FALSE, FALSE: TRUE}.get(text, text)
    return RenderedWord(CommandPart.SERVER, meant.key, text, words)


def planned_server(service: Service, words: Sequence[RenderedWord]) -> PlannedServer:
    """Return the server that a command starts, as known pains and changed defaults look at it."""
    options: dict[str, tuple[str, ...]] = {}
    for word in words:
        if word.part is CommandPart.DOCKER:
            options[word.name] = (*options.get(word.name, ()), word.value)
    resizer = service.resizer
    layers = resizer.once.shape.groups
    types = {WINDOWS: any(layer.window is not None for layer in layers)}
    types[STATES] = any(layer.state is not None for layer in layers)
    return PlannedServer(
        version=resizer.loaded.version.asked,
        image=service.recipe.image,
        flags={word.name: word.value for word in words if word.part is CommandPart.SERVER},
        variables={word.name: word.value for word in words if word.part is CommandPart.VARIABLE},
        options=options,
        model_type=str(resizer.facts.config.get("model_type") or ""),
        types=frozenset(name for name, there in types.items() if there),
    )
