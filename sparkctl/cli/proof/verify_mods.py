"""``sparkctl verify-mods``: every mod on disk, in the image, in the running container."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from sparkctl.base import units
from sparkctl.base.errors import InputError, ModError
from sparkctl.cli.options import as_json, several
from sparkctl.operations.mods import verify
from sparkctl.vllm import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.cli.session import Session
    from sparkctl.mods.verdicts import ModVerdict
    from sparkctl.operations.mods.verify import ChangedVerdict, Watched

_COLUMNS: Final = ("service", "mod", "file", "host", "image", "container", "verdict")


@click.command
@several
@as_json
@click.option("--all", "everything", is_flag=True, help="Judge recipes that do not run, too.")
@click.option("--watch", is_flag=True, help="Repeat, and report each change once.")
@click.option("--every", default="30s", show_default=True, metavar="TIME", help="How often --watch looks.")
@click.pass_obj
def command(
    session: Session, names: tuple[str, ...], *, as_json: bool, everything: bool, watch: bool, every: str
) -> None:
    """Check every mod in three places: its source on disk, the file it covers in the image, the running container.

    What is named, running or not; else what runs, and what is wrong with recipes that do not is a warning unless --all.
    Containers of the same images that sparkctl did not start are named. Exits 6 unless all that is judged holds.
    """
    if names and everything:
        raise click.UsageError("name the services, or say --all")
    if watch:
        looks = verify.watch(session.world, names, _seconds(every), everything=everything)
        _watch(session, looks, as_json=as_json)
        return
    verdicts = verify.verify_mods(session.world, names, everything=everything)
    if as_json:
        session.out.json([_row(verdict) for verdict in verdicts])
    else:
        _show(session, verdicts)
    _warn(session, verdicts)
    if not as_json:
        _show_drafting(session, verdicts)
    lost = sum(not verdict.holds for verdict in verdicts)
    if lost:
        raise ModError(f"{lost} of {len(verdicts)} files do not hold")


def _show(session: Session, verdicts: Sequence[ModVerdict]) -> None:
    rows = [_row(verdict) for verdict in verdicts]
    if rows:
        session.out.table(_COLUMNS, [[str(row[column]) for column in _COLUMNS] for row in rows])
    else:
        session.out.say("no mods to verify: nothing that is judged has any")


def _warn(session: Session, verdicts: Sequence[ModVerdict]) -> None:
    for reason in dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons):
        session.out.warn(reason)


def _show_drafting(session: Session, verdicts: Sequence[ModVerdict]) -> None:
    for one in verify.drafting(session.world, verdicts):
        word = "mods hold" if one.holds else "mods lost"
        if not one.counts.enough:
            text = f"{one.service}: {word}, too few drafts for an acceptance ({one.counts.drafted:,.0f} tokens)"
            session.out.result(text)
            continue
        session.out.result(f"{one.service}: {word}, acceptance {metrics.in_words(one.counts)}")
        if one.holds and (one.counts.overall or 0) < metrics.IN_VAIN:
            text = f"{one.service} drafts in vain although its mods hold: is the fix in them? (vllm#41789)"
            session.out.warn(text)


def _seconds(text: str) -> float:
    seconds = units.parse_duration(text)
    if seconds < 1:
        raise InputError(f"--every {text}: expected at least 1s", hint="each look asks the engine and every container")
    return seconds


def _watch(session: Session, looks: Iterable[Watched], *, as_json: bool) -> None:
    """Show the first look, then what has changed, until the operator stops it. JSON is a line for each change."""
    for number, look in enumerate(looks):
        if number == 0 and not as_json:
            _show(session, look.verdicts)
            _warn(session, look.verdicts)
            continue
        at = datetime.now().astimezone().isoformat(timespec="seconds")
        for change in look.changed:
            _tell(session, change, at, as_json=as_json)


def _tell(session: Session, change: ChangedVerdict, at: str, *, as_json: bool) -> None:
    verdict = change.verdict
    if as_json:
        row = _row(verdict) | {"verdict": change.now, "was": change.was, "at": at, "reasons": change.reasons}
        session.out.json(row, indent=None)
    else:
        was = "gone" if change.was is None else change.was
        told = f"{at}  {verdict.service}  {verdict.mod.mod}  {verdict.mod.name}: {was} → {change.now}"
        session.out.result(": ".join([told, *change.reasons]))


def _row(verdict: ModVerdict) -> dict[str, object]:
    return {
        "service": verdict.service,
        "mod": verdict.mod.mod,
        "file": verdict.mod.name,
        "host": verdict.host.state,
        "image": verdict.image.state,
        "container": verdict.container.state,
        "md5": verdict.mod.md5,
        "verdict": verdict.word,
    }
