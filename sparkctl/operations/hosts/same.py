"""What hosts have for a service (image, vLLM, models, mods), and where they differ. Pure: from values to values.

Ranks of one service must run the same image over the same bytes: what differs hangs, or answers nonsense.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.world.engine import Image

ABSENT: Final = "not there"
MOST: Final = 5
"""How many files of one model are named; the others are counted."""
IMAGE: Final = "image"
VLLM: Final = "vLLM"


class HeldFile(NamedTuple):
    """A file of a model: its bytes, and the sums that are known of it (``sha256:…``, ``git-sha1:…``)."""

    bytes: int
    sums: tuple[str, ...] = ()


class HeldModel(NamedTuple):
    """A model on a host: its repository, its commit (None: not known), its files by name.

    ``problem`` is why vLLM could not load it, in words; None: it is complete.
    """

    repo: str
    commit: str | None = None
    files: Mapping[str, HeldFile] = MappingProxyType({})
    problem: str | None = None


class HostHolds(NamedTuple):
    """What a host has of one service.

    ``image`` is None where its engine has none of this name. ``vllm`` is that image's, None where it is not known.
    ``models`` are the model and the draft, by these words. ``mods`` are the md5s of a mod's files, by "MOD, FILE": of
    the staged copy where there is one, else as declared.
    """

    host: str
    service: str
    reference: str
    image: Image | None
    vllm: str | None = None
    models: Mapping[str, HeldModel] = MappingProxyType({})
    mods: Mapping[str, str] = MappingProxyType({})


class HostDifference(NamedTuple):
    """One difference between ``host`` and ``other`` for a service: what, and both values in words.

    ``what`` is ``image``, ``vLLM``, ``model``, ``draft``, ``model's FILE``, ``model's revision`` or ``mod MOD, FILE``.
    """

    service: str
    what: str
    host: str
    found: str
    other: str
    expected: str

    def __str__(self) -> str:
        return f"{self.service}: {self.what}: {self.found} on {self.host}, {self.expected} on {self.other}"


def differences(holds: Sequence[HostHolds]) -> tuple[HostDifference, ...]:
    """Return the differences of hosts from the first of them; all values are for one service.

    A value unknown on one side is no difference. What no host has is no difference either: see ``absent``.
    """
    found: list[HostDifference] = []
    for other in holds[1:]:
        found += of_two(holds[0], other)
    return tuple(found)


def absent(holds: Sequence[HostHolds]) -> tuple[HostDifference, ...]:
    """Return what a host lacks, whether another one has it or not: an image, a model that is whole."""
    return tuple(
        HostDifference(one.service, what, one.host, why, "every host", "needed")
        for one in holds
        for what, why in _lacking(one)
    )


def of_two(one: HostHolds, other: HostHolds) -> tuple[HostDifference, ...]:
    """Return the differences of ``other`` from ``one``, for one service."""
    rows = [*_of_image(one, other), *_of_models(one, other), *_of_mods(one, other)]
    return tuple(
        HostDifference(one.service, what, other.host, found, one.host, expected) for what, found, expected in rows
    )


def same_image(one: Image, other: Image) -> bool | None:
    """Return whether two images are the same, never by their ids; None: nothing says it.

    The id of one pull differs between image stores (overlay2, containerd). A digest in a registry that both have
    decides; else the layers, what the image brings to a container, and the processor.
    """
    ours, theirs = _digests(one), _digests(other)
    if ours & theirs:
        return True
    if one.layers and other.layers:
        return _by_content(one) == _by_content(other)
    return False if ours and theirs else None


def _digests(image: Image) -> set[str]:
    return {name.partition("@")[2] for name in image.digests if "@" in name}


def _by_content(image: Image) -> tuple[object, ...]:
    return image.layers, image.architecture, dict(image.parts)


def _lacking(one: HostHolds) -> Iterator[tuple[str, str]]:
    if one.image is None:
        yield IMAGE, f"{one.reference} is {ABSENT}"
    for what, model in one.models.items():
        if model.problem is not None:
            yield what, model.problem


_Row = tuple[str, str, str]
"""The kind of difference, the other host's value, and the first one's."""


def _of_image(one: HostHolds, other: HostHolds) -> Iterator[_Row]:
    if one.image is None or other.image is None:
        if one.image is not other.image:
            there, here = (ABSENT if each.image is None else each.reference for each in (other, one))
            yield IMAGE, there, here
        return
    if same_image(one.image, other.image) is False:
        yield IMAGE, *_image_words(other.image, one.image)
    if one.vllm is not None and other.vllm is not None and one.vllm != other.vllm:
        yield VLLM, other.vllm, one.vllm


def _image_words(found: Image, expected: Image) -> tuple[str, str]:
    """Return in words what two images have that differs, the most telling first."""
    if found.architecture != expected.architecture:
        return f"for {found.architecture or '(unknown)'}", f"for {expected.architecture or '(unknown)'}"
    known = found.digests and expected.digests
    if known:
        return min(_digests(found)), min(_digests(expected))
    if found.layers != expected.layers:
        alike = next(
            (at for at, (a, b) in enumerate(zip(found.layers, expected.layers, strict=False)) if a != b),
            min(len(found.layers), len(expected.layers)),
        )
        counts = [f"{len(image.layers)} layers, another one from number {alike + 1} on" for image in (found, expected)]
        return counts[0], f"{len(expected.layers)} layers"
    differing = ", ".join(part for part, digest in expected.parts.items() if found.parts.get(part) != digest)
    return f"the same layers with another {differing}", f"its own {differing}"


def _of_models(one: HostHolds, other: HostHolds) -> Iterator[_Row]:
    for what in dict.fromkeys((*one.models, *other.models)):
        mine, theirs = one.models.get(what), other.models.get(what)
        if mine is None or theirs is None:
            yield what, theirs.repo if theirs else ABSENT, mine.repo if mine else ABSENT
        elif mine.repo != theirs.repo:
            yield what, theirs.repo, mine.repo
        else:
            yield from _of_model(what, mine, theirs)


def _of_model(what: str, mine: HeldModel, theirs: HeldModel) -> Iterator[_Row]:
    if not mine.files or not theirs.files:
        if mine.files or theirs.files:
            yield what, _whether(theirs), _whether(mine)
        return
    if mine.commit is not None and theirs.commit is not None and mine.commit != theirs.commit:
        yield f"{what}'s revision", theirs.commit, mine.commit
    told = []
    for name in sorted({*mine.files, *theirs.files}):
        found = file_words(theirs.files.get(name), mine.files.get(name))
        if found is not None:
            told.append((f"{what}'s {name}", *found))
    yield from told[:MOST]
    if len(told) > MOST:
        yield f"{what}'s files", f"{len(told) - MOST} further ones differ", f"{len(mine.files)} files"


def _whether(model: HeldModel) -> str:
    return "there" if model.files else model.problem or ABSENT


def file_words(found: HeldFile | None, expected: HeldFile | None) -> tuple[str, str] | None:
    """Return in words how a file differs from the same of another host; None: it does not, as far as is known."""
    if found is None or expected is None:
        return None if found is expected else (_size(found), _size(expected))
    if found.bytes != expected.bytes:
        return _size(found), _size(expected)
    ours = {one.partition(":")[0]: one for one in expected.sums}
    for each in found.sums:
        mine = ours.get(each.partition(":")[0])
        if mine is not None and mine != each:
            return each, mine
    return None


def _size(file: HeldFile | None) -> str:
    return ABSENT if file is None else f"{format_bytes(file.bytes)} ({file.bytes:,} bytes)"


def _of_mods(one: HostHolds, other: HostHolds) -> Iterator[_Row]:
    for name in sorted({*one.mods, *other.mods}):
        mine, theirs = one.mods.get(name), other.mods.get(name)
        if mine != theirs:
            yield f"mod {name}", f"md5 {theirs}" if theirs else ABSENT, f"md5 {mine}" if mine else ABSENT
