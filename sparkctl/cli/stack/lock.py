"""``sparkctl lock``: what is behind the names of a stack, in a file to commit beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from sparkctl.cli.options import as_json, known_stacks, overrides
from sparkctl.cli.stack import lock_lines
from sparkctl.operations.stack.lock import stack_lock, upgrade

if TYPE_CHECKING:
    from sparkctl.cli.session import Session

DIFFERS: Final = 9
"""The exit code if what is here differs from what was locked."""


class _LockOptions(NamedTuple):
    """The options, as they were given."""

    checking: bool
    hashing: bool
    upgrading: bool
    yes: bool
    overrides: tuple[str, ...]
    as_json: bool


@click.command
@click.argument("stack", shell_complete=known_stacks)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--check", "checking", is_flag=True, help="Compare: 0 where nothing differs, 9 where something does.")
@click.option("--hash", "hashing", is_flag=True, help="Read every byte of the models for their sums.")
@click.option("--upgrade", "upgrading", is_flag=True, help="Show what is newer, of all services or of NAME.")
@click.option("--yes", is_flag=True, help="With --upgrade: write the new lock. Nothing is pulled.")
@overrides
@as_json
@click.pass_obj
def command(session: Session, /, stack: str, names: tuple[str, ...], **how: Any) -> int:  # noqa: ANN401  (click's values)
    """Write down what is behind the names of STACK, into a file to commit beside it: STACK.lock.

    Image digests, commits of models with the sums of their files, md5 and sha256 of mods, vLLM versions. Models are not
    read for it, but with --hash. What is not here is taken as its registry or the hub has it now.
    """
    asked = _LockOptions(**how)
    _refuse_odd(names, asked)
    if asked.checking:
        return _check(session, stack, asked)
    if asked.upgrading:
        _upgrade(session, stack, names, asked)
        return 0
    with session.out.reporting():
        written = stack_lock.lock(session.world, stack, hashing=asked.hashing)
    if asked.as_json:
        session.out.json({"path": str(written.path), "changed": not written.same, **lock_lines.lock_json(written.lock)})
        return 0
    for line in lock_lines.of_lock(written.lock):
        session.out.say(line)
    session.out.say("as it was locked already" if written.same else "commit it beside the stack")
    session.out.result(str(written.path))
    return 0


def _refuse_odd(names: tuple[str, ...], asked: _LockOptions) -> None:
    """Refuse options that exclude each other.

    Raises:
        click.UsageError: with what to say.
    """
    if asked.checking and asked.upgrading:
        raise click.UsageError("--check compares with what is here, --upgrade with what is newer: say one of them")
    if asked.upgrading and asked.hashing:
        raise click.UsageError("--hash reads the models that are here; --upgrade asks for others")
    if (names or asked.yes or asked.overrides) and not asked.upgrading:
        odd = "NAME" if names else "--yes" if asked.yes else "--set"
        raise click.UsageError(f"{odd} goes with --upgrade")
    if asked.yes and asked.overrides:
        message = "--set shows what would be: write it into the stack or the recipe, then say --yes without it"
        raise click.UsageError(message)


def _check(session: Session, stack: str, asked: _LockOptions) -> int:
    with session.out.reporting():
        found = stack_lock.check(session.world, stack, hashing=asked.hashing)
    if asked.as_json:
        session.out.json([one._asdict() for one in found])
    else:
        for one in found:
            session.out.result(str(one))
    if not found:
        session.out.say("as it was locked")
    return DIFFERS if found else 0


def _upgrade(session: Session, stack: str, names: tuple[str, ...], asked: _LockOptions) -> None:
    with session.out.reporting():
        found = upgrade.upgrade(session.world, stack, names, asked.overrides)
    if asked.as_json:
        session.out.json([lock_lines.upgrade_json(one) for one in found.services])
    else:
        for line in lock_lines.of_upgrade(found):
            session.out.result(line)
    if not asked.yes:
        how = "write it into the stack or the recipe to have it" if asked.overrides else "--yes writes the new lock"
        session.out.say(f"{how}; nothing is pulled for it" if found.changes else "nothing is newer")
        return
    written = upgrade.accept(session.world, stack, found)
    fetches = list(lock_lines.fetches(found))
    session.out.say(f"wrote {written.path}" + ("; what is here differs until it is fetched:" if fetches else ""))
    for line in fetches:
        session.out.say(f"  {line}")
