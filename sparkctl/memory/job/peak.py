"""The peak memory of a job, from the rules of its script and the bytes of the model that it reads. Pure.

A rule is ``base + input x bytes of the input's weights + shard x bytes of its largest shard``. Its factors count the
pages of the source that are mapped into memory; the kernel can take them back, but then a tool reads every layer
twice. On a GB10 the CPU's mapped pages and the GPU's copies share one memory: a rule measured with a GPU counts both
together, and a rule measured on a CPU does not know the GPU's copies. Either is an estimate until the job has run
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from sparkctl.base.units import GIB, MIB, format_bytes, format_gib
from sparkctl.memory.job.linear import FUSED
from sparkctl.memory.weights.load_options import QUERY_ALONE
from sparkctl.memory.weights.parameters import parts
from sparkctl.memory.weights.quantization import declared_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparkctl.memory.facts import ModelFacts

MARGIN: Final = 0.05
LEAST_MARGIN: Final = 256 * MIB
"""The least margin that is added to a measured peak, a choice. The container gets no more than its peak, and the kernel
also counts what no process shows as its own: files in /tmp, pages that are being written."""
_BF16_BYTES: Final = 2
_EXPERTS: Final = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""What a config.json calls the number of experts (Gemma, Qwen; Mixtral, gpt-oss, MiniMax; DeepSeek, GLM; Phi)."""


class Factors(Protocol):
    """Factors of the input: ``base`` in bytes, ``input`` times all its weights, ``shard`` times its largest file."""

    @property
    def base(self) -> int:
        """The bytes that do not depend on the input."""

    @property
    def input(self) -> float | None:
        """Times the bytes of the input's weights."""

    @property
    def shard(self) -> float | None:
        """Times the bytes of the input's largest shard."""


class PeakRule(Factors, Protocol):
    """Factors, and who measured them."""

    @property
    def source(self) -> str:
        """Who measured it, and how."""


class ScriptRule(PeakRule, Protocol):
    """A script's rule that holds for some of its parameters and models."""

    @property
    def when(self) -> Mapping[str, Any]:
        """Parameters that have to have these values."""

    @property
    def experts(self) -> bool | None:
        """True: for models with experts; False: for models without; None: for all."""

    @property
    def gpus(self) -> bool | None:
        """True: measured with a GPU; False: without; None: valid for both."""

    @property
    def card(self) -> Factors | None:
        """The part on a GPU with its own memory, None if not known."""

    @property
    def times(self) -> str | None:
        """The parameter that says how many files are worked on at a time, None: one."""


class JobInputSize(NamedTuple):
    """The weights that a job reads, in bytes. ``shard_bytes`` is the largest file, None where the files are not known.

    ``experts``: the model has experts. ``source`` says where the bytes come from.
    """

    bytes: int
    shard_bytes: int | None
    experts: bool
    source: str


class JobPeak(NamedTuple):
    """The peak memory of a job, in bytes; ``parts`` is the sum in words, ``source`` who measured it and how.

    ``base_bytes`` of it are the tool's own code, which is not copied to a device. ``card_bytes`` is the part on a GPU
    with its own memory, and ``card_parts`` the sum for it; None: not known. ``with_gpu``: it was measured with a GPU.
    ``estimated``: no run on this host was measured.
    """

    bytes: int
    parts: str
    source: str
    base_bytes: int = 0
    estimated: bool = True
    card_bytes: int | None = None
    card_parts: str = ""
    with_gpu: bool = False


def peak(rule: PeakRule, size: JobInputSize, at_a_time: int = 1) -> JobPeak:
    """Return a rule's peak for an input of which ``at_a_time`` files are worked on at once."""
    count, told = _summed(rule, size, at_a_time)
    return JobPeak(count, told, rule.source, base_bytes=round(rule.base))


def script_peak(rule: ScriptRule, parameters: Mapping[str, object], size: JobInputSize) -> JobPeak:
    """Return the peak by a script's rule for an input and these parameters."""
    many = at_a_time(rule, parameters)
    found = peak(rule, size, many)._replace(with_gpu=rule.gpus is True)
    if rule.card is None:
        return found
    count, told = _summed(rule.card, size, many)
    return found._replace(card_bytes=count, card_parts=told)


