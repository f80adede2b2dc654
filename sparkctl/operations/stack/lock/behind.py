"""What is behind the names of a stack's services here and now: images, models, mods, as a lock writes them down."""

from __future__ import annotations

import hashlib
import platform
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import InvalidVersion, Version

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import MIB, format_gib
from sparkctl.mods import on_disk
from sparkctl.mods.on_disk import FileState
from sparkctl.operations.jobs.product import provenance
from sparkctl.planning.box.lock_differences import LockDifference
from sparkctl.planning.box.lock_file import (
    LockedFile,
    LockedHost,
    LockedImage,
    LockedModel,
    LockedModFile,
    LockedProduct,
    LockedService,
)
from sparkctl.recipes.host_side import version
from sparkctl.recipes.job.maker import maker_of
from sparkctl.vllm import image_version
from sparkctl.world.host import ModelFile, ModelRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.mods.placed import MountedMod
    from sparkctl.operations.context import World
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.recipe import Recipe
    from sparkctl.recipes.service import Service, Source
    from sparkctl.world.engine import OfferedImage

_CONFIG: Final = "config.json"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SMALL: Final = 64 * MIB
"""A config.json is read for its sum; what is larger is none."""


class Names(NamedTuple):
    """A service with the names that a lock looks behind: its recipe's image, its models, its mods."""

    service: str
    recipe_name: str
    recipe: Recipe
    model: Source
    draft: Source | None
    mods: tuple[MountedMod, ...]


class Behind(NamedTuple):
    """What was found of a service; ``unknown`` is what could not be: what of it (as a lock's), and why."""

    service: LockedService
    unknown: tuple[tuple[str, str], ...] = ()


def of_located(loader: Loader, located: Sequence[Located]) -> list[Names]:
    """Return the names of recipes that were located; nothing is counted for it.

    Raises:
        InputError: a mod or a template cannot be used.
    """
    return [
        Names(one.member.service, one.loaded.name, one.loaded.recipe, one.model, one.draft, loader.mods(one))
        for one in located
    ]


def of_services(services: Sequence[Service]) -> list[Names]:
    """Return the names of services."""
    return [Names(one.name, one.recipe_name, one.recipe, one.model, one.draft, one.mods) for one in services]


def host_of(world: World) -> LockedHost:
    """Return the kind of this machine."""
    profile = world.profile
    gpus = (profile.gpu, *(one.gpu for one in profile.more_gpus))
    return LockedHost(gpus=gpus, processor=platform.machine(), simulated=world.simulated)


