"""The door: a table of commands that load when they are named, and the one place where errors become text.

Importing this module imports click and nothing heavier: `sparkctl --help` must be as quick as its table is short.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from sparkctl.base.errors import SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.cli import process
from sparkctl.cli.process import INTERRUPTED
from sparkctl.world.engine import ENGINE_NAMES

if TYPE_CHECKING:
    from sparkctl.base import shown
    from sparkctl.base.shown import Boundary
    from sparkctl.cli import suggestions
    from sparkctl.cli.session import Session
else:
    shown = LazyModule("sparkctl.base.shown")
    suggestions = LazyModule("sparkctl.cli.suggestions")

COMMANDS: Final = {
    "up": ("services", "Start services, together where there is room, and prove each healthy."),
    "down": ("services", "Stop and remove services."),
    "restart": ("services", "Stop services and start them again as they are."),
    "attach": ("services", "Watch a start that is under way."),
    "ps": ("services", "List the services and whether they are ready."),
    "status": ("services", "Show what services do: ready, busy, stuck, and how fast."),
    "logs": ("services", "Print a service's log."),
    "plan": ("memory", "Show whether a set fits, and what `up` would do."),
    "fits": ("memory", "Show which recipes fit, with which context, or after stopping what."),
    "size": ("memory", "Show where every GiB of a model goes."),
    "measurements": ("memory", "List what starts really took, beside the prediction."),
    "apply": ("stack", "Make a stack so: start, replace and remove what has to be."),
    "diff": ("stack", "Show how a stack, what was applied of it, and what runs differ."),
    "history": ("stack", "List what was applied to this box, show it, and compare it."),
    "rollback": ("stack", "Bring back what was applied before: the same commands, the same images."),
    "lock": ("stack", "Write down what is behind a stack's names; compare; show an upgrade."),
    "agent": ("agent", "Keep the applied stack running: one resident process."),
    "guard": ("guard", "End a service before the host runs out of memory."),
    "gateway": ("gateway", "One address for every service of a stack, started when it is asked for."),
    "keys": ("gateway", "Give the gateway's clients keys, list them, and take them back."),
    "hosts": ("hosts", "Several Sparks: add, list, ask and compare those that you reach by ssh."),
    "check": ("proof", "Ask a service what it must answer, and judge it."),
    "bench": ("proof", "Measure how fast a service writes."),
    "verify-mods": ("proof", "Check every mod: on disk, in the image, in the running container."),
    "verify-model": ("proof", "Check a quantized model against the one that it was made from."),
    "evaluate": ("jobs", "Compare what two services answer: how much a quantized model keeps."),
    "doctor": ("proof", "Check this host: engine, GPU, memory, disk."),
    "diagnose": ("proof", "Say why the server that wrote a log failed."),
    "report": ("proof", "Write a file for a bug report, without secrets."),
    "recipes": ("files", "List, show and check recipes."),
    "new": ("exchange", "Write a recipe for a model out of its own files, with the reason for each line."),
    "render": ("files", "Print the docker run command of a recipe."),
    "explain": ("explained", "Say of each word of a command where it comes from, and what it does and costs."),
    "upgrade": ("explained", "Show what another release of vLLM, or another image, changes for a recipe."),
    "facts": ("files", "Write what the hub says of a model into a file, to plan with."),
    "download": ("files", "Download a recipe's model into its cache."),
    "mods": ("files", "List the mods; pin the checksum of a file that you have."),
    "job": ("jobs", "Run what makes a model: quantize one, check it, give it its name."),
    "import": ("exchange", "Make recipes of docker run commands and files of other tools."),
    "adopt": ("exchange", "Make a recipe of a container that somebody else started."),
    "export": ("exchange", "Write a recipe or a stack as the files of another tool."),
    "schema": ("files", "Print the JSON Schema of a file format."),
    "completion": ("files", "Print what a shell needs to complete names."),
}
"""Each command is the object ``command`` of the module with its name, in the folder given beside it."""

SECTIONS: Final = {
    "Services": "up",
    "Memory": "plan",
    "A box that keeps to its stack": "apply",
    "One address for clients": "gateway",
    "Several Sparks": "hosts",
    "Proof": "check",
    "When something is wrong": "doctor",
    "Recipes": "recipes",
    "Other tools": "import",
    "Editors and shells": "schema",
}
"""The headings of the help, each with the first command below it."""

OVER_SSH: Final = frozenset({
    "up", "down", "restart", "attach", "ps", "status", "logs", "plan", "fits", "render", "measurements", "doctor",
    "apply", "diff", "history", "rollback", "check", "bench", "verify-mods", "report",
})  # fmt: skip
"""The commands that can act on another host; the other commands use parts of this machine."""

OBJECTS: Final = 100_000
"""New objects after which Python collects garbage; at its own 700 it does so a hundred times while modules load."""
BROKEN_PIPE: Final = 141
"""A shell's exit code for a program that SIGPIPE ended."""


