"""``sparkctl verify-mods``: every mod on disk, in the image, in the running container."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import click

from sparkctl.base import units
from sparkctl.base.errors import EngineError, InputError, ModError
from sparkctl.cli.options import as_json
from sparkctl.mods import placed
from sparkctl.mods import verdicts as verification
from sparkctl.mods.verdicts import Meant
from sparkctl.operations import deployed as observing
from sparkctl.recipes import reading
from sparkctl.vllm import metrics
from sparkctl.world.spec import LABEL_MODS, LABEL_RECIPE, LABEL_URL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.mods.placed import MountedMod
    from sparkctl.mods.verdicts import ModVerdict
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container

_COLUMNS: Final = ("service", "mod", "file", "host", "image", "container", "verdict")


@click.command
@click.argument("names", nargs=-1, metavar="[NAME...]")
@as_json
@click.option("--watch", is_flag=True, help="Repeat, and report each change once.")
@click.option("--every", default="30s", show_default=True, metavar="TIME", help="How often --watch looks.")
@click.pass_obj
def command(session: Session, names: tuple[str, ...], *, as_json: bool, watch: bool, every: str) -> None:
    """Check every mod in three places: its source on disk, the file it covers in the image, the running container.

    Services that run and recipes that do not; all that have mods when none is named. Containers of the same images
    that sparkctl did not start are named. Exits 6 unless all hold.
    """
    session.world.refuse_elsewhere()
    if watch:
        _watch(session, names, _seconds(every), as_json=as_json)
        return
    verdicts = _verdicts(session, names)
    _show(session, verdicts, as_json=as_json)
    if not as_json:
        _drafts(session, verdicts)
    lost = sum(not verdict.holds for verdict in verdicts)
    if lost:
        raise ModError(f"{lost} of {len(verdicts)} files do not hold")


def _show(session: Session, verdicts: Sequence[ModVerdict], *, as_json: bool) -> None:
    if as_json:
        session.out.json([_row(verdict) for verdict in verdicts])
    elif verdicts:
        rows = [_row(verdict) for verdict in verdicts]
        session.out.table(_COLUMNS, [[str(row[column]) for column in _COLUMNS] for row in rows])
    else:
        session.out.say("no mods to verify")
    for reason in dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons):
        session.out.warn(reason)


def _drafts(session: Session, verdicts: Sequence[ModVerdict]) -> None:
    """Tell, for each service that drafts, what its mods are for: the acceptance since its server's start."""
    holds: dict[str, bool] = {}
    for verdict in verdicts:
        holds[verdict.service] = holds.get(verdict.service, True) and verdict.holds
    for name, hold in holds.items():
        container = observing.find(session.world.engine, name)
        if container is None or container.state != "running":
            continue
        reply = session.world.ports.http.get(
            f"{container.labels.get(LABEL_URL, '')}/metrics", key=session.world.api_key
        )
        drafting = metrics.parse(reply.body).drafting if reply.status == HTTPStatus.OK else None
        if drafting is None:
            continue
        word = "mods hold" if hold else "mods lost"
        if not drafting.enough:
            session.out.result(f"{name}: {word}, too few drafts for an acceptance ({drafting.drafted:,.0f} tokens)")
            continue
        session.out.result(f"{name}: {word}, acceptance {metrics.in_words(drafting)}")
        if hold and (drafting.overall or 0) < metrics.IN_VAIN:
            session.out.warn(f"{name} drafts in vain although its mods hold: is the fix in them? (vllm#41789)")


# --- again and again -------------------------------------------------------------------------------------------------


def _seconds(text: str) -> float:
    seconds = units.parse_duration(text)
    if seconds < 1:
        raise InputError(f"--every {text}: expected at least 1s", hint="each look asks the engine and every container")
    return seconds


def _watch(session: Session, names: Sequence[str], every_s: float, *, as_json: bool) -> None:
    """Look until the operator stops it; what has changed is told once, an engine that is gone among it."""
    before: dict[tuple[str, str], ModVerdict] | None = None
    silent = ""
    while True:
        try:
            now = {(verdict.service, verdict.mod.target): verdict for verdict in _verdicts(session, names, quiet=True)}
        except EngineError as error:
            if error.message != silent:
                session.out.warn(error.message)
            silent = error.message
        else:
            silent = ""
            if before is None and not as_json:
                _show(session, list(now.values()), as_json=False)
            else:
                _tell(session, before or {}, now, as_json=as_json)
            before = now
        session.world.ports.clock.sleep(every_s)


