"""What a job needs of this host: memory at its peak, and room on the disk for what it makes.

Both are said before it runs. The memory is by the rules of its script, or by what the job says itself; what earlier
runs here took replaces both, unless the memory is said by --set. The room is the product's bytes as they follow from
the headers of what it reads, and a tenth more.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.base.units import format_bytes, format_gib
from sparkctl.memory.items import PlacePart
from sparkctl.memory.job import made
from sparkctl.memory.job.peak import LEAST_MARGIN, declared_peak, input_size, measured_peak, peak, rule_for, script_peak
from sparkctl.memory.weights import checkpoint
from sparkctl.operations.jobs.memory.peaks import known_peaks
from sparkctl.operations.memory import hub_models, machine
from sparkctl.planning.admission import OnGpu, Wanted
from sparkctl.planning.devices import Devices
from sparkctl.planning.running import job_in_plan
from sparkctl.recipes.sizing import devices
from sparkctl.recipes.sizing.known_models import known_model
from sparkctl.world.labels import ServiceLabels

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.job.peak import JobInputSize, JobPeak, ScriptRule
    from sparkctl.operations.context import World
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.service import Source

MORE_DISK: Final = 0.1
"""What is added to the bytes of a product: a margin for its other files and for rounding (the facts' 1.5 % of
difference, tokenizers of 35 MB)."""
_ASKED: Final = re.compile(r"\s*memory\s*[.=]")
"""An override that says the memory: who says it now, knows what was measured here."""
_ON_A_CARD: Final = (
    "measured on a CPU; how much of it is on the GPU and how much stays in the host's memory was not measured, so it "
    "counts for both, but for the tool itself"
)
_TOGETHER: Final = "what a run took of the host's memory and of the GPU together counts for each of both"
_SHARED: Final = "measured on a CPU, with the mapped source; what copies on a GPU take beside it was not measured"


class JobNeed(NamedTuple):
    """What a job needs; sizes are in bytes.

    ``product_bytes`` are those of the safetensors that it will make, ``disk_bytes`` the room that has to be free for
    it and ``free_disk_bytes`` what is free where ``output`` is to be; None is not known. ``size`` is what it reads.
    ``cards`` are the keys of the GPUs with their own memory that it goes on. ``doubt`` says what is not known of its
    peak, "" where nothing is doubtful.
    """

    job: str
    peak: JobPeak
    size: JobInputSize | None
    product_bytes: int | None
    disk_bytes: int | None
    free_disk_bytes: int | None
    output: Path
    wanted: Wanted
    cards: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def peak_bytes(self) -> int:
        """The most that it takes of the host's memory."""
        return self.peak.bytes

    @property
    def limit_bytes(self) -> int:
        """What its container may take at most: an estimate is not exact, and files in /tmp count as its memory too."""
        return self.peak_bytes + (LEAST_MARGIN if self.peak.estimated else 0)

    @property
    def missing_disk_bytes(self) -> int:
        """What is missing of the room on the disk; 0 where it is enough, or one of both is not known."""
        if self.disk_bytes is None or self.free_disk_bytes is None:
            return 0
        return max(0, self.disk_bytes - self.free_disk_bytes)


def need(world: World, loaded: LoadedJob, source: Source) -> JobNeed:
    """Return what a job needs; ``source`` is where its input is (``recipes.job.reading.input_source``).

    Raises:
        InputError: nothing says what it takes, nothing is known of its input, a file of that is not whole, or the job
            wants a GPU that this host has not.
    """
    facts, size = _read(world, loaded, source)
    taken = _peak(world, loaded, size)
    product = _product(loaded, facts)
    room = None if product is None else round(product * (1 + MORE_DISK))
    output = world.operator.expand(loaded.job.output)
    gpu = _on_gpu(taken, loaded.job.gpus)
    cards = _cards(world, loaded, gpu)
    whole = taken.bytes + (gpu.gpu.peak_bytes if gpu is not None and cards else 0)
    return JobNeed(
        job=loaded.name,
        peak=taken,
        size=size,
        product_bytes=product,
        disk_bytes=room if loaded.job.disk == "auto" else loaded.job.disk,
        free_disk_bytes=world.host.disk_free_bytes(output.parent),
        output=output,
        wanted=Wanted(
            job_in_plan(loaded.name), loaded.reference, "", whole, whole, parts=taken.parts, gpu=gpu if cards else None
        ),
        cards=cards,
        doubt=_doubt(taken, gpu, cards),
    )


def _doubt(taken: JobPeak, gpu: OnGpu | None, cards: tuple[str, ...]) -> str:
    if gpu is None:
        return ""
    if cards:
        known = taken.card_bytes is not None
        return "" if known else _ON_A_CARD if taken.estimated else _TOGETHER
    return _SHARED if taken.estimated and not taken.with_gpu else ""


def claim_labels(need: JobNeed) -> dict[str, str]:
    """Return the labels of what a job claims of the memories, as a service's container has them."""
    gpu, whole = need.wanted.gpu, need.wanted.peak_bytes
    record = ServiceLabels(claim_bytes=whole, peak_bytes=whole)
    if gpu is not None:
        on = gpu.gpu.peak_bytes
        record = replace(record, gpus=need.cards, gpu_claim_bytes=on, gpu_peak_bytes=on)
    return record.to_labels()


