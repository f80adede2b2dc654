"""Why a command has its words: each with its value, its origin, its arithmetic, what it does, costs, and may hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.base.validation import nearest
from sparkctl.recipes.explained.costs import Costs, costs
from sparkctl.recipes.explained.origins import WordOrigin, origins
from sparkctl.recipes.explained.rendered import CommandPart, RenderedWord, planned_server, rendered
from sparkctl.recipes.explained.sums import sums
from sparkctl.vllm import flags
from sparkctl.vllm.command.spelling import spelled
from sparkctl.vllm.known import defaults, pains, words

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from packaging.version import Version

    from sparkctl.recipes.service import Service
    from sparkctl.vllm.known.pains import Pain


class InReleases(NamedTuple):
    """What the known releases say of a flag or a variable.

    ``first`` and ``last`` are the known releases that have it, None where none does. ``here``: this release has it.
    ``choices`` are what it may be here, () for anything; ``default`` what it is where it is not given, as Python writes
    it, None where that is not known.
    """

    first: Version | None
    last: Version | None
    here: bool
    choices: tuple[str, ...] = ()
    default: str | None = None

    @property
    def oldest(self) -> bool:
        """Whether the first release is the oldest that is known."""
        return self.first == flags.releases()[0]


class ExplainedWord(NamedTuple):
    """A word of a command, explained.

    ``word`` has no words of a command where the command does not have it. ``sums`` are sentences: how it was
    calculated. ``does`` is None where no sentence is known. ``releases`` is None for what is docker's. ``hurts`` is
    what is known to go wrong with it on a GB10.
    """

    word: RenderedWord
    origins: tuple[WordOrigin, ...]
    sums: tuple[str, ...]
    does: str | None
    releases: InReleases | None
    costs: Costs
    hurts: tuple[Pain, ...]

    @property
    def help(self) -> str | None:
        """The command that prints vLLM's own help for a flag, None for a word that is not a flag."""
        flag = self.word.part is CommandPart.SERVER and self.releases is not None and self.releases.here
        return f"vllm serve --help={self.word.name.partition('.')[0]}" if flag else None


class Explained(NamedTuple):
    """A service's command, explained.

    ``vllm`` is the release in the image, and ``note`` why its flags count as another's, or None. ``hurts`` is what is
    known of the release itself.
    """

    service: str
    recipe: str
    image: str
    vllm: Version
    note: str | None
    words: tuple[ExplainedWord, ...]
    hurts: tuple[Pain, ...] = ()


def explained(service: Service, subject: str | None = None, stack_files: Collection[str] = ()) -> Explained:
    """Return the explanation of a service's command, or of what ``subject`` names of it: a flag, a variable, a key.

    ``stack_files`` are the files of the stack that the service is of.

    Raises:
        InputError: ``subject`` is nothing that the command or this release has.
    """
    version = service.resizer.loaded.version
    every = rendered(service.words)
    server = planned_server(service, every)
    found = pains.of(server)
    from_where = {word: origins(word, service, stack_files) for word in every}
    chosen = list(every) if subject is None else _chosen(subject, every, from_where, version.version)
    explained_words = tuple(
        ExplainedWord(
            word=word,
            origins=from_where.get(word, ()),
            sums=sums(word, service) if word.words else (),
            does=_does(word),
            releases=_releases(word, version.version),
            costs=costs(word, service) if word.words else Costs(),
            hurts=_of_word(word, found) if word.words else pains.about(_kind(word), word.name),
        )
        for word in chosen
    )
    release = tuple(pain for pain in found if pain.kind == "release")
    return Explained(
        service=service.name,
        recipe=service.recipe_name,
        image=service.recipe.image,
        vllm=version.asked,
        note=version.note,
        words=explained_words,
        hurts=release,
    )


def _does(word: RenderedWord) -> str | None:
    if word.part is CommandPart.SERVER:
        return words.of_flag(word.name)
    return words.of_variable(word.name) if word.part is CommandPart.VARIABLE else words.of_option(word.name)


def _kind(word: RenderedWord) -> str:
    return {CommandPart.SERVER: "flag", CommandPart.VARIABLE: "variable"}.get(word.part, "docker")


def _of_word(word: RenderedWord, found: Sequence[Pain]) -> tuple[Pain, ...]:
    """Return what is known of a word; for an option that is given several times, what each of its values means."""
    return tuple(pain for pain in found if (pain.kind, pain.name) == (_kind(word), word.name) and pain.fits(word.value))


def _releases(word: RenderedWord, version: Version) -> InReleases | None:
    if word.part not in {CommandPart.SERVER, CommandPart.VARIABLE}:
        return None
    if word.part is CommandPart.VARIABLE:
        life = flags.lifetime(word.name)
        if life is None and not word.name.startswith("VLLM_"):
            return None  # a variable of another program
        first, last = life or (None, None)
        here = word.name in flags.variables_of(version)
        return InReleases(first, last, here, default=defaults.of(word.name, version) if here else None)
    name = f"--{word.name.partition('.')[0]}"
    first, last = flags.lifetime(name) or (None, None)
    flag = flags.flags_of(version).get(name)
    if flag is None or "." in word.name:
        return InReleases(first, last, flag is not None)
    return InReleases(first, last, here=True, choices=flag.choices, default=defaults.of(name, version))


def _chosen(
    subject: str,
    every: Sequence[RenderedWord],
    from_where: dict[RenderedWord, tuple[WordOrigin, ...]],
    version: Version,
) -> list[RenderedWord]:
    """Return the words that a subject names; one that the command does not have stands for itself."""
    name = spelled(subject.removeprefix("--"), version).key
    bare = subject.lstrip("-")
    by_name = [word for word in every if word.name in {name, bare} or word.name.partition(".")[0] == name]
    by_key = [word for word, found in from_where.items() if any(_is_key(bare, origin.key) for origin in found)]
    if by_name or by_key:
        return by_name or by_key
    if f"--{name}" in flags.names():
        return [RenderedWord(CommandPart.SERVER, name, "", ())]
    if flags.lifetime(bare) is not None or words.of_variable(bare) is not None:
        return [RenderedWord(CommandPart.VARIABLE, bare, "", ())]
    if words.of_option(bare) is not None:
        return [RenderedWord(CommandPart.DOCKER, bare, "", ())]
    known = [*(word.text for word in every), *(one for one in flags.flags_of(version) if one.startswith("--"))]
    close = nearest(f"--{name}", known) or nearest(subject, known)
    message = f"expected a flag, a variable or a key of the recipe, found {subject!r}"
    hint = f"did you mean {close}?" if close else "such as --max-model-len, VLLM_CACHE_ROOT or limits.context"
    raise InputError(message, hint=hint)


def _is_key(subject: str, key: str) -> bool:
    return bool(key) and (key == subject or key.startswith((f"{subject}.", f"{subject}[")))
