"""What an upgrade of a stack would change, before anything is pulled: images, vLLM, memory, flags, mods, models."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import Version

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.validation import nearest
from sparkctl.operations.explained.release_side import side
from sparkctl.operations.stack.lock import stack_lock as locking
from sparkctl.operations.stack.lock.behind import Offers, locked_files, own_digests, repository
from sparkctl.recipes.explained import release
from sparkctl.recipes.explained.release import Side
from sparkctl.vllm import flags, image_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack.lock.stack_lock import WrittenLock
    from sparkctl.planning.box.lock_file import LockedModel, LockedService, StackLock
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.service import Source
    from sparkctl.world.host import ModelRecord

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_PROCESSORS: Final = {"aarch64": "arm64", "x86_64": "amd64"}
"""Processors as registries write them, by the kernel's words."""
PULL: Final = "not known before it is pulled"


class UpgradeSide(NamedTuple):
    """A service before or after an upgrade, None where it is not known. Sizes are in bytes: the most, as admission has.

    ``digest`` is the image's in its registry, ``model`` and ``draft`` are commits.
    """

    image: str
    digest: str | None
    vllm: str | None
    steady_bytes: int | None = None
    peak_bytes: int | None = None
    model: str | None = None
    draft: str | None = None


class ServiceUpgrade(NamedTuple):
    """What an upgrade would change of one service.

    ``flags`` and ``mods`` are sentences: what is asked of the vLLM before and is gone or renamed after, and which mods
    fit no more. ``unknown`` says what could not be learnt, and why.
    """

    service: str
    before: UpgradeSide
    after: UpgradeSide
    flags: tuple[str, ...] = ()
    mods: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything would be another one: an image, a vLLM, or a model."""
        before, after = self.before, self.after
        pairs = ((one.image, one.digest, one.vllm, one.model, one.draft) for one in (before, after))
        return len(set(pairs)) > 1


class Upgraded(NamedTuple):
    """What an upgrade would change, by service, and the lock that it would be."""

    services: tuple[ServiceUpgrade, ...]
    lock: StackLock

    @property
    def changes(self) -> bool:
        """Whether anything would be another one."""
        return any(one.changes for one in self.services)


def upgrade(world: World, name: str, services: Sequence[str] = (), overrides: Sequence[str] = ()) -> Upgraded:
    """Return what an upgrade would change of a locked stack, or of some of its services. Nothing is pulled or written.

    ``overrides`` are laid over the recipes for what comes after: ``image=…``, ``vllm="0.32"``.

    Raises:
        InputError: no such stack or service, or no lock of it that can be used here.
        EngineError: the engine does not answer.
    """
    stack = locking.stack_of(world, name)
    lock = locking.read(world, stack)
    wanted = services or [member.service for member in stack.members if member.service in lock.services]
    for one in wanted:
        _refuse_unlocked(one, lock, stack.name)
    loader = world.loader(world.ports.models, world.known_images)
    now = {one.member.service: one for one in loader.located([name], (), strict=False)}
    then = {one.member.service: one for one in loader.located([name], overrides, strict=False)}
    gone = [one for one in wanted if one not in now]
    if gone:
        raise InputError(f"{gone[0]} is locked, and no service of {stack.name} any more", hint=f"sparkctl lock {name}")
    asker = _Asker(world, name, tuple(overrides), lock.host.processor)
    found = {one: asker.service(one, lock.services[one], now[one], then[one]) for one in wanted}
    after = {one: lock.services[one] if one not in found else found[one][1] for one in lock.services}
    return Upgraded(tuple(each for each, _ in found.values()), lock.model_copy(update={"services": after}))


def accept(world: World, name: str, upgraded: Upgraded) -> WrittenLock:
    """Write the lock that an upgrade would be; nothing is pulled, so what is here differs until it is.

    Raises:
        InputError: it cannot be written.
    """
    return locking.write(world, locking.stack_of(world, name), upgraded.lock)


def _refuse_unlocked(service: str, lock: StackLock, stack: str) -> None:
    if service not in lock.services:
        close = nearest(service, lock.services)
        hint = f"did you mean {close}?" if close else f"it has {', '.join(sorted(lock.services))}"
        raise InputError(f"the lock of {stack} has no service {service}", hint=hint)


class _Asker:
    """Asks registries and the hub, and plans with other releases; each problem is told once, as ``unknown``."""

    def __init__(self, world: World, stack: str, overrides: tuple[str, ...], processor: str) -> None:
        self._world = world
        self._offers = Offers(world)
        self._processor = processor
        self._stack = stack
        self._overrides = overrides

    def service(
        self, name: str, locked: LockedService, now: Located, then: Located
    ) -> tuple[ServiceUpgrade, LockedService]:
        """Return what would change of a service, and how it would be locked."""
        unknown: list[str] = []
        reference = then.loaded.recipe.image
        digest = self._digest(reference, unknown)
        same = locked.image.reference == reference and (digest is None or digest == locked.image.digest)
        vllm = self._vllm(locked, now, then, None if same else digest)
        known = same or vllm is not None
        if not known:
            unknown.append(f"the vLLM of {reference} is {PULL}")
        old = self._side(now, (), locked.vllm)
        new = self._side(then, self._overrides, vllm) if self._overrides or vllm != locked.vllm else old
        if new.why is not None:
            unknown.append(f"its memory cannot be planned: {new.why}")
        model, models = self._model(locked.model, then.model, then.loaded.recipe.model.revision, unknown)
        draft, drafts = locked.draft, None
        if locked.draft is not None and then.draft is not None:
            draft, drafts = self._model(locked.draft, then.draft, None, unknown)
        was, will = release.held(old), release.held(new) if known else None
        before = UpgradeSide(
            image=locked.image.reference,
            digest=locked.image.digest,
            vllm=locked.vllm,
            steady_bytes=None if was is None else was.bound_bytes,
            peak_bytes=None if was is None else was.peak_bytes,
            model=locked.model.revision,
            draft=locked.draft.revision if locked.draft is not None else None,
        )
        after = UpgradeSide(
            image=reference,
            digest=locked.image.digest if same else digest,
            vllm=vllm,
            steady_bytes=None if will is None else will.bound_bytes,
            peak_bytes=None if will is None else will.peak_bytes,
            model=models,
            draft=drafts,
        )
        told = (*release.misfits(old, new), *release.fixed(new.mods, _version(locked.vllm), _version(vllm)))
        moved = {"reference": reference, "digest": digest, "id": None}
        image = locked.image if same else locked.image.model_copy(update=moved)
        lock = locked.model_copy(update={"image": image, "vllm": vllm, "model": model, "draft": draft})
        return ServiceUpgrade(name, before, after, release.gone(old, new), told, tuple(dict.fromkeys(unknown))), lock

    # --- the image ---------------------------------------------------------------------------------------------------

    def _digest(self, reference: str, unknown: list[str]) -> str | None:
        """Return the digest that the registry has now, None where it does not say."""
        try:
            offered = self._offers.of(reference)
        except EngineError as error:
            unknown.append(error.message)
            return None
        own = f"linux/{_PROCESSORS.get(self._processor, self._processor)}"
        if offered.platforms and not any(f"{one}/".startswith(f"{own}/") for one in offered.platforms):
            unknown.append(f"{reference} is not made for {own}: its registry has it for {', '.join(offered.platforms)}")
        return offered.digest

    def _vllm(self, locked: LockedService, now: Located, then: Located, digest: str | None) -> str | None:
        """Return the vLLM after the upgrade: the locked one of the same image, else as files, tag or --set say."""
        recipe = then.loaded.recipe
        if digest is None and recipe.image == locked.image.reference and recipe.vllm == now.loaded.recipe.vllm:
            return locked.vllm
        image = self._world.engine.image(recipe.image)
        if image is not None and digest is not None and digest in own_digests(recipe.image, image.digests):
            return self._world.known_images.vllm(recipe.image) or image_version.of_tag(recipe.image)
        if digest is not None and self._world.engine.image(f"{repository(recipe.image)}@{digest}") is not None:
            return self._world.known_images.vllm(f"{repository(recipe.image)}@{digest}")
        said = recipe.vllm not in {now.loaded.recipe.vllm, flags.AUTO}
        return str(then.loaded.version.asked) if said else image_version.of_tag(recipe.image)

    # --- what follows from the release -------------------------------------------------------------------------------

    def _side(self, read: Located, overrides: tuple[str, ...], vllm: str | None) -> Side:
        """Return a service of the stack as a vLLM serves it, None: the one that its recipe says."""
        name = read.member.service
        own = [text for text in overrides if _is_for(name, text)]
        own += [f"vllm={json.dumps(Version(vllm).public)}"] if vllm is not None else []
        try:
            # Without images: those that are here are of the release before.
            return side(self._world, self._world.ports.models, f"{self._stack}:{name}", own)
        except InputError as error:
            return Side(read.loaded, {}, why=error.message.partition("\n")[0])

    # --- models ------------------------------------------------------------------------------------------------------

    def _model(
        self, locked: LockedModel, source: Source, revision: str | None, unknown: list[str]
    ) -> tuple[LockedModel, str | None]:
        """Return how a model would be locked, and its commit: the newest of its branch."""
        pinned = revision is not None and _COMMIT.fullmatch(revision) is not None
        if locked.made is not None or locked.revision is None or (pinned and locked.revision == revision):
            return locked, locked.revision
        try:
            listed: ModelRecord = self._world.hub.listed(source.repo, revision)
        except InputError as error:
            unknown.append(error.message)
            return locked, locked.revision
        if listed.commit is None or listed.commit == locked.revision:
            return locked, locked.revision
        newer = {"revision": listed.commit, "files": locked_files(listed)}
        return locked.model_copy(update=newer), listed.commit


def _version(text: str | None) -> Version | None:
    return None if text is None else Version(text)


def _is_for(service: str, override: str) -> bool:
    """Return whether an override is for a service: ``NAME:PATH=VALUE`` is for one of that name, any other for all."""
    name, colon, _ = override.partition("=")[0].partition(":")
    return not colon or name == service
