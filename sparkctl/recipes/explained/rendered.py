"""The words of a rendered command, each option with its value, by what reads them: docker or the server."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.vllm.known.given import FALSE, TRUE, Launched
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.recipes.service import Service


class CommandPart(StrEnum):
    """Who reads a word of the command."""

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
        first, *values = words
        if not first.startswith("-"):  # `vllm serve MODEL`, or the model alone
            yield RenderedWord(CommandPart.SERVER, "model", words[-1], words)
            continue
        name, equals, value = first.lstrip("-").partition("=")
        off = name.startswith("no-") and not values and not equals
        text = value if equals else " ".join(values) or (FALSE if off else TRUE)
        yield RenderedWord(CommandPart.SERVER, name.removeprefix("no-") if off else name, text, words)


def launched(service: Service, words: Sequence[RenderedWord]) -> Launched:
    """Return the server that a command starts, as known pains and changed defaults look at it."""
    options: dict[str, tuple[str, ...]] = {}
    for word in words:
        if word.part is CommandPart.DOCKER:
            options[word.name] = (*options.get(word.name, ()), word.value)
    resizer = service.resizer
    layers = resizer.once.shape.groups
    types = {"windows": any(layer.window is not None for layer in layers)}
    types["states"] = any(layer.state is not None for layer in layers)
    return Launched(
        version=resizer.loaded.version.asked,
        image=service.recipe.image,
        flags={word.name: word.value for word in words if word.part is CommandPart.SERVER},
        variables={word.name: word.value for word in words if word.part is CommandPart.VARIABLE},
        options=options,
        model_type=str(resizer.facts.config.get("model_type") or ""),
        types=frozenset(name for name, there in types.items() if there),
    )