def module_of(name: str) -> str:
    """Return the module of a command; a name that is a Python keyword gets another module name."""
    return f"sparkctl.cli.{COMMANDS[name][0]}.{'import_' if name == 'import' else name.replace('-', '_')}"


class LazyGroup(click.Group):
    """A group whose help comes from a table, and whose commands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """Return the names in the table's order: the most used first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module and return its command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(module_of(cmd_name))
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names; for an unknown word, say which one was probably meant."""
        word = args[0]
        if word in COMMANDS or word.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"no command {word!r}; {suggestions.hint(word, COMMANDS)}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing a command."""
        names = list(COMMANDS)
        begins = [names.index(first) for first in SECTIONS.values()]
        width = max(map(len, names))
        for title, begin, end in zip(SECTIONS, begins, [*begins[1:], None], strict=True):
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), COMMANDS[name][1]) for name in names[begin:end]])


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"sparkctl {importlib.import_module('importlib.metadata').version('dgx-sparkctl')}")
        ctx.exit()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--engine", type=click.Choice(ENGINE_NAMES), help="docker, or a simulated Spark.")
@click.option("--recipes", "folder", metavar="DIR", help="A folder with recipes/, mods/ and templates/ of your own.")
@click.option("--profile", metavar="NAME", help="The host's profile: its memory and reserve (by its GPUs).")
@click.option("--host", metavar="NAME", help="Another Spark, of hosts.yaml: reached by your ssh.")
@click.option("-v", "--verbose", is_flag=True, help="Show each call to the engine.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.pass_context
def cli(
    ctx: click.Context, engine: str | None, folder: str | None, profile: str | None, host: str | None, verbose: bool
) -> None:
    """Run vLLM models on a DGX Spark: admitted as a set, proved healthy, kept running."""
    session = importlib.import_module("sparkctl.cli.session")
    if ctx.obj is None:  # tests bring a session of their own
        ctx.obj = session.begun(engine=engine, folder=folder, profile=profile, verbose=verbose)
    if host is not None:
        if ctx.invoked_subcommand not in OVER_SSH:
            known = " ".join(name for name in COMMANDS if name in OVER_SSH)
            raise click.UsageError(f"{ctx.invoked_subcommand} does not take --host; these do: {known}", ctx)
        ctx.obj = session.on_host(ctx.obj, host)


def main(arguments: list[str] | None = None, session: Session | None = None) -> None:
    """Run the command line and exit: 0, or the error's own code; when interrupted 130, 143 (SIGTERM) or 129 (SIGHUP).

    An unexpected exception keeps its traceback (Python exits with 1): it is a defect, and the report needs it.
    """
    gc.set_threshold(OBJECTS)
    process.prepare()
    leaving = process.Leaving()
    if arguments is None:  # otherwise the process is another program's, too
        atexit.register(leaving)
    asked = process.asked_to_complete()
    if asked:  # a shell asks for the words that may come next
        completion = importlib.import_module("click.shell_completion")
        try:
            sys.exit(leaving.with_code(completion.shell_complete(cli, {}, "sparkctl", process.COMPLETE, asked)))
        except (KeyError, ValueError):  # the words, or the place among them, that a shell gives beside it
            click.echo(
                f"error: {process.COMPLETE} is for shells: sparkctl completion SHELL prints what they need", err=True
            )
            sys.exit(leaving.with_code(2))
    code = run(arguments, session)
    sys.exit(leaving.with_code(process.code_of_interruption() if code == INTERRUPTED else code))


def run(arguments: list[str] | None, session: Session | None) -> int:
    """Run the command line and return its exit code."""
    context: list[click.Context] = []
    try:
        with cli.make_context("sparkctl", list(sys.argv[1:] if arguments is None else arguments), obj=session) as ctx:
            context.append(ctx)
            result: Any = cli.invoke(ctx)
            return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        told = io.StringIO()
        error.show(told)
        click.echo(_boundary(context).text(told.getvalue()), err=True, nl=False)
        return error.exit_code
    except BrokenPipeError:
        return BROKEN_PIPE  # the reader has gone (`| head`): nothing is said
    except (KeyboardInterrupt, click.Abort):
        _say(context, "interrupted", None)
        return INTERRUPTED
    except SparkctlError as error:
        _say(context, error.message, error.hint)
        return error.exit_code


def _session(context: list[click.Context]) -> Session | None:
    """Return the session, None before there is one."""
    return context[0].obj if context else None


def _boundary(context: list[click.Context]) -> Boundary:
    session = _session(context)
    return shown.Boundary() if session is None else session.out.boundary


def _say(context: list[click.Context], message: str, hint: str | None) -> None:
    session = _session(context)
    if session is None:
        told = f"error: {message}" + (f"\n  → {hint}" if hint else "")
        click.echo(_boundary(context).text(told), err=True)
    else:
        session.out.error(message, hint)
