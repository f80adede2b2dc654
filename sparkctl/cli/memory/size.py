"""``sparkctl size``: what a model takes, item by item, with these flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from sparkctl.base import units
from sparkctl.base.errors import InputError
from sparkctl.base.validation import thousands
from sparkctl.cli.memory import size_json, size_table
from sparkctl.cli.options import as_json
from sparkctl.memory.changes import Changes
from sparkctl.operations.memory.size import size

if TYPE_CHECKING:
    from sparkctl.cli.session import Session

_LEAST: Final = units.MIB
"""A smaller cache is not plausible: a unit was left out."""


class Count(click.IntRange):
    """A whole number of tokens or sequences; for 32k it says what that may mean."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """Return the number, or fail with what to write."""
        meant = thousands(value) if isinstance(value, str) else None
        if meant is not None:
            self.fail(f"{value!r}: {meant}", param, ctx)
        return super().convert(value, param, ctx)


_COUNT: Final = Count(min=1)


@click.command
@click.argument("model")
@click.option("--vllm", metavar="VERSION", help="0.20 is its newest patch; the recipe's own, else the newest known.")
@click.option("--kv-cache-dtype", metavar="TYPE", help="auto, fp8 …")
@click.option("--max-model-len", type=_COUNT, metavar="TOKENS", help="The context.")
@click.option("--max-num-batched-tokens", type=_COUNT, metavar="TOKENS")
@click.option("--max-num-seqs", type=_COUNT, metavar="N", help="Sequences; the cache is to hold them all in full.")
@click.option("--quantization", metavar="METHOD", help="fp8 and others, as vLLM's flag.")
@click.option("--language-model-only", is_flag=True, help="Without the towers for images and sound.")
@click.option("--speculative-tokens", type=_COUNT, metavar="N", help="Draft N tokens a step.")
@click.option("--draft", metavar="MODEL", help="The draft model: a folder, model facts, or owner/name.")
@click.option("--no-async-scheduling", is_flag=True)
@click.option("--disable-hybrid-kv-cache-manager", is_flag=True)
@click.option("--enable-prefix-caching/--no-enable-prefix-caching", default=None)
@click.option("--mamba-cache-dtype", metavar="TYPE", help="Of a model's recurrent states.")
@click.option("--mamba-ssm-cache-dtype", metavar="TYPE")
@click.option("--moe-backend", metavar="NAME", help="The experts' kernels: marlin and others.")
@click.option("--load-format", metavar="NAME", help="How the weights are read: fastsafetensors and others.")
@click.option("--tensor-parallel-size", type=_COUNT, metavar="N", help="Sizes are of one of N GPUs.")
@click.option("--pipeline-parallel-size", type=_COUNT, metavar="N", help="Stages that have some of the layers each.")
@click.option("--enable-expert-parallel", is_flag=True, help="Experts are dealt out whole, and not cut.")
@click.option("--nnodes", type=_COUNT, metavar="N", help="Hosts that have as many of the ranks each; of the head's.")
@click.option("--enforce-eager", is_flag=True, help="Without torch.compile and CUDA graphs.")
@click.option("--gpu-memory-utilization", type=click.FloatRange(0, 1, min_open=True), metavar="SHARE")
@click.option("--block-size", type=_COUNT, metavar="TOKENS")
@click.option("--available", metavar="BYTES", help="What the KV cache has: 20GiB, 21474836480 …")
@as_json
@click.pass_obj
def command(session: Session, /, model: str, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401  (click's values)
    """Show where every GiB of MODEL goes: a recipe, a folder with config.json, model facts, or owner/name.

    Without a recipe, vLLM's own defaults on a GB10 are taken, and a cache for one sequence of the longest context.
    """
    available = options.pop("available")
    vllm = options.pop("vllm")
    given = None if available is None else units.parse_bytes(available)
    if given is not None and given < _LEAST:
        hint = f"with its unit: --available {available}GiB"
        raise InputError(f"--available {available} is {units.format_bytes(given)}", hint=hint)
    changes = Changes(**options, available=given)
    taken = size(session.world, model, changes, vllm=vllm)
    if as_json:
        session.out.json(size_json.row(taken))
        return
    size_table.show(session.out, taken)
    for warning in taken.warnings:
        session.out.warn(warning)
