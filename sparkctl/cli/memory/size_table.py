"""What a model takes, as a table to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import GIB
from sparkctl.memory.items import When, bound, middle
from sparkctl.vllm.kinds import ServerKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.cli.output import Output
    from sparkctl.memory.footprint import Footprint
    from sparkctl.memory.items import Item
    from sparkctl.memory.kv_cache import KvGroup
    from sparkctl.memory.pace.roofline_share import Speed
    from sparkctl.operations.memory.size import Size

_LEAST_SHOWN: Final = GIB // 200
"""Smaller parts are summed up in the table: it shows two decimals of a GiB."""
_BAR: Final = 30


def show(out: Output, size: Size) -> None:
    """Print what a model takes, a line for each part, drawn to scale."""
    subject, taken = size.model, size.footprint
    kv = subject.settings.kv
    does = "" if subject.kind is ServerKind.GENERATE else f"it {subject.kind.does}, "
    out.result(
        f"{subject.name} on vLLM {subject.version.version}: {does}context {kv.context:,}, "
        f"{_plural(subject.settings.sequences, 'sequence')}, {kv.batched_tokens:,} batched tokens"
    )
    out.result()
    lines = [*_weight_lines(taken), *_cache_lines(size), *_overhead_lines(taken)]
    lines.append(_Line("held while it runs", taken.steady_bytes, f"at most {taken.bound_bytes / GIB:.2f}"))
    lines.append(_Line("at its peak", taken.peak_bytes, f"at most {taken.peak_bound_bytes / GIB:.2f}"))
    notes = list(dict.fromkeys(line.source for line in lines if line.source))
    out.table(["", "GiB", "", "", ""], [_row(line, taken.peak_bytes, notes) for line in lines])
    out.result()
    for number, note in enumerate(notes, 1):
        out.result(f"[{number}] {note}")
    if size.speed is not None:
        out.result()
        out.result(_speed(size.speed))


def _speed(speed: Speed) -> str:
    """Return how fast one reader gets tokens: what is to be expected, and the most."""
    reached = speed.reached
    return (
        f"one reader without drafts: about {speed.expected:.0f} tok/s expected, {speed.most:.0f} at most "
        f"({speed.bytes_per_token / 1e9:.2f} GB a token; {reached.kind}: {reached.share:.0%} of the bandwidth, "
        f"{reached.least:.0%} to {reached.most:.0%} in {reached.source})"
    )


class _Line(NamedTuple):
    """A line of the table; a part of another part is indented; ``source`` becomes a note below the table."""

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


def _cache_lines(size: Size) -> Iterator[_Line]:
    subject, taken = size.model, size.footprint
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
        most += f", or {_plural(at_once, 'sequence')} of {size.longest_context:,}"
        yield _Line("at most", taken.kv_bytes, most, part=True)
    kinds: dict[KvGroup, list[int]] = {}
    for group in cache.groups:
        kinds.setdefault(group._replace(layers=0), []).append(group.layers)
    for kind, layers in kinds.items():
        blocks = kind.blocks_per_request * len(layers)
        text = f"a sequence has {_plural(blocks, 'block')} of {kind.block_size:,} tokens"
        yield _Line(f"{_plural(sum(layers), f'{kind.kind} layer')}", blocks * cache.bytes_per_block, text, part=True)


def _overhead_lines(taken: Footprint) -> Iterator[_Line]:
    steady = [item for item in taken.overhead if item.when is not When.START]
    yield _Line("overhead", middle(steady), f"at most {bound(steady) / GIB:.2f}")
    for item in steady:
        yield _Line(item.name, item.bytes, _known(item), item.source, part=True)
    for item in taken.overhead:
        if item.when is When.START:
            yield _Line(item.name, item.bytes, _known(item), item.source)


def _known(item: Item) -> str:
    return f"estimated, at most {item.bound / GIB:.2f}" if item.estimated else ""


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")
