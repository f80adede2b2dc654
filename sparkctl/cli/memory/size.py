"""``sparkctl size``: what a model takes, item by item, with these flags."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from packaging.version import InvalidVersion, Version

from sparkctl.base import units
from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.cli.options import as_json
from sparkctl.memory.changes import Changes
from sparkctl.memory.items import When
from sparkctl.memory.weights import checkpoint
from sparkctl.recipes.sized import CACHE, Reader, longest, sized
from sparkctl.vllm import flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.cli.session import Session
    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.footprint import Footprint
    from sparkctl.memory.items import Item
    from sparkctl.memory.kv_cache import KvGroup
    from sparkctl.recipes.sized import SizedModel

_LEAST_SHOWN: Final = GIB // 200
"""Smaller parts are summed up in the table: it shows two decimals of a GiB."""
_BAR: Final = 30
_COUNT: Final = click.IntRange(min=1)


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
@click.option("--block-size", type=_COUNT, metavar="TOKENS")
@click.option("--available", metavar="BYTES", help="What the KV cache has: 20GiB, 21474836480 …")
@as_json
@click.pass_obj
def command(session: Session, /, model: str, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401  (click's values)
    """Show where every GiB of MODEL goes: a recipe, a folder with config.json, model facts, or owner/name.

    Without a recipe, vLLM's own defaults on a GB10 are taken, and a cache for one sequence of the longest context.
    """
    version = _version(options.pop("vllm"))
    available = options.pop("available")
    changes = Changes(**options, available=None if available is None else units.parse_bytes(available))
    on_disk = session.world.disk_models
    reader = Reader(
        session.world.catalog,
        on_disk,
        session.world.operator,
        session.world.loader(on_disk),
        partial(_of_the_hub, session),
    )
    subject = reader.subject(model, version, changes)
    _refuse_unknown(options, subject)
    taken = sized(subject, session.world.profile)
    warnings = [*([subject.version.note] if subject.version.note else []), *taken.warnings]
    if as_json:
        session.out.json(_as_json(subject, taken, warnings))
        return
    _show(session, subject, taken)
    for warning in warnings:
        session.out.warn(warning)


def _of_the_hub(session: Session, repo: str) -> ModelFacts:
    """Return what a repository says of its model; of its weights, the headers alone are read."""
    session.out.say(f"reading the headers of {repo} on the hub")
    config, headers = session.world.hub.headers(repo, cache=session.world.operator.expand(CACHE))
    return checkpoint.facts_of_headers(repo, config, headers)


def _version(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        Version(text)
    except InvalidVersion:
        message = f"--vllm {text}: expected a version of vLLM, found {text!r}"
        raise InputError(message, hint="such as 0.20.2, or 0.20 for its newest patch release") from None
    return text


def _refuse_unknown(options: Mapping[str, object], subject: SizedModel) -> None:
    """Refuse a choice that this vLLM does not have."""
    for name in ("kv-cache-dtype", "quantization"):
        value = options[name.replace("-", "_")]
        problem = flags.check_flag(name, str(value), subject.version.version) if value is not None else None
        if problem:
            raise InputError(problem, hint="vllm serve --help of that version lists what there is")


# --- JSON ------------------------------------------------------------------------------------------------------------


def _as_json(subject: SizedModel, taken: Footprint, warnings: list[str]) -> dict[str, object]:
    cache, weights = taken.kv, taken.loaded
    return {
        "model": subject.name,
        "vllm": str(subject.version.version),
        "weights": {
            "bytes": weights.bytes,
            "checkpoint_bytes": weights.checkpoint_bytes,
            "by_component": dict(weights.by_component),
            "by_dtype": dict(weights.by_dtype),
            "skipped": dict(weights.skipped),
            "source": weights.source,
            "estimated": weights.estimated,
        },
        "kv_cache": {
            "dtype": subject.settings.kv.dtype,
            "bytes": taken.kv_bytes,
            "bytes_per_block": cache.bytes_per_block,
            "groups": [
                {
                    "kind": str(group.kind),
                    "layers": group.layers,
                    "block_size": group.block_size,
                    "page_bytes": group.page_bytes,
                    "blocks_per_request": group.blocks_per_request,
                }
                for group in cache.groups
            ],
            "context": cache.context,
            "blocks_per_request": cache.blocks_per_request,
            "bytes_per_request": cache.bytes_per_request,
            "num_blocks": cache.blocks_in(taken.kv_bytes),
            "tokens": cache.tokens(taken.kv_bytes),
            "max_concurrency": round(cache.concurrency(taken.kv_bytes), 2),
            "largest_context": longest(subject, taken),
            "most_sequences": cache.sequences_in(taken.kv_bytes),
        },
        "overhead": {
            item.name: {
                "bytes": item.bytes,
                "uncertainty_bytes": item.uncertainty,
                "when": str(item.when),
                "where": str(item.where),
                "source": item.source,
            }
            for item in taken.overhead
        },
        "steady_bytes": taken.steady_bytes,
        "peak_bytes": taken.peak_bytes,
        "warnings": warnings,
    }


# --- for a person ----------------------------------------------------------------------------------------------------


def _show(session: Session, subject: SizedModel, taken: Footprint) -> None:
    kv = subject.settings.kv
    session.out.result(
        f"{subject.name} on vLLM {subject.version.version}: context {kv.context:,}, "
        f"{_plural(subject.settings.sequences, 'sequence')}, {kv.batched_tokens:,} batched tokens"
    )
    session.out.result()
    lines = [*_weight_lines(taken), *_cache_lines(subject, taken), *_overhead_lines(taken)]
    lines.append(_Line("held while it runs", taken.steady_bytes))
    lines.append(_Line("at most while it starts", taken.peak_bytes))
    notes = list(dict.fromkeys(line.source for line in lines if line.source))
    session.out.table(["", "GiB", "", "", ""], [_row(line, taken.peak_bytes, notes) for line in lines])
    session.out.result()
    for number, note in enumerate(notes, 1):
        session.out.result(f"[{number}] {note}")


class _Line(NamedTuple):
    """A line of the table: a part of a part is indented; ``source`` becomes a note below the table."""

    name: str
    size: int
    text: str = ""
    source: str = ""
    part: bool = False


def _row(line: _Line, whole: int, notes: list[str]) -> list[str]:
    note = f"[{notes.index(line.source) + 1}]" if line.source else ""
    bar = "" if line.part else "█" * max(1, round(line.size * _BAR / whole)) if line.size else ""
    return [f"{'  ' if line.part else ''}{line.name}", f"{line.size / GIB:.2f}", bar, line.text, note]


def _weight_lines(taken: Footprint) -> Iterator[_Line]:
    weights = taken.loaded
    skipped = ", ".join(f"{name} {size / GIB:.2f}" for name, size in weights.skipped.items())
    text = "estimated" if weights.estimated else ""
    text += f"{'; ' if text else ''}not loaded: {skipped}" if skipped else ""
    yield _Line("weights", weights.bytes, text, weights.source)
    ordered = sorted(weights.by_component.items(), key=lambda part: -part[1])
    yield from (_Line(name, size, part=True) for name, size in ordered if size >= _LEAST_SHOWN)
    rest = sum(size for _, size in ordered if size < _LEAST_SHOWN)
    if rest:
        yield _Line("smaller parts", rest, part=True)


def _cache_lines(subject: SizedModel, taken: Footprint) -> Iterator[_Line]:
    cache = taken.kv
    if not cache.groups:
        yield _Line("KV cache", 0, "this model keeps none")
        return
    many = cache.concurrency(taken.kv_bytes)
    text = f"{subject.settings.kv.dtype}: {many:.2f} x {cache.context:,} tokens, "
    text += f"{cache.blocks_in(taken.kv_bytes):,} blocks of {cache.bytes_per_block:,} bytes"
    yield _Line("KV cache", taken.kv_bytes, text)
    if subject.settings.kv_bytes is not None:
        at_once = subject.settings.cached_sequences
        most = f"{_plural(cache.sequences_in(taken.kv_bytes), 'sequence')} of {cache.context:,} tokens"
        most += f", or {_plural(at_once, 'sequence')} of {longest(subject, taken):,}"
        yield _Line("at most", taken.kv_bytes, most, part=True)
    kinds: dict[KvGroup, list[int]] = {}
    for group in cache.groups:
        kinds.setdefault(replace(group, layers=0), []).append(group.layers)
    for kind, layers in kinds.items():
        blocks = kind.blocks_per_request * len(layers)
        text = f"a sequence has {_plural(blocks, 'block')} of {kind.block_size:,} tokens"
        yield _Line(f"{_plural(sum(layers), f'{kind.kind} layer')}", blocks * cache.bytes_per_block, text, part=True)


def _overhead_lines(taken: Footprint) -> Iterator[_Line]:
    steady = [item for item in taken.overhead if item.when is When.STEADY]
    yield _Line("overhead", sum(item.bytes for item in steady))
    for item in steady:
        yield _Line(item.name, item.bytes, _known(item), item.source, part=True)
    for item in taken.overhead:
        if item.when is When.START:
            yield _Line(item.name, item.bytes, _known(item), item.source)


def _known(item: Item) -> str:
    return f"estimated, ± {item.uncertainty / GIB:.2f}" if item.estimated else ""


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")
