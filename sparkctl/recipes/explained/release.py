"""The effects of another release of vLLM, or another image, on a recipe: removals, changes, costs, fixes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.mods import placed
from sparkctl.recipes.explained.costs import ItemCost, differing
from sparkctl.recipes.explained.rendered import CommandPart, planned_server, rendered
from sparkctl.vllm import flags, releases
from sparkctl.vllm.known import defaults, pains
from sparkctl.world.docker_run.spelling import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from packaging.version import Version

    from sparkctl.base.declarations import Finding
    from sparkctl.mods.manifest import Mod
    from sparkctl.recipes.catalog import LoadedRecipe
    from sparkctl.recipes.explained.rendered import RenderedWord
    from sparkctl.recipes.service import Service
    from sparkctl.vllm.known.pains import Pain


_SHOWN_CHOICES: Final = 4
"""How many new choices are named: nobody has asked for any of them yet."""


class Side(NamedTuple):
    """A recipe as one release serves it. ``service`` is None if it cannot be planned; then ``why`` says why.

    ``mods`` are its mods by their names.
    """

    loaded: LoadedRecipe
    mods: Mapping[str, Mod]
    service: Service | None = None
    why: str | None = None

    @property
    def version(self) -> Version:
        """The release in the image."""
        return self.loaded.version.asked


class WordChange(NamedTuple):
    """A word of the command before and after, as it is written there; "" where it is not there."""

    before: str
    after: str


class MostHeld(NamedTuple):
    """The most bytes that a service holds once it serves, and at its peak, as admission counts it."""

    bound_bytes: int
    peak_bytes: int


class ReleaseChange(NamedTuple):
    """What a release changes for a recipe. All but ``words``, ``items``, ``before`` and ``after`` are sentences.

    ``gone`` is asked of the release after, and it does not have it; ``found`` was missing before. ``items`` are those
    of the estimate that differ. ``hurts`` is known to go wrong after and did not before, ``heals`` the other way.
    """

    before: Side
    after: Side
    gone: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    announced: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    words: tuple[WordChange, ...] = ()
    items: tuple[ItemCost, ...] = ()
    mods: tuple[str, ...] = ()
    hurts: tuple[Pain, ...] = ()
    heals: tuple[Pain, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def troubles(self) -> bool:
        """Whether something has to be done for the recipe: a flag or a mod does not fit, or something goes wrong."""
        return bool(self.gone or self.mods or self.hurts)


def compared(before: Side, after: Side) -> ReleaseChange:
    """Return what changes for a recipe between two releases; either may be the newer one."""
    known = ReleaseChange(
        before,
        after,
        gone=gone(before, after),
        found=gone(after, before),
        announced=tuple(_announced(after.loaded)),
        mods=(*misfits(before, after), *fixed(after.mods, before.version, after.version)),
        unknown=tuple(f"its memory cannot be planned: {why}" for why in dict.fromkeys([before.why, after.why]) if why),
    )
    if before.service is None or after.service is None:
        return known
    old, new = rendered(before.service.words), rendered(after.service.words)
    was, will = planned_server(before.service, old), planned_server(after.service, new)
    hurt, hurts = pains.of(was), pains.of(will)
    return known._replace(
        choices=tuple(_choices(new, before.loaded.version.version, after.loaded.version.version)),
        defaults=tuple(defaults.between(was, will)),
        words=tuple(_words(old, new)),
        items=tuple(differing(before.service.footprint.items, after.service.footprint.items)),
        hurts=tuple(pain for pain in hurts if pain not in hurt),
        heals=tuple(pain for pain in hurt if pain not in hurts),
    )


def held(side: Side) -> MostHeld | None:
    """Return what a side's service holds, None if it cannot be planned."""
    if side.service is None:
        return None
    return MostHeld(side.service.footprint.bound_bytes, side.service.footprint.peak_bound_bytes)


