"""A set that does not fit: the ways to fit as commands to paste, and what is asked for when one of them is taken."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.planning.running import job_named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sparkctl.planning.plan import Plan, Wanted
    from sparkctl.planning.ways import Way
    from sparkctl.recipes.catalog import Catalog
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.service import Service
    from sparkctl.world.labels import ServiceLabels

_NOWHERE: Final = "no smaller setting and no service less makes it fit"


class AskedSet(NamedTuple):
    """What is asked for: recipes and stacks by ``names``, and ``overrides`` (PATH=VALUE, NAME:PATH=VALUE) over them.

    ``strict`` makes a flag that a recipe's vLLM does not have an error; ``replace`` stops and starts again what runs
    but differs from its recipe; ``keep`` leaves a container that failed; ``named`` is the name of the one service in
    place of its recipe's. ``more`` are further options of `up`, and ``before`` those of sparkctl itself, for the
    commands that are offered.
    """

    names: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    strict: bool = False
    replace: bool = False
    keep: bool = False
    named: str | None = None
    more: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def up(self) -> str:
        """The command that starts it, to paste."""
        sets = [word for override in self.overrides for word in ("--set", override)]
        switches = {"--strict": self.strict, "--replace": self.replace, "--keep": self.keep}
        given = [switch for switch, on in switches.items() if on]
        named = [] if self.named is None else ["--as", self.named]
        return shlex.join(["sparkctl", *self.before, "up", *self.names, *named, *sets, *given, *self.more])

    def reserve_bytes(self, catalog: Catalog) -> int | None:
        """Return what its stacks want to be kept free of the host's memory, the most; None where none says it.

        Raises:
            InputError: a name that is none, or something is wrong with a stack.
        """
        given = [_reserve(catalog, name) for name in self.names]
        return max((reserve for reserve in given if reserve is not None), default=None)

    def located(self, loader: Loader) -> list[Located]:
        """Return the recipes that are meant, and where their models are.

        Raises:
            InputError: as for ``Loader.located``.
        """
        return loader.located(self.names, self.overrides, strict=self.strict, named=self.named)


_SMALLER: Final = frozenset(
    {
        "args.kv-cache-dtype",
        "args.language-model-only",
        "gpus",
        "limits.context",
        "limits.multimodal",
        "limits.sequences",
        "memory",
    }
)
"""What a way to fit changes (``planning.ways``, ``recipes.smaller``)."""


def as_fitted(by: AskedSet, services: Sequence[Service], recorded: Mapping[str, ServiceLabels]) -> AskedSet:
    """Return what is asked for with the smaller settings that services run with which a way to fit may have given.

    ``recorded`` is what the services that run say of themselves. One that differs in more is left as it is asked for.
    """
    more: list[str] = []
    for service in services:
        record, laid = recorded.get(service.name), service.record.laid_over
        if record is None or record.laid_over is None or laid is None or record.digest == service.digest:
            continue
        now, then = (dict(map(_parts, one.overrides)) for one in (laid, record.laid_over))
        other = [path for path in {**now, **then} if now.get(path) != then.get(path)]
        if record.recipe == service.record.recipe and all(path in then and path in _SMALLER for path in other):
            more += [f"{service.name}:{path}={then[path]}" for path in other]
    return by._replace(overrides=(*by.overrides, *more))


def _reserve(catalog: Catalog, name: str) -> int | None:
    """Return what a stack wants to be kept free, or that of a service."""
    stack = name if catalog.knows_stack(name) else name.rpartition(":")[0] or catalog.members(name)[0].stack
    return catalog.stack(stack).stack.host.reserve if stack else None


def _parts(override: str) -> tuple[str, str]:
    path, _, value = override.partition("=")
    return path.strip(), value


def first(plan: Plan) -> Way | None:
    """Return the first way that changes the requested services alone, None where there is none.

    Every other stops or leaves out a service, downloads a model, or needs root.
    """
    return next((way for way in plan.ways if way.only_requested), None)


def taken(way: Way, wanted: Sequence[Wanted], by: AskedSet) -> AskedSet:
    """Return what to ask for in place of what was asked, for the set to fit."""
    asked = {one.name: one.asked or one.name for one in wanted}
    staying = [one.name for one in wanted if one.name not in way.without]
    renamed = {name: variant.recipe for name, variant in way.recipes.items()}
    new = [(name, override) for name, variant in way.recipes.items() for override in variant.overrides]
    new += [(name, override) for name, change in way.changes.items() for override in change.overrides]
    laid = {(name, _path(override)) for name, override in new}
    kept = [_for_other(one, renamed) for one in by.overrides if not _is_replaced(one, staying, laid)]
    alone = len(staying) == 1
    new = [(renamed.get(name, name), override) for name, override in new]
    fetched = any(variant.missing for variant in way.recipes.values())
    more = [*(["--drop-caches"] if way.drop_cache else []), *(["--download"] if fetched else [])]
    return by._replace(
        names=tuple(word for name in by.names for word in _words(name, asked, staying, renamed)),
        overrides=(*kept, *(override if alone else f"{name}:{override}" for name, override in new)),
        more=(*by.more, *more),
    )


def command(way: Way, wanted: Sequence[Wanted], by: AskedSet) -> str:
    """Return the one command that makes the set fit, to paste."""
    return " && ".join([*stopping(way.stops, by.before), taken(way, wanted, by).up])


def stopping(names: Sequence[str], before: Sequence[str] = ()) -> list[str]:
    """Return the commands that stop services, and jobs as a plan calls them; ``before`` are sparkctl's own options."""
    jobs = [job for name in names if (job := job_named(name)) is not None]
    services = [name for name in names if job_named(name) is None]
    found = [["down", *services]] if services else []
    return [shlex.join(["sparkctl", *before, *words]) for words in [*found, *(["job", "stop", job] for job in jobs)]]


def reasons(plan: Plan, wanted: Sequence[Wanted], by: AskedSet) -> Iterator[str]:
    """Yield why a set does not fit, and each way to fit with its command."""
    yield from plan.reasons
    for way in plan.ways:
        yield f"it fits {way.words}:"
        yield f"    {command(way, wanted, by)}"
    if not plan.ways:
        yield _NOWHERE


def _words(name: str, asked: Mapping[str, str], staying: Sequence[str], renamed: Mapping[str, str]) -> Iterator[str]:
    """Yield what stands in place of a name: itself, another recipe, or of a stack the services that stay."""
    meant = [service for service, typed in asked.items() if typed == name]
    kept = [service for service in meant if service in staying]
    if len(kept) == len(meant):
        yield from ([renamed.get(kept[0], name)] if len(kept) == 1 else [name])
    else:
        yield from (f"{name}:{service}" for service in kept)


def _path(override: str) -> str:
    return _parts(override)[0]


def _is_replaced(override: str, staying: Sequence[str], laid: Collection[tuple[str, str]]) -> bool:
    """Return whether an override has nothing to say any more: its services are left out, or get another value."""
    name, colon, path = _path(override).rpartition(":")
    meant = [name] if colon else staying
    return all(service not in staying or (service, path) in laid for service in meant)


def _for_other(override: str, renamed: Mapping[str, str]) -> str:
    """Return an override for the recipe that is taken in place of its service's."""
    name, colon, rest = override.partition(":")
    return f"{renamed[name]}:{rest}" if colon and name in renamed else override
