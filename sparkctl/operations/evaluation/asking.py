"""Runs lm-eval in its container: admitted, started, watched, and removed; what it wrote is read when it has ended."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from sparkctl.base.errors import DoesNotFitError, EngineError, InputError, JobError, NotReadyError
from sparkctl.base.shown import plain
from sparkctl.base.units import format_bytes, format_duration
from sparkctl.operations.changes import locked
from sparkctl.operations.evaluation import failures, outputs
from sparkctl.operations.evaluation import order as orders
from sparkctl.operations.jobs import ordered
from sparkctl.operations.jobs.runs.said import Said
from sparkctl.operations.planner import planner
from sparkctl.planning.admission import Wanted
from sparkctl.planning.plan import make_plan
from sparkctl.world.labels import ServiceLabels
from sparkctl.world.throwaway import throwaway

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.evaluation.order import AskedModel, AskOrder
    from sparkctl.operations.evaluation.outputs import Written
    from sparkctl.operations.evaluation.suite_files import LoadedSuite
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Products

PURPOSE: Final = "evaluate"
"""The purpose, in their labels, of its containers."""
_LOOK_S: Final = 0.5
_SERVICE_S: Final = 5.0
"""Between two looks whether the service that is asked still runs."""
_LAST_LINES: Final = 60
_SHOWN_LINES: Final = 8
_REFUSED: Final = 2
"""The exit code of the script where it knows what is wrong; its last line says it."""
_PHASES: Final = {
    "": "starting lm-eval",
    "import": "starting lm-eval",
    "load": "loading the tasks",
    "tasks": "loading the tasks",
    "ask": "asking",
    "done": "done",
}
"""The phases of the script, in words."""
_ERROR: Final = re.compile(r"^error: (.*)")


class AskRun(NamedTuple):
    """The subject of a run of lm-eval: a service's container; () and None: the tasks are only loaded."""

    loaded: LoadedSuite
    image: str
    folder: Path
    server: AskedModel | None = None
    serving: str = ""
    service: str = ""
    network: bool = False
    again: bool = False


def loaded_tasks(world: World, run: AskRun) -> None:
    """Load the tasks in a container that asks nothing: what they need is there, or this says what is missing.

    Raises:
        InputError: the data of a task is not here, or it is no task of lm-eval.
        DoesNotFitError, EngineError, JobError: lm-eval cannot be run.
    """
    world.report.progress(run.loaded.name, "loading the tasks", "")
    _run(world, run)


def asked(world: World, run: AskRun) -> Written:
    """Ask a service that serves, and return what lm-eval wrote. What is answered already is not asked again.

    Raises:
        NotReadyError: the service ended meanwhile; what it had answered is kept.
        JobError: lm-eval failed; its last lines.
        InputError: what it wrote cannot be read.
        DoesNotFitError, EngineError: lm-eval cannot be run.
    """
    _run(world, run)
    products = _products(world)
    found = [one for one in products.files(run.folder) if one.kind == "file" and _is_results(one.name)]
    if not found:
        raise JobError(f"{run.service}: lm-eval ended well and wrote no results in {run.folder}")
    newest = max(found, key=lambda one: one.name.rpartition("/")[2])
    links = [one.name for one in products.files(run.folder / "results") if one.kind not in {"file", "folder"}]
    if links:
        raise JobError(f"{run.service}: lm-eval wrote something else than files: {links[0]}")
    return outputs.read(run.folder / newest.name, list(run.loaded.suite.tasks))


def _is_results(name: str) -> bool:
    return re.fullmatch(r"results/[^/]+/results_[^/]+\.json", name) is not None


def _products(world: World) -> Products:
    products = world.ports.products
    if products is None:
        raise EngineError("a simulated engine runs no images: lm-eval cannot be run in it")
    return products


def _run(world: World, run: AskRun) -> None:
    """Run the script to its end; its container is gone then, whatever happens."""
    spec = orders.spec(_ordered(world, run))
    with ExitStack() as work:
        with locked(world.ports, world.report):
            _refuse_no_room(world)
            container = work.enter_context(throwaway(world.engine, spec, PURPOSE, world.ports.locks.me))
            world.engine.start(container)
        _watched(world, run, container)


def _refuse_no_room(world: World) -> None:
    """Refuse to start lm-eval where its own memory is not free beside what runs."""
    now, size = planner(world).now, orders.CLAIM_BYTES
    wanted = Wanted(PURPOSE, PURPOSE, "", size, size, parts=f"{format_bytes(size)} for lm-eval itself")
    plan = make_plan([wanted], now.running(), now.pool(), replace=False)
    if not plan.fits:
        message = "\n".join(["no room for lm-eval beside what runs:", *plan.reasons])
        raise DoesNotFitError(message, hint="stop a service that is not evaluated: sparkctl ps, sparkctl down NAME")