def gone(before: Side, after: Side) -> tuple[str, ...]:
    """Return in sentences what the recipe asks of the release after that it does not have, and the one before has."""
    there = {_saying(doubt, before) for doubt in _doubts(before)}
    return tuple(
        f"{doubt.message}; {doubt.hint}" if doubt.hint else doubt.message
        for doubt in _doubts(after)
        if _saying(doubt, after) not in there
    )


def _doubts(side: Side) -> list[Finding]:
    recipe = side.loaded.recipe
    return flags.doubts(recipe.args, recipe.env, recipe.backends, side.loaded.version.version)


def _saying(doubt: Finding, side: Side) -> tuple[object, str]:
    """Return what a doubt says without the release that it is about."""
    return doubt.path, doubt.message.replace(f"vLLM {side.loaded.version.version}", "vLLM", 1)


def misfits(before: Side, after: Side) -> tuple[str, ...]:
    """Return in sentences which mods are made for something else after, and were not before."""
    return tuple(text for text in _misfits(after) if text not in set(_misfits(before)))


def _misfits(side: Side) -> Iterator[str]:
    for name, mod in side.mods.items():
        yield from placed.misfits(name, mod, side.loaded.recipe.image, side.version)


def fixed(mods: Mapping[str, Mod], before: Version | None, after: Version | None) -> list[str]:
    """Return in sentences which mods are needed no more: what they mend is mended in the release after."""
    return [
        f"mod {name} is needed no more: vLLM {mod.fixed_in} has what it mends"
        for name, mod in mods.items()
        if mod.fixed_in is not None and _in(after, mod.fixed_in) and not _in(before, mod.fixed_in)
    ]


def _in(version: Version | None, versions: str) -> bool:
    return version is not None and releases.within(version, versions)


def _announced(loaded: LoadedRecipe) -> Iterator[str]:
    """Yield the variables that the release still reads, and says that a later one will not."""
    version = loaded.version.version
    for name in loaded.recipe.env:
        notice = flags.deprecation(name)
        if notice is not None and notice.since <= version and name in flags.variables_of(version):
            yield f"{name} is going to be removed ({notice.removal}); use {' or '.join(notice.use)}"


def _choices(words: Sequence[RenderedWord], before: Version, after: Version) -> Iterator[str]:
    """Yield which choices of the flags that are given come and go."""
    for name in dict.fromkeys(f"--{word.name}" for word in words if word.part is CommandPart.SERVER):
        old, new = flags.flags_of(before).get(name), flags.flags_of(after).get(name)
        if old is None or new is None or not old.choices or not new.choices:
            continue
        more = [one for one in new.choices if one not in old.choices]
        less = [one for one in old.choices if one not in new.choices]
        rest = len(more) - _SHOWN_CHOICES
        shown = ", ".join(more[:_SHOWN_CHOICES]) + (f" and {rest} more" if rest > 0 else "")
        told = [f"has {shown} too"] if more else []
        told += [f"has no {', '.join(less)} any more"] if less else []
        if told:
            yield f"{name} {'; '.join(told)}"


def _words(before: Sequence[RenderedWord], after: Sequence[RenderedWord]) -> Iterator[WordChange]:
    """Yield the words that differ; labels, which say what runs and decide nothing, are left out."""
    old, new = _by_name(before), _by_name(after)
    for name in dict.fromkeys([*old, *new]):
        left = [text for text in old.get(name, []) if text not in new.get(name, [])]
        right = [text for text in new.get(name, []) if text not in old.get(name, [])]
        count = max(len(left), len(right))
        left += [""] * (count - len(left))
        right += [""] * (count - len(right))
        yield from map(WordChange, left, right)


def _by_name(words: Sequence[RenderedWord]) -> dict[tuple[CommandPart, str], list[str]]:
    found: dict[tuple[CommandPart, str], list[str]] = {}
    for word in words:
        if word.part is not CommandPart.DOCKER or word.name != "label":
            found.setdefault((word.part, word.name), []).append(" ".join(map(quote, word.words)))
    return found
