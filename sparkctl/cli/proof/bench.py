"""``sparkctl bench``: how fast a service writes, counted by its server, kept, compared and shared."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from pydantic import TypeAdapter, ValidationError

from sparkctl.base.errors import InputError, NotReadyError
from sparkctl.cli.options import as_json
from sparkctl.operations.bench import llama_benchy, result, rounds, sweep
from sparkctl.operations.bench.result import Bench
from sparkctl.operations.bench.service import BenchProtocol, described, kept, measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session

HISTORY: Final = "history"
BENCHY: Final = "llama-benchy"
_SAVED: Final = TypeAdapter(Bench)


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
    asked = _asked(options)
    _refuse_together(names, options)
    if options["compare"]:
        _compare(session, names, as_json=bool(options["as_json"]))
    elif names[0] == HISTORY:
        _history(session, names[1:], as_json=bool(options["as_json"]))
    elif len(names) > 1:
        raise InputError(f"expected one service, found {len(names)}", hint="--compare A B compares two")
    elif options["sweep"]:
        form = "json" if options["as_json"] else "markdown" if options["markdown"] else "table"
        _sweep(session, names[0], str(options["sweep"]), asked, form)
    else:
        _one(session, names[0], asked, options)


def _refuse_together(names: tuple[str, ...], options: dict[str, object]) -> None:
    """Refuse options that would be ignored.

    Raises:
        InputError: two of them that do not go together.
    """
    one = {"--markdown": "markdown", "--format": "form", "--svg": "svg", "--save": "save"}
    given = [option for option, name in one.items() if options[name]]
    printed = [option for option in given if option in {"--markdown", "--format"}]
    printed += ["--json"] if options["as_json"] else []
    if len(printed) > 1:
        raise InputError(f"{' and '.join(printed)} do not go together: each prints all that is printed")
    modes = [mode for mode in ("--compare", "--sweep") if options[mode.removeprefix("--")]]
    modes += ["history"] if names[0] == HISTORY else []
    refused = [option for option in given if not (modes == ["--sweep"] and option == "--markdown")]
    if modes and (refused or len(modes) > 1):
        raise InputError(f"{' and '.join([*modes, *refused])} do not go together", hint="sparkctl bench --help")


def _asked(options: dict[str, object]) -> BenchProtocol:
    """Return the protocol.

    Raises:
        InputError: prompts that cannot be read, or a concurrency that is none.
    """
    try:
        at_once = tuple(int(text) for text in str(options["concurrency"]).split(","))
    except ValueError:
        at_once = (0,)
    if any(not 1 <= count <= 1024 for count in at_once):  # noqa: PLR2004
        raise InputError(
            f"--concurrency {options['concurrency']}: expected counts from 1 to 1024", hint="such as 1,3,8"
        )
    prompts = _prompts(options["prompts"]) if isinstance(options["prompts"], Path) else rounds.prompts()
    length = options["input_tokens"]
    asked = BenchProtocol(prompts, int(str(options["tokens"])), int(str(options["rounds"])), at_once)
    return asked._replace(input_tokens=length) if isinstance(length, int) else asked


def _prompts(path: Path) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the prompts in {path}: {error}") from None
    found = tuple(line for line in lines if line)
    if not found:
        raise InputError(f"{path} has no prompts", hint="one prompt a line")
    return found


def _one(session: Session, name: str, asked: BenchProtocol, options: dict[str, object]) -> None:
    session.world.refuse_elsewhere()
    service = described(session.world, name)
    with session.out.reporting():
        found = measured(session.world, service, asked)
    kept(session.world, found)
    if isinstance(options["save"], Path):
        session.world.files.write(options["save"].absolute(), _SAVED.dump_json(found, indent=1), mode=0o644)
    if isinstance(options["svg"], Path):
        session.world.files.write(options["svg"].absolute(), result.svg(found).encode(), mode=0o644)
    if options["as_json"]:
        session.out.json(asdict(found))
    elif options["form"]:
        session.out.json(llama_benchy.report(found, version("dgx-sparkctl")))
    elif options["markdown"]:
        session.out.raw(result.markdown(found))
    else:
        _show(session, found)
    if not any(level.requests for level in found.levels):
        raise NotReadyError(f"no request of {name} ended in order", hint=f"sparkctl status {name}")


def _show(session: Session, found: Bench) -> None:
    session.out.table(list(result.HEADERS), result.rows(found))
    chunks = max((level.tokens_per_chunk for level in found.levels), default=1.0)
    if chunks > 1.05:  # noqa: PLR2004
        session.out.result(f"between: of chunks, which hold up to {chunks:.1f} tokens each")
    if found.acceptance:
        shares = " ".join(f"{100 * share:.0f} %" for share in found.acceptance)
        session.out.result(f"drafts accepted by position: {shares}")
    for text in (result.beside_expected(found), result.beside_roofline(found)):
        if text:
            session.out.result(text)
    for note in found.notes:
        session.out.warn(note)


def _sweep(session: Session, name: str, setting: str, asked: BenchProtocol, form: str) -> None:
    """Measure at each value, and print what was measured, however it ended; ``form`` is table, json or markdown."""
    found: list[tuple[str, Bench]] = []
    try:
        with session.out.reporting():
            sweep.sweep(session.world, name, setting, asked, lambda value, one: found.append((value, one)))
    finally:
        path = setting.partition("=")[0]
        headers = [path, "tok/s", "acceptance", "position 0"]
        if form == "json":
            session.out.json([{"value": value, **asdict(one)} for value, one in found])
        elif form == "markdown":
            session.out.raw("\n".join(result.markdown_table(headers, _sweep_rows(found))))
        elif found:
            session.out.table(headers, _sweep_rows(found))
        for value, note in ((value, note) for value, one in found for note in one.notes):
            session.out.warn(f"{path}={value}: {note}")


def _sweep_rows(found: Sequence[tuple[str, Bench]]) -> list[list[str]]:
    return [
        [
            value,
            "?" if one.single is None else f"{one.single:.1f}",
            "-" if one.acceptance_overall is None else f"{one.acceptance_overall:.0%}",
            f"{one.acceptance[0]:.0%}" if one.acceptance else "-",
        ]
        for value, one in found
    ]


# --- earlier ones ----------------------------------------------------------------------------------------------------


def _history(session: Session, names: Sequence[str], *, as_json: bool) -> None:
    if len(names) != 1:
        raise InputError("expected the name of one service", hint="sparkctl bench history NAME")
    found = session.world.records.benches(names[0])
    if as_json:
        session.out.json([asdict(one) for one in found])
        return
    if not found:
        session.out.say(f"nothing of {names[0]} was measured yet: sparkctl bench {names[0]}")
        return
    rows = [[_day(one), one.image, one.vllm, str(one.max_tokens), *_speeds(one)] for one in found]
    session.out.table(["when", "image", "vllm", "tokens", "tok/s one at a time", "most tok/s in sum"], rows)


def _day(bench: Bench) -> str:
    return datetime.fromtimestamp(bench.at, tz=UTC).strftime("%Y-%m-%d %H:%M")


def _speeds(bench: Bench) -> list[str]:
    most = max((level.together for level in bench.levels), default=0.0)
    return ["?" if bench.single is None else f"{bench.single:.1f}", f"{most:.1f}"]


def _compare(session: Session, names: Sequence[str], *, as_json: bool) -> None:
    if len(names) != 2:  # noqa: PLR2004
        raise InputError(f"--compare wants two, found {len(names)}", hint="sparkctl bench --compare A B")
    first, second = (_saved(session, name) for name in names)
    levels = [(one, other) for one in first.levels for other in second.levels if one.concurrency == other.concurrency]
    if as_json:
        session.out.json([asdict(first), asdict(second)])
        return
    rows = [
        [
            str(one.concurrency),
            f"{one.per_request:.1f}",
            f"{other.per_request:.1f}",
            f"{other.per_request / one.per_request - 1:+.0%}" if one.per_request else "?",
            f"{one.first_s * 1000:.0f} ms",
            f"{other.first_s * 1000:.0f} ms",
        ]
        for one, other in levels
    ]
    session.out.table(["at once", names[0], names[1], "difference", "first token", "first token"], rows)
    if first.max_tokens != second.max_tokens:
        session.out.warn(f"not the same protocol: {first.max_tokens} and {second.max_tokens} tokens a request")


def _saved(session: Session, name: str) -> Bench:
    """Return a saved file's result, or the last one of a service."""
    path = Path(name)
    if path.suffix == ".json":
        try:
            return _SAVED.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no result of `sparkctl bench --save`"
            raise InputError(f"cannot read {path}: {reason}") from None
    found = session.world.records.benches(name)
    if not found:
        raise InputError(f"nothing of {name} was measured yet", hint=f"sparkctl bench {name}")
    return found[-1]