def _watched(world: World, run: AskRun, container: str) -> None:
    """Wait for the end of lm-eval, and refuse one that did not end well."""
    clock, said, name = world.ports.clock, Said(), run.service or run.loaded.name
    began = looked = clock.monotonic()
    tail = world.engine.follow(container)
    try:
        while True:
            now = world.engine.container(container)
            said.read(tail.read())
            if now is None:
                raise EngineError("the container of lm-eval was removed by somebody else")
            if now.state in {"exited", "dead"}:
                _refuse_failure(world, run, now)
                return
            if clock.monotonic() - looked >= _SERVICE_S:
                looked = clock.monotonic()
                _refuse_ended(world, run)
            took = format_duration(clock.monotonic() - began)
            world.report.progress(name, _PHASES.get(said.phase, said.phase), f"{took}  {said.tail}", said.fraction)
            clock.sleep(_LOOK_S)
    finally:
        tail.close()


def _refuse_ended(world: World, run: AskRun) -> None:
    """Refuse to go on where the service that is asked does not run any more.

    Raises:
        NotReadyError: it does not.
    """
    if not run.serving:
        return
    now = world.engine.container(run.serving)
    if now is not None and now.state == "running":
        return
    how = "its container was removed" if now is None else f"its container is {now.state}, exit code {now.exit_code}"
    killed = now is not None and now.oom_killed
    message = f"{run.service} ended while it was asked: {how}{', out of memory' if killed else ''}"
    hint = f"what it answered is kept: find the cause (sparkctl logs {run.service}), and evaluate again"
    raise NotReadyError(message, hint=f"{hint}; only the missing questions are asked")


def _refuse_failure(world: World, run: AskRun, ended: Container) -> None:
    lines = [plain(line) for line in world.engine.logs(ended.id, tail=_LAST_LINES)]
    if ended.exit_code == 0 and any('"phase": "done"' in line for line in lines[-_SHOWN_LINES:]):
        return
    _refuse_ended(world, run)
    name = run.service or run.loaded.name
    own = next((found[1] for line in reversed(lines) if (found := _ERROR.match(line))), None)
    if ended.exit_code == _REFUSED and own is not None:
        raise InputError(f"{run.loaded.name}: {own}", hint=failures.hint_of(own))
    if ended.oom_killed:
        message = f"{name}: lm-eval was killed: it needs more than {format_bytes(orders.MEMORY_BYTES)} of memory"
        raise JobError(message, hint="ask fewer questions: questions: in the suite")
    cause = failures.explained(lines)
    shown = "" if cause is not None else "".join(f"\n  {line}" for line in _telling(lines))
    message = f"{name}: lm-eval ended with exit code {ended.exit_code}{f': {cause.text}' if cause else shown}"
    hint = cause.hint if cause is not None else "what was answered is kept: evaluate again asks only what is missing"
    raise JobError(message, hint=hint)


def _telling(lines: Sequence[str]) -> Iterator[str]:
    """Yield the last lines that say something: no bars."""
    yield from [line for line in lines if line.strip() and "%|" not in line][-_SHOWN_LINES:]


def _ordered(world: World, run: AskRun) -> AskOrder:
    """Return the order, for which everything lies ready."""
    products, operator = _products(world), world.operator
    uid, gid = ordered.user(products.me)
    code = ordered.stage(world, run.loaded.script)
    files = {file.target: folder(operator.state) / "files" / file.md5 for file in run.loaded.files}
    for file in run.loaded.files:
        _staged(world, files[file.target], file.content)
    cache = folder(operator.state) / "cache"
    for own in (run.folder, cache):
        if not products.lies_there(own):
            products.make(own, (uid, gid))
    claim = ServiceLabels(claim_bytes=orders.CLAIM_BYTES, peak_bytes=orders.CLAIM_BYTES)
    return orders.AskOrder(
        loaded=run.loaded,
        image=run.image,
        container=f"sparkctl-{PURPOSE}-{uuid4().hex[:12]}",
        user=f"{uid}:{gid}",
        code=code,
        files=files,
        output=run.folder,
        cache=cache,
        labels=claim.to_labels(),
        server=run.server,
        network=run.network,
        again=run.again,
    )


def _staged(world: World, path: Path, content: bytes) -> None:
    """Make the copy that containers mount; one that is there stays, as lm-eval tells data by the time of its file."""
    if world.files.content(path) != content:
        world.files.write(path, content, mode=0o644)


def folder(state: Path) -> Path:
    """Return the folder in which evaluations are kept."""
    return state / "evaluations"
