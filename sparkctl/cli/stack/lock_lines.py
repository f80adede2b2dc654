"""What is printed of a lock and of an upgrade: lines for people, values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_gib
from sparkctl.operations.stack.lock.upgrade import PULL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.stack.lock.upgrade import ServiceUpgrade, Upgraded
    from sparkctl.planning.box.lock_file import LockedModel, StackLock

_SHORT: Final = 12
"""How many digits of a digest are shown: enough to distinguish it."""


def lock_json(lock: StackLock) -> dict[str, object]:
    """Return a lock as its file has it."""
    return lock.model_dump(by_alias=True)


def of_lock(lock: StackLock) -> Iterator[str]:
    """Yield a line for each service: what was found behind its names."""
    for name, one in sorted(lock.services.items()):
        image = _digest(one.image.digest) or f"{_digest(one.image.id)}, which no registry has"
        parts = [f"image {image}", f"vLLM {one.vllm or 'not known'}", f"model {_model(one.model)}"]
        parts += [f"draft {_model(one.draft)}"] if one.draft is not None else []
        parts += [f"mods {', '.join(sorted(one.mods))}"] if one.mods else []
        yield f"{name}: {'; '.join(parts)}"


def of_upgrade(found: Upgraded) -> Iterator[str]:
    """Yield what an upgrade would change, service by service."""
    for one in found.services:
        before, after = one.before, one.after
        yield one.service
        names = before.image if before.image == after.image else f"{before.image} → {after.image}"
        yield f"  image   {names}"
        yield f"          {_pair(_digest(before.digest), _digest(after.digest))}"
        yield f"  vLLM    {_pair(before.vllm, after.vllm)}"
        for label, old, new in (
            ("memory", before.steady_bytes, after.steady_bytes),
            ("  peak", before.peak_bytes, after.peak_bytes),
        ):
            yield f"  {label:6}  {_pair(_size(old), _size(new))}"
        yield f"  model   {_pair(_commit(before.model), _commit(after.model))}"
        if before.draft or after.draft:
            yield f"  draft   {_pair(_commit(before.draft), _commit(after.draft))}"
        for label, told in (("flag", one.flags), ("mod", one.mods), ("unknown", one.unknown)):
            for text in told:
                yield f"  {label:7} {text}"


def fetches(found: Upgraded) -> Iterator[str]:
    """Yield the commands that bring what an upgrade has locked."""
    for one in found.services:
        locked = found.lock.services[one.service]
        if one.after.digest != one.before.digest:
            yield f"docker pull {one.after.image}"
        for model, before in ((locked.model, one.before.model), (locked.draft, one.before.draft)):
            if model is not None and model.revision != before:
                folder = f" --local-dir {model.path}" if model.path is not None else ""
                yield f"hf download {model.repo} --revision {model.revision}{folder}"


def upgrade_json(one: ServiceUpgrade) -> dict[str, object]:
    """Return what would change of a service."""
    return {
        "service": one.service,
        "changes": one.changes,
        "before": one.before._asdict(),
        "after": one.after._asdict(),
        "flags": list(one.flags),
        "mods": list(one.mods),
        "unknown": list(one.unknown),
    }


def _pair(before: str | None, after: str | None) -> str:
    if before == after:
        return before or "not known"
    return f"{before or 'not known'} → {after or PULL}"


def _digest(text: str | None) -> str | None:
    return None if text is None else text[: len("sha256:") + _SHORT]


def _commit(text: str | None) -> str | None:
    return None if text is None else text[:_SHORT]


def _size(count: int | None) -> str | None:
    return None if count is None else format_gib(count)


def _model(model: LockedModel) -> str:
    made = f", made by {model.made.job}" if model.made is not None else ""
    unsummed = any(file.sum is None for file in model.files.values())
    made += " (of some files the size alone: --hash sums them)" if unsummed else ""
    at = f" at {_commit(model.revision)}" if model.revision is not None else ""
    return f"{model.path or model.repo}{at}{made}"
