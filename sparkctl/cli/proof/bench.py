"""``sparkctl bench``: how fast a service writes, counted by its server, kept, compared and shared."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sparkctl.base.errors import InputError, NotReadyError
from sparkctl.cli.options import as_json
from sparkctl.cli.proof import bench_options, bench_tables
from sparkctl.cli.proof.bench_options import HISTORY
from sparkctl.operations.bench import llama_benchy, result, saved, sweep
from sparkctl.operations.bench.service import bench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.operations.bench.result import Bench
    from sparkctl.operations.bench.service import BenchProtocol

BENCHY: Final = "llama-benchy"


@click.command
@click.argument("names", nargs=-1, required=True, metavar="NAME | history NAME | A B")
@click.option("--tokens", default=500, show_default=True, type=click.IntRange(1), help="Tokens of each request.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Rounds at each concurrency.")
@click.option("--concurrency", default="1,3", show_default=True, metavar="N[,N…]", help="How many requests at once.")
@click.option("--prompts", type=click.Path(path_type=Path), help="A file of prompts, one a line; ten are shipped.")
@click.option("--input-tokens", type=click.IntRange(1), help="Make each prompt as many tokens long.")
@click.option("--sweep", metavar="PATH=A..B", help="Start the service anew for each value, and compare.")
@click.option("--compare", is_flag=True, help="Compare two services' last results, or two saved files.")
@click.option("--markdown", is_flag=True, help="Print Markdown, to share.")
@click.option("--format", "form", type=click.Choice([BENCHY]), help="Print the format of another tool, to share.")
@click.option("--svg", type=click.Path(path_type=Path), help="Write a plot.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the result as JSON, for --compare.")
@as_json
@click.pass_obj
def command(session: Session, /, names: tuple[str, ...], **options: object) -> None:
    """Measure how fast a service writes: one warm-up, three rounds of 500 tokens one at a time, then three at once.

    Tokens are the server's own count. The result is kept: `sparkctl bench history NAME`.
    """
    asked = bench_options.protocol(options)
    bench_options.refuse_together(names, options)
    if options["compare"]:
        _compare(session, names, as_json=bool(options["as_json"]))
    elif names[0] == HISTORY:
        _history(session, names[1:], as_json=bool(options["as_json"]))
    elif len(names) > 1:
        raise InputError(f"expected one service, found {len(names)}", hint="--compare A B compares two")
    elif options["sweep"]:
        _sweep(session, names[0], str(options["sweep"]), asked, options)
    else:
        _one(session, names[0], asked, options)


def _one(session: Session, name: str, asked: BenchProtocol, options: dict[str, object]) -> None:
    world, out = session.world, session.out
    with out.reporting():
        found = bench(world, name, asked)
    if isinstance(options["save"], Path):
        saved.save(world, found, options["save"])
    if isinstance(options["svg"], Path):
        saved.plot(world, found, options["svg"])
    if options["as_json"]:
        out.json(asdict(found))
    elif options["form"] and found.unit != result.TOKENS:
        raise InputError(f"--format {options['form']} is for tokens, and {name} gives {found.unit}")
    elif options["form"]:
        out.json(llama_benchy.report(found, version("dgx-sparkctl")))
    elif options["markdown"]:
        out.plain(result.markdown(found))
    else:
        bench_tables.show(out, found)
    if not any(level.requests for level in found.levels):
        raise NotReadyError(f"no request of {name} ended in order", hint=f"sparkctl status {name}")


def _sweep(session: Session, name: str, setting: str, asked: BenchProtocol, options: dict[str, object]) -> None:
    """Measure at each value, and print what was measured, however it ended."""
    found: list[tuple[str, Bench]] = []
    try:
        with session.out.reporting():
            sweep.sweep(session.world, name, setting, asked, lambda value, one: found.append((value, one)))
    finally:
        path = setting.partition("=")[0]
        if options["as_json"]:
            session.out.json([{"value": value, **asdict(one)} for value, one in found])
        else:
            bench_tables.show_sweep(session.out, path, found, markdown=bool(options["markdown"]))
        for value, note in ((value, note) for value, one in found for note in one.notes):
            session.out.warn(f"{path}={value}: {note}")


def _history(session: Session, names: Sequence[str], *, as_json: bool) -> None:
    if len(names) != 1:
        raise InputError("expected the name of one service", hint="sparkctl bench history NAME")
    found = saved.history(session.world, names[0])
    if as_json:
        session.out.json([asdict(one) for one in found])
    elif found:
        bench_tables.show_history(session.out, found)
    else:
        session.out.say(f"nothing of {names[0]} was measured yet: sparkctl bench {names[0]}")


def _compare(session: Session, names: Sequence[str], *, as_json: bool) -> None:
    if len(names) != 2:  # noqa: PLR2004
        raise InputError(f"--compare wants two, found {len(names)}", hint="sparkctl bench --compare A B")
    first, second = (saved.saved(session.world, name) for name in names)
    if as_json:
        session.out.json([asdict(first), asdict(second)])
    else:
        bench_tables.show_two(session.out, names, first, second)