class Offers:
    """Asks registries what they have, of each image once: one that is silent holds up the others no second time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._said: dict[str, OfferedImage | EngineError] = {}

    def of(self, reference: str) -> OfferedImage:
        """Return what the registry has behind a name; raises EngineError as ``Engine.offered`` does."""
        if reference not in self._said:
            try:
                self._said[reference] = self._world.engine.offered(reference)
            except EngineError as error:
                self._said[reference] = error
        said = self._said[reference]
        if isinstance(said, EngineError):
            raise said
        return said


class LockFinder:
    """Looks behind names, each once. ``hashing``: all bytes of the models are read for their sums."""

    def __init__(self, world: World, *, hashing: bool = False) -> None:
        self._world = world
        self._hashing = hashing
        self._records: dict[Path, ModelRecord] = {}
        self._offers = Offers(world)
        self.damaged: list[LockDifference] = []
        """Files whose bytes are not what the hub, or the job that made them, says of them."""

    def behind(self, names: Names, locked: LockedService | None = None) -> Behind:
        """Return what is behind a service's names; of two digests of one image, the one that is locked.

        What cannot be known here is ``unknown``, and in the service as it is locked.

        Raises:
            EngineError: the engine does not answer.
        """
        unknown: list[tuple[str, str]] = []
        recipe = names.recipe
        try:
            image = self._image(recipe.image, locked.image if locked else None)
        except EngineError as error:
            unknown.append(("image", f"{recipe.image} is not here, and {_lower(error.message)}"))
            image = locked.image if locked is not None else LockedImage(reference=recipe.image)
        maker = None if names.model.here is not None else self._maker(names)
        model = maker or self._model(names.service, names.model, recipe.model.path, recipe.model.revision)
        if isinstance(model, str):
            unknown.append(("model", model))
            model = locked.model if locked is not None else LockedModel(repo=recipe.model.repo)
        drafts: LockedModel | str | None = None
        if names.draft is not None:
            path = recipe.speculative.path if recipe.speculative is not None else None
            drafts = self._model(names.service, names.draft, path, None, "draft")
        if isinstance(drafts, str):
            unknown.append(("draft", drafts))
            drafts = locked.draft if locked is not None else None
        mods: dict[str, dict[str, LockedModFile]] = {}
        for mod in names.mods:
            file: LockedModFile | str | None = _mod_file(mod)
            if isinstance(file, str):
                unknown.append((f"mod {mod.mod}, {mod.name}", file))
                file = locked.mods.get(mod.mod, {}).get(mod.name) if locked is not None else None
            if file is not None:
                mods.setdefault(mod.mod, {})[mod.name] = file
        vllm = self._vllm(recipe.image)
        service = LockedService(recipe=names.recipe_name, image=image, vllm=vllm, model=model, draft=drafts, mods=mods)
        return Behind(service, tuple(unknown))

    # --- images ------------------------------------------------------------------------------------------------------

    def _image(self, reference: str, locked: LockedImage | None) -> LockedImage:
        found = self._world.engine.image(reference)
        if found is None:
            return LockedImage(reference=reference, digest=self._offers.of(reference).digest)
        digests = own_digests(reference, found.digests)
        if not digests:
            return LockedImage(reference=reference, id=found.id)
        known = locked.digest if locked is not None and locked.digest in digests else digests[0]
        return LockedImage(reference=reference, digest=known)

    def _vllm(self, reference: str) -> str | None:
        """Return the vLLM of an image: as its files or its labels say, else as its tag does."""
        found, doubt = version.of_image(self._world.known_images, reference, None)
        if doubt is not None:
            self._world.report.warn(str(doubt))
        known = found or image_version.of_tag(reference)
        try:
            return None if known is None else str(Version(known))
        except InvalidVersion:
            return None

    # --- models ------------------------------------------------------------------------------------------------------

    def _maker(self, names: Names) -> str | None:
        """Return why nothing is known of a model that is not here: a job makes it, and the hub has what that reads."""
        maker = maker_of(self._world.catalog, self._world.operator, names.recipe_name, names.recipe)
        if maker is None or not maker.alone:
            return None
        return f"{names.model.missing}, and the job {maker.name} makes it: sparkctl job run {maker.name}"

    def _model(
        self, service: str, source: Source, path: str | None, revision: str | None, what: str = "model"
    ) -> LockedModel | str:
        """Return a model, or why nothing can be known of it."""
        if source.here is None:
            if source.damaged:
                return source.missing or f"{source.repo} is damaged"
            try:
                record = self._world.hub.listed(source.repo, revision)
            except InputError as error:
                return f"{source.missing or source.repo}, and {_lower(error.message)}"
            self._world.report.say(f"{service}: {source.missing}: taken as the hub has it now")
            return _locked_model(source.repo, path, record, None)
        if source.here not in self._records:
            self._records[source.here] = self._here(service, source, what)
        made = provenance.read(self._world.files, source.folder) if source.folder is not None else None
        product = LockedProduct(job=made.job, digest=made.digest) if made is not None else None
        return _locked_model(source.repo, path if source.folder else None, self._records[source.here], product)

    def _here(self, service: str, source: Source, what: str) -> ModelRecord:
        """Return what lies in a model's folder, with the sums that are known of it, or (hashing) that it has."""
        folder = source.here
        if folder is None:
            return ModelRecord()
        record = self._as_told(source, self._world.ports.models.recorded(folder))
        whole = sum(file.bytes for file in record.files)
        read, files = 0, list[ModelFile]()

        def came(count: int) -> None:
            nonlocal read
            read += count
            tail = f"{format_gib(read)} of {format_gib(whole)}"
            self._world.report.progress(service, "reading the model", tail, min(1.0, read / max(1, whole)))

        for file in record.files:
            told = file.sum
            if self._hashing or (not told and file.name == _CONFIG and file.bytes <= _SMALL):
                kind = told.partition(":")[0]
                told = self._world.ports.models.summed(folder / file.name, kind, came if self._hashing else _nobody)
                if file.sum and told != file.sum:
                    self.damaged.append(LockDifference(service, f"{what}'s {file.name}", file.sum, told))
            files.append(file._replace(sum=told))
        return record._replace(files=tuple(files))

    def _as_told(self, source: Source, record: ModelRecord) -> ModelRecord:
        """Return a record with the sums that the job which made the model wrote down, or that the hub has."""
        made = provenance.read(self._world.files, source.folder) if source.folder is not None else None
        files_made = made.files if made is not None else ()
        known = {(one.name, one.bytes): f"sha256:{one.sha256}" for one in files_made if _SHA256.fullmatch(one.sha256)}
        lacking = any(not file.sum and (file.name, file.bytes) not in known for file in record.files)
        if lacking and record.commit is not None and made is None:
            try:
                listed = self._world.hub.listed(source.repo, record.commit)
            except InputError as error:
                self._world.report.warn(f"{source.repo}: some sums are not known: {_lower(error.message)}")
            else:
                known = {(file.name, file.bytes): file.sum for file in listed.files}
        files = [one._replace(sum=one.sum or known.get((one.name, one.bytes), "")) for one in record.files]
        return record._replace(files=tuple(files))


def own_digests(reference: str, digests: Sequence[str]) -> list[str]:
    """Return the digests that an image has in the registry that its name is of, in order.

    Docker leaves out the host of its usual registry, which a reference may name all the same.
    """
    name = repository(reference)
    host, _, rest = name.partition("/")
    names = {name, repository(rest)} if "." in host and rest else {name}
    return sorted({one.partition("@")[2] for one in digests if repository(one) in names and "@sha" in one})


def repository(reference: str) -> str:
    """Return the name of an image without tag and digest, as docker shortens it."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}".removeprefix("library/")


def _locked_model(repo: str, path: str | None, record: ModelRecord, made: LockedProduct | None) -> LockedModel:
    return LockedModel(repo=repo, path=path, revision=record.commit, made=made, files=locked_files(record))


def locked_files(record: ModelRecord) -> dict[str, LockedFile]:
    """Return the files of a model as a lock has them."""
    return {file.name: LockedFile(bytes=file.bytes, sum=file.sum or None) for file in record.files}


def _mod_file(mod: MountedMod) -> LockedModFile | str:
    """Return a file of a mod, or why it is not what it has to be."""
    if mod.waits:
        return LockedModFile(md5=mod.md5, sha256=mod.sha256)
    checked = on_disk.check_source(mod)
    if checked.state is FileState.OK:
        return LockedModFile(md5=mod.md5, sha256=hashlib.sha256(checked.content).hexdigest())
    why = checked.why.removeprefix(f"mod {mod.mod}: ") or f"{mod.name} is {checked.state}"
    return f"{why}; {checked.fix}" if checked.fix else why


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _nobody(_count: int) -> None:
    """Tell nobody."""
