"""``sparkctl facts``: a file of model facts, out of what the hub or a folder says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.operations.files.facts import write

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("model")
@click.option("--revision", metavar="COMMIT", help="A branch, a tag or a commit; the main branch unless given.")
@click.option("--as", "name", metavar="NAME", help="The name of the facts; the repository's own unless given.")
@click.option("--force", is_flag=True, help="Write it anew where it is there.")
@click.pass_obj
def command(session: Session, model: str, *, revision: str | None, name: str | None, force: bool) -> None:
    """Write what is known of MODEL, owner/name on the hub or a folder, into a file of model facts.

    The hub is asked for config.json and the safetensors headers, also where it was asked before. A recipe names the
    facts (model.facts), and plans without the hub; edit the file, and add what you measured.
    """
    with session.out.reporting():
        written = write(session.world, model, revision=revision, name=name, force=force)
    for line in written.says:
        session.out.say(line)
    session.out.say(f"use it in a recipe: model: {{repo: {model}, facts: {written.name}}}")
    session.out.result(str(written.path))
