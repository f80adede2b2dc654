"""Where every GiB of a model goes: a recipe, a folder with config.json, model facts, or a repository of the hub."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from packaging.version import InvalidVersion, Version

from sparkctl.base.errors import InputError
from sparkctl.memory.changes import Changes
from sparkctl.memory.pace.roofline_share import ANSWER_TOKENS, PROMPT_TOKENS, speed
from sparkctl.operations.memory import hub_models
from sparkctl.recipes.sizing.sized import Reader, longest, sized
from sparkctl.vllm import flags
from sparkctl.vllm.kinds import ServerKind

if TYPE_CHECKING:
    from sparkctl.memory.footprint import Footprint
    from sparkctl.memory.pace.roofline_share import Speed
    from sparkctl.memory.pool import HostProfile
    from sparkctl.operations.context import World
    from sparkctl.recipes.sizing.sized import SizedModel


class Size(NamedTuple):
    """What a model takes: the model with the flags that it is sized for, its footprint, and what is doubtful.

    ``speed`` is how fast one reader gets tokens without drafts, behind a prompt of 1,024 in an answer of as many; None
    for what does not write, on a CPU, on a card of unknown bandwidth, and where only the sum of the weights is known.
    """

    model: SizedModel
    footprint: Footprint
    warnings: tuple[str, ...]
    speed: Speed | None = None

    @property
    def longest_context(self) -> int:
        """The longest context in tokens that the cache holds, for as many sequences as it is to hold."""
        return longest(self.model, self.footprint)


def reader(world: World) -> Reader:
    """Return what finds a model by any name that `size` takes: on disk, among the facts, on the hub."""
    models = world.disk_models
    return Reader(
        world.catalog, models, world.operator, partial(world.loader, models), partial(hub_models.facts, world)
    )


def size(world: World, model: str, changes: Changes | None = None, *, vllm: str | None = None) -> Size:
    """Return what ``model`` takes: a recipe's name or file, a folder, a name of model facts, or owner/name.

    ``changes`` are single flags laid over the recipe's, or over vLLM's own defaults on a GB10. ``vllm`` is a version,
    ``0.20`` its newest patch release; the recipe's own unless given, else the newest that is known.

    Raises:
        InputError: nothing of that name, a file that cannot be used, or a choice that this vLLM does not have.
    """
    given = changes or Changes()
    subject = reader(world).subject(model, _version(vllm), given)
    _refuse_unknown(given, subject)
    taken = sized(subject, world.profile)
    note = subject.version.note
    return Size(subject, taken, (*((note,) if note else ()), *taken.warnings), _speed(subject, taken, world.profile))


def _speed(subject: SizedModel, taken: Footprint, profile: HostProfile) -> Speed | None:
    settings, bandwidth = subject.settings, profile.card.bytes_per_second
    if subject.kind is not ServerKind.GENERATE or not settings.on_gpu or bandwidth is None:
        return None
    tokens = min(PROMPT_TOKENS + ANSWER_TOKENS // 2, settings.kv.context)
    once = subject.once
    return speed(taken.loaded, once, settings.kv.dtype, tokens, bandwidth)


def _version(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        Version(text)
    except InvalidVersion:
        message = f"--vllm {text}: expected a version of vLLM, found {text!r}"
        raise InputError(message, hint="such as 0.20.2, or 0.20 for its newest patch release") from None
    return text


def _refuse_unknown(changes: Changes, subject: SizedModel) -> None:
    """Refuse a choice that this vLLM does not have."""
    for name, value in (("kv-cache-dtype", changes.kv_cache_dtype), ("quantization", changes.quantization)):
        problem = flags.check_flag(name, value, subject.version.version) if value is not None else None
        if problem:
            raise InputError(problem, hint="vllm serve --help of that version lists what there is")
