"""What of a group has to be the same on all its hosts, and is not: image, model's files, mods, flags.

vLLM does not see it: with another context on one rank a group is healthy, answers short prompts, and hangs for ever
with the first long one (seen on 0.32.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.operations import differences

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.groups.hosts import GroupHost
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Image
    from sparkctl.world.host import ModelRecord

_OF_ONE_RANK: Final = frozenset({"--node-rank", "--headless", "--host", "--api-server-count"})
_OF_ONE_HOST: Final = frozenset({"--gpu-memory-utilization"})
"""Beside --kv-cache-memory-bytes it sizes nothing: so much of the host's memory has to be free at the start."""
_SHOWN: Final = 3


def refuse_different(hosts: Sequence[GroupHost], services: Sequence[Service]) -> None:
    """Refuse a group of which its hosts have not the same.

    Raises:
        InputError: each difference, with host and file.
        EngineError: an engine does not answer.
    """
    first, *others = zip(hosts, services, strict=True)
    found = [line for other in others for line in _of_two(first, other)]
    if found:
        lines = [f"{services[0].name} is not the same on its hosts:", *(f"  {line}" for line in found)]
        raise InputError("\n".join(lines), hint="every rank needs the same image, the same files and the same flags")


def _of_two(one: tuple[GroupHost, Service], other: tuple[GroupHost, Service]) -> Iterator[str]:
    (here, ours), (there, theirs) = one, other
    reference = ours.spec.image
    images = [host.world.engine.image(reference) for host in (here, there)]
    yield from _images(reference, images, (here.name, there.name))
    for left, right in zip(ours.sources, theirs.sources, strict=False):
        if left.here is None or right.here is None:
            continue
        records = here.world.ports.models.recorded(left.here), there.world.ports.models.recorded(right.here)
        yield from _models(left.repo, records, (here.name, there.name))
    yield from _mods(ours, theirs, (here.name, there.name))
    yield from _flags(ours, theirs, (here.name, there.name))


def _images(reference: str, images: Sequence[Image | None], names: tuple[str, str]) -> Iterator[str]:
    one, other = images
    if one is None or other is None:
        return  # it is pulled, and compared then
    digests = [{name.partition("@")[2] for name in image.digests if "@" in name} for image in (one, other)]
    if digests[0] and digests[1] and not digests[0] & digests[1]:
        yield f"image {reference}: {min(digests[0])} on {names[0]}, {min(digests[1])} on {names[1]}"


def _models(repo: str, records: tuple[ModelRecord, ModelRecord], names: tuple[str, str]) -> Iterator[str]:
    one, other = ({file.name: file for file in record.files} for record in records)
    found = []
    for name in sorted({*one, *other}):
        left, right = one.get(name), other.get(name)
        if left is None or right is None:
            has, lacks = names if right is None else reversed(names)
            found.append(f"{name} is on {has} and not on {lacks}")
        elif left.bytes != right.bytes:
            found.append(f"{name} has {left.bytes:,} bytes on {names[0]} and {right.bytes:,} on {names[1]}")
        elif left.sum and right.sum and left.sum != right.sum:
            found.append(f"{name} has other contents on {names[0]} than on {names[1]}")
    for line in found[:_SHOWN]:
        yield f"model {repo}: {line}"
    if len(found) > _SHOWN:
        yield f"model {repo}: and {len(found) - _SHOWN} more files"


def _mods(one: Service, other: Service, names: tuple[str, str]) -> Iterator[str]:
    ours, theirs = ({(mod.mod, mod.name): mod.md5 for mod in service.mods} for service in (one, other))
    for mod, file in sorted({*ours, *theirs}):
        if ours.get((mod, file)) != theirs.get((mod, file)):
            yield f"mod {mod}: {file} is another file on {names[0]} than on {names[1]}"


def _flags(one: Service, other: Service, names: tuple[str, str]) -> Iterator[str]:
    left, right = (differences.flags(service.spec.command) for service in (one, other))
    ignored = _OF_ONE_RANK | (_OF_ONE_HOST if "--kv-cache-memory-bytes" in left else frozenset())
    for flag in sorted({*left, *right} - ignored):
        if left.get(flag) != right.get(flag):
            has = [value if value is not None else "not set" for value in (left.get(flag), right.get(flag))]
            yield f"{flag or 'the model'}: {has[0]} on {names[0]}, {has[1]} on {names[1]}"
