"""Facts about the files and packages of images: each image is asked once, and its answers are kept under its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from sparkctl.base import regular_file
from sparkctl.base.bounded import BOUNDS
from sparkctl.base.errors import EngineError, InputError
from sparkctl.mods.checksum import md5_of
from sparkctl.vllm import image_version
from sparkctl.world.engine import Package  # noqa: TC001  (a field's type)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.world.engine import Engine
    from sparkctl.world.ports import Files


class KnownImage(BaseModel):
    """What was found out of one image: packages by name, and the md5s of files by path (None: there is none)."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    packages: dict[str, Package] = {}
    files: dict[str, str | None] = {}
    vllm: str | None = None
    looked: bool = False
    """Whether the version of vLLM was looked for."""


class Images:
    """Asks images, each question once. ``state`` is the folder that keeps the answers; without it, this object does.

    Unless ``ask`` is set, no Python is run, and a package is known only if it was asked for earlier.
    """

    def __init__(self, engine: Engine, files: Files, state: Path | None = None, *, ask: bool = True) -> None:
        self._ask = ask
        self._engine = engine
        self._files = files
        self._state = state
        self._known: dict[str, KnownImage] = {}

    def there(self, reference: str) -> bool:
        """Return whether the engine has an image."""
        return self._engine.image(reference) is not None

    def packages(self, reference: str, names: Sequence[str]) -> Mapping[str, Package]:
        """Return what an image's Python says of packages; if it must not be asked, only the packages already known.

        Raises:
            EngineError: there is no such image, or it has no Python that answers.
        """
        known, identity = self._of(reference)
        missing = [name for name in names if name not in known.packages]
        if missing and self._ask:
            known.packages.update(self._engine.packages(reference, missing))
            self._keep(identity, known)
        return {name: known.packages[name] for name in names if name in known.packages}

    def vllm(self, reference: str, root: str | None = None) -> str | None:
        """Return the version of vLLM in an image, None where there is no such image or it does not say.

        It is read from the package's file or the labels; the image is not run. ``root`` is where the packages may be.

        Raises:
            EngineError: the image cannot be read.
        """
        image = self._engine.image(reference)
        if image is None:
            return None
        known, identity = self._of(reference)
        package = known.packages.get("vllm")
        if not known.looked:
            roots = dict.fromkeys(filter(None, (root, *image_version.ROOTS)))
            read = self._engine.read_image_files(reference, [f"{one}/{image_version.FILE}" for one in roots])
            said = (image_version.of_file(content) for content in read.values() if content is not None)
            known.vllm, known.looked = next(filter(None, said), None), True
            self._keep(identity, known)
        return known.vllm or (package and package.version) or image_version.of_labels(image.labels)

    def checksums(self, reference: str, paths: Sequence[str]) -> Mapping[str, str | None]:
        """Return the md5s of some of an image's files, None for one that is not there. The image is not run.

        Raises:
            EngineError: there is no such image, or a file cannot be read.
        """
        known, identity = self._of(reference)
        missing = [path for path in dict.fromkeys(paths) if path not in known.files]
        if missing:
            read = self._engine.read_image_files(reference, missing)
            known.files.update({path: None if text is None else md5_of(text) for path, text in read.items()})
            self._keep(identity, known)
        return {path: known.files[path] for path in paths}

    def _of(self, reference: str) -> tuple[KnownImage, str]:
        image = self._engine.image(reference)
        if image is None:
            raise EngineError(f"the engine does not have the image {reference}", hint="sparkctl up fetches it")
        if image.id not in self._known:
            self._known[image.id] = self._read(image.id)
        return self._known[image.id], image.id

    def _read(self, identity: str) -> KnownImage:
        """Return the kept answers; a damaged record counts as empty."""
        path = self._path(identity)
        if path is None:
            return KnownImage()
        try:
            return KnownImage.model_validate_json(regular_file.read_bytes(path, BOUNDS.size))
        except (InputError, ValidationError):
            return KnownImage()

    def _keep(self, identity: str, known: KnownImage) -> None:
        path = self._path(identity)
        if path is not None:
            try:
                self._files.write(path, known.model_dump_json().encode(), mode=0o600)
            except InputError:
                self._state = None  # a full disk is no reason not to answer

    def _path(self, identity: str) -> Path | None:
        return self._state / "images" / f"{identity.removeprefix('sha256:')}.json" if self._state is not None else None
