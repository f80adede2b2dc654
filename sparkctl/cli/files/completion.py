"""``sparkctl completion``: what a shell needs to complete the words of a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import get_completion_class

from sparkctl.cli.process import COMPLETE

if TYPE_CHECKING:
    from sparkctl.cli.session import Session

_SHELLS: Final = ("bash", "zsh", "fish")


@click.command
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    r"""Print a script that makes a shell complete commands, options, and the names of recipes, stacks and services.

    \b
    bash  eval "$(sparkctl completion bash)" in ~/.bashrc (4.4 or newer)
    zsh   eval "$(sparkctl completion zsh)" in ~/.zshrc
    fish  sparkctl completion fish > ~/.config/fish/completions/sparkctl.fish
    """
    session: Session = ctx.obj
    known = get_completion_class(shell)
    if known is None:
        raise click.UsageError(f"no completion for {shell}")
    script = known(ctx.find_root().command, {}, "sparkctl", COMPLETE)
    session.out.shell((script.source_template % script.source_vars()).strip())