def _cards(world: World, loaded: LoadedJob, gpu: OnGpu | None) -> tuple[str, ...]:
    """Return the keys of the GPUs with their own memory that a job goes on.

    Raises:
        InputError: it wants a GPU that is not there, or any of several that differ.
    """
    if gpu is None or not gpu.gpu.peak_bytes:
        return ()
    try:
        taken = gpu.devices.among(machine.gpus_of(world.host.gpus(), machine.NO_RESERVES))
    except InputError as error:
        raise InputError(f"{loaded.name}: {error.message}", hint=error.hint) from None
    return tuple(one.key for one in taken if one.pool is not None)


def _read(world: World, loaded: LoadedJob, source: Source) -> tuple[ModelFacts | None, JobInputSize | None]:
    """Return what is known of the input: its headers where it is here, else its facts, else what the hub says."""
    wanted = loaded.job.input
    if source.here is not None and regular_file.is_folder(source.here):
        here = checkpoint.facts_of_folder(source.here)
        return here, input_size(here, checkpoint.largest_shard(source.here), wanted.repo)
    facts = _known(world, loaded, source)
    return facts, None if facts is None else input_size(facts, None, wanted.repo)


def _known(world: World, loaded: LoadedJob, source: Source) -> ModelFacts | None:
    wanted = loaded.job.input
    name = wanted.facts or (
        world.catalog.facts_by_repo().get(wanted.repo) if wanted.repo and wanted.revision is None else None
    )
    if name is not None:
        return known_model(world.catalog, name).facts
    if wanted.repo is None or source.damaged:
        return None
    return hub_models.facts(world, wanted.repo, wanted.revision)


def _peak(world: World, loaded: LoadedJob, size: JobInputSize | None) -> JobPeak:
    asked = any(_ASKED.match(override) for override in loaded.overrides)
    known = [] if size is None or asked else known_peaks(world, loaded, size)
    if size is not None and known:
        rule = _rule(loaded, size)
        said = None if rule is None else script_peak(rule, loaded.parameters, size)
        taken = measured_peak(known)
        return taken if said is None else taken._replace(card_bytes=said.card_bytes, card_parts=said.card_parts)
    memory = loaded.job.memory
    if memory != "auto" and memory.peak is not None:
        return declared_peak(memory.peak, memory.source)
    if size is None:
        message = f"{loaded.name}: nothing is known of the weights that it reads, by which its memory is counted"
        raise InputError(message, hint="name facts of the model (input.facts), or say the peak: memory: {peak: …}")
    if memory != "auto":
        return peak(memory, size)
    rule = _rule(loaded, size)
    if rule is None:
        raise ProblemsError([_no_rule(loaded, size)])
    return script_peak(rule, loaded.parameters, size)


def _rule(loaded: LoadedJob, size: JobInputSize) -> ScriptRule | None:
    declared = loaded.script.declared
    rules = declared.memory if declared is not None else ()
    return rule_for(rules, loaded.parameters, experts=size.experts, gpus=loaded.job.gpus != "none")


def _no_rule(loaded: LoadedJob, size: JobInputSize) -> Problem:
    given = ", ".join(f"{key}: {value}" for key, value in loaded.parameters.items() if isinstance(value, str))
    kind = "a model with experts" if size.experts else "a model without experts"
    message = f"the script {loaded.script.name} does not say what it takes with {given or 'these parameters'} of {kind}"
    hint = "say it in the job: memory: {peak: 30 GiB, source: …}, or factors of the input's bytes"
    return Problem(f"memory: {message}", loaded.document.node(("memory",)).key, hint)


def _product(loaded: LoadedJob, facts: ModelFacts | None) -> int | None:
    """Return the bytes of what the job makes, by the parameters that say how it quantizes; None: not known."""
    given = loaded.parameters
    scheme = given.get("scheme") or given.get("algorithm")
    if facts is None or not isinstance(scheme, str):
        return None
    # What reads the files keeps all of them; what loads a model by transformers saves what that has.
    spare = given.get("way") == "model-free"
    return made.predicted_bytes(facts, scheme, loaded.job.ignored or (), spare=spare)


def _on_gpu(taken: JobPeak, gpus: str) -> OnGpu | None:
    """Return what of a job is on a GPU with its own memory: the first that it is given, as the tools take it."""
    ids = devices.named(gpus)
    if ids is None:
        return None
    copied = max(0, taken.bytes - taken.base_bytes) if taken.card_bytes is None else taken.card_bytes
    on = PlacePart(copied, copied, taken.card_parts or taken.parts)
    beside = PlacePart(taken.bytes, taken.bytes, taken.parts)
    return OnGpu(on, beside, Devices(ids=ids))


def told(need: JobNeed) -> list[str]:
    """Return a job's need in words, a line each: its peak with its parts and source, and its room on the disk."""
    kind = "an estimate" if need.peak.estimated else "measured"
    lines = [f"{format_gib(need.peak_bytes)} of memory at its peak ({kind}): {need.peak.parts}; {need.peak.source}"]
    if need.disk_bytes is not None:
        of = "" if need.product_bytes is None else f", for a product of {format_bytes(need.product_bytes)}"
        lines.append(f"{format_bytes(need.disk_bytes)} of disk for {need.output}{of}")
    return lines