def _summed(rule: Factors, size: JobInputSize, at_a_time: int) -> tuple[int, str]:
    """Return the bytes that the factors give for an input, and the sum in words."""
    told = [f"{format_gib(rule.base)} for the tool itself"] if rule.base else []
    count = float(rule.base)
    if rule.input:
        count += rule.input * size.bytes
        told.append(f"{rule.input:g} times the weights of {_shown(size.bytes)}")
    if rule.shard:
        shard = size.bytes if size.shard_bytes is None else size.shard_bytes
        held = min(at_a_time * shard, max(size.bytes, shard))
        count += rule.shard * held
        which = "the weights, whose files are not known," if size.shard_bytes is None else "the largest file"
        if held > shard:
            which = f"{at_a_time} files at a time, each {_shown(shard)} at most, together"
        told.append(f"{rule.shard:g} times {which} of {_shown(held)}")
    return round(count), " + ".join(told)


def _shown(count: int) -> str:
    """Return bytes as sums show them; for a tiny model GiB would show 0.0."""
    return format_gib(count) if count >= GIB // 10 else format_bytes(count)


def declared_peak(count: int, source: str) -> JobPeak:
    """Return a peak that a job's author wrote down."""
    return JobPeak(count, "as the job says", source)


def measured_peak(counts: Sequence[int]) -> JobPeak:
    """Return the peak of a job that ran here: the most that its runs were seen to take, plus a margin."""
    runs = "1 run" if len(counts) == 1 else f"{len(counts)} runs"
    more = max(round(max(counts) * MARGIN), LEAST_MARGIN)
    told = f"{format_gib(max(counts))}, the most of {runs} of it on this host, and {format_bytes(more)} of margin"
    return JobPeak(max(counts) + more, told, "measured here", estimated=False)


def rule_for(
    rules: Iterable[ScriptRule], parameters: Mapping[str, object], *, experts: bool, gpus: bool
) -> ScriptRule | None:
    """Return the first rule for these parameters, for a model with ``experts`` or not, and for ``gpus``, or None."""
    return next(
        (
            rule
            for rule in rules
            if rule.experts in {None, experts}
            and rule.gpus in {None, gpus}
            and all(key in parameters and parameters[key] == value for key, value in rule.when.items())
        ),
        None,
    )


def at_a_time(rule: ScriptRule, parameters: Mapping[str, object]) -> int:
    """Return how many files are worked on at a time with these parameters."""
    count = parameters.get(rule.times) if rule.times is not None else 1
    return count if type(count) is int and count > 0 else 1


def input_size(facts: ModelFacts, shard_bytes: int | None, repo: str | None = None) -> JobInputSize | None:
    """Return the weights of a model: from its tensors, else from its config.json, else from its declared facts.

    None if none of them gives the size. A declared size is rounded, and often in another unit.

    ``shard_bytes`` is the size of its largest file, None if its files are not here.

    Raises:
        InputError: its config.json has a number that is none, or is impossible.
    """
    experts = has_experts(facts)
    if facts.tensors:
        total = sum(tensor.bytes for tensor in facts.tensors)
        return JobInputSize(total, shard_bytes, experts, facts.tensors_source)
    if facts.config and declared_config(facts.config) is None:
        count = sum(part.parameters * part.count for part in parts(facts.config, QUERY_ALONE))
        return JobInputSize(count * _BF16_BYTES, None, experts, f"its parameters by {facts.config_source}")
    for one in facts.checkpoints:
        if one.size is not None and one.repo == repo:
            return JobInputSize(one.size, None, experts, one.source)
    if facts.parameters is not None:
        return JobInputSize(facts.parameters.count * _BF16_BYTES, None, experts, facts.parameters.source)
    return None


def has_experts(facts: ModelFacts) -> bool:
    """Return whether a model has experts, by its tensors or its config.json."""
    if any(FUSED.match(tensor.name) or ".experts." in tensor.name for tensor in facts.tensors):
        return True
    nested = [
        part for part in (facts.config.get("text_config"), facts.config.get("llm_config")) if isinstance(part, dict)
    ]
    counts = [part.get(key) for part in (facts.config, *nested) for key in _EXPERTS]
    return any(type(count) is int and count > 1 for count in counts)
