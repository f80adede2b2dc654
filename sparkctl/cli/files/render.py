"""``sparkctl render``: the docker run command of a recipe."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import InputError
from sparkctl.cli.options import as_json, overrides, strict
from sparkctl.mods import on_disk
from sparkctl.operations import secrets
from sparkctl.recipes import reading
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.recipes.service import Service


@click.command
@click.argument("name")
@overrides
@strict
@as_json
@click.option("--stage", is_flag=True, help="Make the files that the command names: verified mods, secrets.")
@click.pass_obj
def command(
    session: Session, name: str, overrides: tuple[str, ...], *, strict: bool, as_json: bool, stage: bool
) -> None:
    """Print the docker run command of a recipe, one flag a line, to read or to paste.

    Needs no engine, no image and no Spark. What is assumed or missing is said on stderr.
    """
    loader = session.world.loader(session.world.disk_models)
    located = loader.located([name], overrides, strict=strict)
    if len(located) > 1:
        names = " ".join(one.member.service for one in located)
        raise InputError(f"{name} is a stack", hint=f"render one of its services: {names}")
    (service,) = loader.services(located)
    for warning in loader.warnings:
        session.out.warn(str(warning))
    if stage:
        _stage(session, service)
    for note in reading.notes(service):
        session.out.say(note)
    if as_json:
        session.out.json(asdict(service.spec))
    else:
        session.out.raw(grammar.shell_text(service.words))


def _stage(session: Session, service: Service) -> None:
    """Make the files that the command names: the mods' verified copies, and the secrets' env-file."""
    files = session.world.files
    on_disk.stage(files, service.mods)
    if service.secrets_file is not None:
        files.write(service.secrets_file, secrets.env_file(session.world.required_secrets(service)), mode=0o600)
