"""Measurements to send to others, and those of others: written and read in the form of ``recipes/measured``.

What is written says the model, the flags that memory depends on and the figures. It has no names of services, recipes,
hosts or people, no path, no address and no key: of a flag's value only what can be none of them is written, and of the
others that they were there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml
from pydantic import ValidationError

from sparkctl.base import document, named_file
from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.base.errors import InputError
from sparkctl.base.validation import validate
from sparkctl.operations.memory import machine
from sparkctl.operations.memory.measurements import measurements
from sparkctl.planning.doubts import elsewhere
from sparkctl.planning.known_starts import KnownStart, KnownStarts
from sparkctl.planning.measured import CARD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.planning.measured import Measurement

SOURCE: Final = "a host's own measurement (sparkctl measurements export)"
_PLAIN: Final = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?|[a-z0-9][a-z0-9_.+-]{0,30}", re.IGNORECASE)
"""A number, a choice such as fp8_e4m3 or true: nothing with a slash, a blank, an @ or a colon."""
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_FREE: Final = re.compile(r"name|host|addr|port|path|dir|file|template|key|token|url|user|id$|config$|mods|transfer")
"""Flags whose values are chosen freely, or name something of the operator's."""
_OF_DRAFTS: Final = ("method", "model", "num_speculative_tokens")
_HEAD: Final = "# Starts as one host measured them, to be sent in or read by `sparkctl measurements import`.\n"


class Exported(NamedTuple):
    """A file's text, how many starts are in it, and in words what was left out."""

    text: str
    starts: int
    left_out: tuple[str, ...]


class Imported(NamedTuple):
    """Where a file was kept, and how many starts are in it."""

    path: Path
    starts: int


def export(world: World, names: Sequence[str] = ()) -> Exported:
    """Return this host's measurements as a file of measured starts; ``names`` as for ``measurements``.

    Raises:
        InputError: nothing that can be exported was measured; or the store cannot be used.
    """
    if world.simulated:
        raise InputError("what is simulated is no measurement", hint="run it on a Spark: --engine docker")
    rows, left_out = [], []
    total = machine.total_bytes(world.host)
    for one in measurements(world, names):
        if elsewhere(one, total):
            continue  # told already: of which card that machine was is not known
        try:
            start = KnownStart.model_validate(_start(one, world.profile.card.key), by_alias=True, by_name=False)
        except ValidationError as error:
            why = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            left_out.append(f"{one.service}, {one.date}: {why}")
            continue
        rows.append(_written(start))
    if not rows:
        hint = "each `sparkctl up` measures its start; sparkctl measurements lists them"
        raise InputError("\n".join(["nothing that was measured can be exported", *left_out]), hint=hint)
    text = yaml.safe_dump({"starts": rows}, sort_keys=False, allow_unicode=True, width=120)
    return Exported(_HEAD + text, len(rows), tuple(left_out))


def save(world: World, exported: Exported, path: Path) -> None:
    """Write what was exported to a file.

    Raises:
        InputError: the file cannot be written.
    """
    world.own_files.write(path.absolute(), exported.text.encode(), mode=0o644)


def import_file(world: World, path: Path) -> Imported:
    """Keep a file of measured starts in the operator's own folder, where every plan finds it.

    Raises:
        InputError: it is none, a start in it contradicts its own figures, or another file of its name is kept already.
    """
    if not path.exists():
        raise InputError(f"no file {path}", hint="sparkctl measurements export writes one")
    text = named_file.text(path)
    if text.lstrip().startswith(("[", "- ")):
        message = (
            f"{path} is a list, as `sparkctl measurements --json` prints it: it does not say of which machine it is"
        )
        raise InputError(message, hint="on that host: sparkctl measurements export -o FILE")
    read = validate(document.read(path), KnownStarts)
    kept = world.operator.config / "recipes" / "measured" / f"{path.stem}.yaml"
    there = named_file.text(kept) if named_file.there(kept) else text
    if there != text:
        hint = f"give it another name, or remove that one: rm {kept}"
        raise InputError(f"{kept} has other starts already", hint=hint)
    world.files.write(kept, text.encode(), mode=0o644)
    return Imported(kept, len(read.starts))


def _start(one: Measurement, card: str) -> dict[str, Any]:
    flags = dict(one.key.flags)
    own = flags.pop(CARD, None)
    said = {name: value for name, text in flags.items() if (value := _public(name, text)) is not None}
    logged = {
        "loaded": one.loaded_bytes,
        "kv-cache": one.kv_bytes,
        "kv-tokens": one.kv_tokens,
        "graphs": one.graphs_bytes,
        "activation": one.peak_activation_bytes,
        "gpu": one.gpu_bytes or None,
        "gpu-peak": one.peak_gpu_bytes or None,
        "host": one.host_bytes,
        "peak": one.peak_total_bytes,
    }
    return {
        "model": one.key.model,
        "revision": one.key.revision if re.fullmatch(r"[0-9a-f]{40}", one.key.revision) else "",
        "vllm": one.vllm,
        "image": one.key.image_digest or None,
        "card": own or card,
        "total": one.host_total_bytes if own is None else None,
        "flags": said,
        "unsaid": sorted(flags.keys() - said.keys()),
        "logged": logged,
        "phases": {name: round(seconds, 1) for name, seconds in one.phases.items()},
        "date": one.date,
        "source": SOURCE,
    }


def _public(name: str, text: str) -> object:
    """Return a flag's value as it is written; None where it may name something."""
    if name == "speculative-config":
        return _drafting(text)
    if _FREE.search(name) or not _PLAIN.fullmatch(text):
        return None
    return yaml.safe_load(text) if re.fullmatch(r"-?\d+(\.\d+)?|true|false", text) else text


def _drafting(text: str) -> Mapping[str, object] | None:
    """Return how it drafts, where nothing of it names something of the operator's."""
    try:
        read = read_json(text)
    except UnreadableError:
        return None
    if not isinstance(read, dict) or not set(read) <= set(_OF_DRAFTS):
        return None
    model, method = read.get("model"), read.get("method")
    repository = model is None or (isinstance(model, str) and _REPOSITORY.fullmatch(model))
    plain = method is None or (isinstance(method, str) and _PLAIN.fullmatch(method))
    return read if repository and plain else None


def _written(start: KnownStart) -> dict[str, object]:
    """Return a start without what it does not say."""
    return dict(_said(start.model_dump(by_alias=True, exclude_none=True, mode="json")))


def _said(part: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in part.items():
        if value not in ("", [], {}):
            yield name, dict(_said(value)) if isinstance(value, dict) else value