def _tell(
    session: Session,
    before: dict[tuple[str, str], ModVerdict],
    now: dict[tuple[str, str], ModVerdict],
    *,
    as_json: bool,
) -> None:
    at = datetime.now().astimezone().isoformat(timespec="seconds")
    for key in [*now, *(key for key in before if key not in now)]:
        old, new = before.get(key), now.get(key)
        was, word = (one.word if one is not None else "gone" for one in (old, new))
        why = new.reasons if new is not None else []
        if was == word and (old is None or new is None or old.reasons == why):
            continue
        verdict = new or old
        if as_json and verdict is not None:
            row = _row(verdict) | {"verdict": word, "was": None if old is None else was, "at": at, "reasons": why}
            session.out.raw(json.dumps(row, ensure_ascii=False))
        elif verdict is not None:
            told = f"{at}  {verdict.service}  {verdict.mod.mod}  {verdict.mod.name}: {was} → {word}"
            session.out.result(": ".join([told, *why]))


# --- what is verified ------------------------------------------------------------------------------------------------


def _verdicts(session: Session, names: Sequence[str], *, quiet: bool = False) -> list[ModVerdict]:
    """Return the verdicts of what is named, else of all that is deployed and all recipes that have mods."""
    meant = [one for name in names for one in _of(session, name, quiet=quiet)] if names else _all(session, quiet=quiet)
    found = [
        verdict for one in meant for verdict in verification.verify(session.world.engine, session.world.images, one)
    ]
    by_file = {(verdict.service, verdict.mod.target): verdict for verdict in found}
    for stranger in verification.outsiders(session.world.engine, meant):
        key = (stranger.service, stranger.mod.target)
        # One that has taken a service's name stands in its row, beside what its disk and its image are.
        by_file[key] = replace(by_file[key], container=stranger.container) if key in by_file else stranger
    return list(by_file.values())


def _all(session: Session, *, quiet: bool) -> list[Meant]:
    """Return all services; a recipe that cannot be used is told, and must not hide what the others are.

    What such a recipe's container runs is still checked, by its label.
    """
    found: list[Meant] = []
    deployed = observing.names(session.world.engine)
    for name in dict.fromkeys([*deployed, *(entry.name for entry in session.world.catalog.recipes())]):
        try:
            if name in deployed or session.world.catalog.recipe(name).recipe.mods:
                found += _of(session, name, quiet=quiet)
        except InputError as error:
            if not quiet:
                session.out.warn(f"{name} is not verified by its recipe, which cannot be used: {error.message}")
            found += _by_label(session, name) if name in deployed else []
    return found


def _of(session: Session, name: str, *, quiet: bool) -> list[Meant]:
    """Return what one name means: by its recipe or stack where there is one, else by its container's label."""
    if not session.world.catalog.knows(name):
        return _by_label(session, name)
    loader = session.world.loader(session.world.ports.models, session.world.images)
    located = loader.located([name], (), strict=False)
    services = loader.services(located)
    misfits = [misfit for one in located for misfit in reading.misfits(session.world.catalog, one.loaded)]
    for misfit in () if quiet else misfits:
        session.out.warn(str(misfit))
    return [_meant(session, service) for service in services]


def _meant(session: Session, service: Service) -> Meant:
    container = observing.find(session.world.engine, service.name)
    image = container.image if container is not None else service.spec.image
    model = service.recipe.model
    marks = tuple(filter(None, (model.repo, model.mount, service.recipe.serve.name)))
    return Meant(service.name, image, service.mods, marks)


def _by_label(session: Session, name: str) -> list[Meant]:
    """Return a deployed service by what its container says of itself."""
    container = observing.find(session.world.engine, name)
    if container is None:
        message = f"no service {name} is deployed, and no recipe has this name"
        raise InputError(message, hint="sparkctl ps lists the services, sparkctl recipes the recipes")
    declared = placed.from_label(container.labels.get(LABEL_MODS, ""))
    known = {(mod.mod, mod.target): mod for mod in _of_recipe(session, name, container)}
    found = [known.get((mod.mod, mod.target), mod) for mod in declared]
    return [Meant(name, container.image, found)]


def _of_recipe(session: Session, name: str, container: Container) -> tuple[MountedMod, ...]:
    """Return the mods of the recipe that a stack's container was made from; () when it is gone or cannot be used."""
    recipe = container.labels.get(LABEL_RECIPE, "")
    if recipe == name or recipe not in {entry.name for entry in session.world.catalog.recipes()}:
        return ()
    try:
        loader = session.world.loader(session.world.ports.models, session.world.images)
        (service,) = loader.services(loader.located([recipe], (), strict=False))
    except InputError as error:
        session.out.warn(f"{name} is verified by its label alone: {recipe} cannot be used: {error.message}")
        return ()
    return service.mods


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
