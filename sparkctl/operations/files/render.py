"""The docker run command of a recipe, and the files that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.base.shown import unseen
from sparkctl.mods import on_disk
from sparkctl.operations import secrets
from sparkctl.recipes import command
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.recipes.service import Service
    from sparkctl.world.spec import ContainerSpec


class Rendered(NamedTuple):
    """A service's command: its words, the container that they mean, and what is assumed or missing (``notes``)."""

    words: tuple[str, ...]
    spec: ContainerSpec
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The command for a shell, one flag a line."""
        return grammar.shell_text(self.words)


def render(
    world: World,
    name: str,
    overrides: Sequence[str] = (),
    *,
    strict: bool = False,
    stage: bool = False,
    named: str | None = None,
) -> Rendered:
    """Return the docker run command of a recipe; no engine, image or Spark is needed.

    ``stage`` makes the files that the command names: the mods' verified copies, and the secrets' env-file. ``named`` is
    the service's name in place of its recipe's.

    Raises:
        InputError: a file that cannot be used, a name that is none or a stack's; with ``stage``, a secret has no value.
        ModError: with ``stage``, a mod's file is not what it has to be.
    """
    loader = world.loader(world.disk_models)
    located = loader.located([name], overrides, strict=strict, named=named)
    if len(located) > 1:
        names = " ".join(one.member.service for one in located)
        hint = f"render one of its services: {names}"
        raise InputError(f"{name} is a stack of {len(located)} services", hint=hint)
    (service,) = world.services(loader, located)
    if stage:
        _stage(world, service)
    warn_of_words(world, service.words)
    return Rendered(tuple(service.words), service.spec, tuple(command.notes(service)))


def warn_of_words(world: World, words: Sequence[str]) -> None:
    """Warn of what a reader of the command does not see, and of what nobody should see in it."""
    for word in words:
        found = ", ".join(unseen(word))
        if found:
            how = "such characters stand in the command as escapes in $'…', which bash, zsh and ksh read"
            world.report.warn(f"not seen in {word}: {found}; {how}")
        if world.boundary.hidden(word) != word:
            how = "list its variable under secrets: the command then names a file instead"
            world.report.warn(f"the command shows what may be a secret: {word}; {how}")


def _stage(world: World, service: Service) -> None:
    on_disk.stage(world.files, service.mods)
    if service.secrets_file is not None:
        world.files.write(service.secrets_file, secrets.env_file(world.required_secrets(service)), mode=0o600)
