"""The differences between what is on this host and the lock of its stack. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.planning.box.lock_file import LockedFile, LockedImage, LockedModel, LockedService

NOTHING: Final = "nothing"
_ENOUGH: Final = 5
"""How many files of one model are named; the others are counted."""


class LockDifference(NamedTuple):
    """One difference from the lock: the service, what differs, and both values in words."""

    service: str
    what: str
    locked: str
    found: str

    def __str__(self) -> str:
        return f"{self.service}: {self.what}: locked {self.locked}, found {self.found}"


def differences(locked: Mapping[str, LockedService], found: Mapping[str, LockedService]) -> list[LockDifference]:
    """Return how services differ from what was locked; a value that one side does not know is no difference."""
    told: list[LockDifference] = []
    for name in sorted({*locked, *found}):
        before, now = locked.get(name), found.get(name)
        if before is None or now is None:
            words = ("a service" if before else NOTHING), ("a service" if now else NOTHING)
            told.append(LockDifference(name, "the stack", *words))
        else:
            told += [LockDifference(name, *one) for one in _of_service(before, now)]
    return told


def locked_words(locked: LockedService, what: str) -> str:
    """Return in words what was locked of a service: its image, model, draft, or a file of a mod ("mod NAME, FILE")."""
    if what == "image":
        return _image_words(locked.image)
    if what in {"model", "draft"}:
        model: LockedModel | None = getattr(locked, what)
        return NOTHING if model is None else f"{model.repo} at {model.revision or 'a commit that is not known'}"
    mod, _, file = what.removeprefix("mod ").partition(", ")
    known = locked.mods.get(mod, {}).get(file)
    return NOTHING if known is None else f"md5 {known.md5}"


def _of_service(locked: LockedService, found: LockedService) -> Iterator[tuple[str, str, str]]:
    if locked.recipe != found.recipe:
        yield "recipe", locked.recipe, found.recipe
    yield from _of_image(locked.image, found.image)
    if locked.vllm is not None and found.vllm is not None and locked.vllm != found.vllm:
        yield "vLLM", locked.vllm, found.vllm
    yield from _of_model("model", locked.model, found.model)
    if locked.draft is not None and found.draft is not None:
        yield from _of_model("draft", locked.draft, found.draft)
    elif locked.draft is not found.draft:
        yield "draft", locked.draft.repo if locked.draft else NOTHING, found.draft.repo if found.draft else NOTHING
    names = {(mod, file) for one in (locked, found) for mod, files in one.mods.items() for file in files}
    for mod, file in sorted(names):
        before, now = locked.mods.get(mod, {}).get(file), found.mods.get(mod, {}).get(file)
        what = f"mod {mod}, {file}"
        if before is None or now is None or before.md5 != now.md5:
            yield what, f"md5 {before.md5}" if before else NOTHING, f"md5 {now.md5}" if now else NOTHING
        elif before.sha256 is not None and now.sha256 is not None and before.sha256 != now.sha256:
            yield what, f"sha256 {before.sha256}", f"sha256 {now.sha256}"


def _of_image(locked: LockedImage, found: LockedImage) -> Iterator[tuple[str, str, str]]:
    if locked.reference != found.reference:
        yield "image", locked.reference, found.reference
    elif locked.digest != found.digest or (locked.digest is None and locked.id != found.id):
        yield "image", _image_words(locked), _image_words(found)


def _image_words(image: LockedImage) -> str:
    if image.digest is not None:
        return image.digest
    return f"an image that no registry has, {image.id}" if image.id is not None else "an image that is not known"


def _of_model(what: str, locked: LockedModel, found: LockedModel) -> Iterator[tuple[str, str, str]]:
    for name in ("repo", "path"):
        before, now = getattr(locked, name), getattr(found, name)
        if before != now:
            yield f"{what}'s {name}", before or NOTHING, now or NOTHING
    if locked.repo != found.repo or locked.path != found.path:
        return
    if locked.made is not None and found.made is not None and locked.made != found.made:
        yield f"{what}'s job", _job(locked.made.job, locked.made.digest), _job(found.made.job, found.made.digest)
    revisions = locked.revision, found.revision
    if None not in revisions and locked.revision != found.revision:
        yield f"{what}'s revision", locked.revision or NOTHING, found.revision or NOTHING
        return
    names = sorted({*locked.files, *found.files}) if locked.files and found.files else []
    pairs = [(f"{what}'s {name}", locked.files.get(name), found.files.get(name)) for name in names]
    told = [one for pair in pairs for one in _of_file(*pair)]
    yield from told[:_ENOUGH]
    if len(told) > _ENOUGH:
        yield f"{what}'s files", f"{len(locked.files)} files", f"{len(told) - _ENOUGH} further ones that differ"


def _of_file(what: str, locked: LockedFile | None, found: LockedFile | None) -> Iterator[tuple[str, str, str]]:
    if locked is None or found is None:
        yield what, "a file" if locked else NOTHING, "a file" if found else NOTHING
    elif locked.bytes != found.bytes:
        yield what, _size(locked.bytes), _size(found.bytes)
    elif locked.sum is not None and found.sum is not None and _differ(locked.sum, found.sum):
        yield what, locked.sum, found.sum


def _differ(one: str, other: str) -> bool:
    """Return whether two checksums of one kind differ: a git hash and a sha256 cannot be compared."""
    return one != other and one.partition(":")[0] == other.partition(":")[0]


def _size(count: int) -> str:
    return f"{format_bytes(count)} ({count:,} bytes)"


def _job(name: str, digest: str) -> str:
    return f"{name} {digest[:12]}"
