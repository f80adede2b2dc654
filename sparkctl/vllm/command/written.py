"""What a flag's value may be, as it is written in a recipe: one value or several, JSON or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.bounded import BOUNDS, UnreadableError, read_json
from sparkctl.base.declarations import Finding
from sparkctl.vllm import flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.base.declarations import FlagValue

_SEVERAL_NAMES: Final = """
    allowed-media-domains api-key collect-detailed-traces cpu-offload-params cudagraph-capture-sizes device-ids
    ignore-patterns kv-cache-dtype-skip-layers logits-processors lora-modules lora-target-modules middleware
    numa-bind-cpus numa-bind-nodes offload-params served-model-name sleep-preserve-parameter-names
"""
SEVERAL: Final = frozenset(_SEVERAL_NAMES.split())
"""Flags that take several values: their fields are lists or sets (vLLM 0.17.1 to 0.33.0 config/*.py, cli_args.py)."""
_JSON_KINDS: Final = frozenset({"loads", "parse_dataclass", "union_dict_and_str"})
_JSON_NAMES: Final = """
    custom-histogram-buckets default-mm-loras diffusion-config ec-transfer-config engram-config kv-events-config
    kv-transfer-config limit-mm-per-prompt media-io-kwargs mm-processor-kwargs model-class-overrides
    override-generation-config pooler-config quantization-config reasoning-config speculative-config watermark-config
    weight-transfer-config
"""
_JSON: Final = frozenset(_JSON_NAMES.split())
"""Flags that take JSON although the type of their parser does not say so."""
_NEVER_TEXT: Final = "loads"
_HINT: Final = "write a map in YAML, which is rendered as JSON"


def takes_json(name: str) -> bool:
    """Return whether a flag's value is JSON; ``name`` has no dashes in front."""
    return name in _JSON or flags.kinds().get(f"--{name}") in _JSON_KINDS


def is_json_list(name: str) -> bool:
    """Return whether a list is one JSON text for this flag, and not several values."""
    return takes_json(name) and name not in SEVERAL


def problems(args: Mapping[str, FlagValue]) -> Iterator[Finding]:
    """Yield the values that no vLLM accepts, each with its path in ``args``."""
    for name, value in args.items():
        if "." in name:
            continue
        if isinstance(value, list):
            yield from _list_problems(name, value)
        elif isinstance(value, str) and takes_json(name):
            yield from _json_problem((name,), value, never_text=flags.kinds().get(f"--{name}") == _NEVER_TEXT)


def _list_problems(name: str, values: list[Any]) -> Iterator[Finding]:
    if name in SEVERAL:
        for index, one in enumerate(values):
            if name == "lora-modules" and isinstance(one, str):
                yield from _json_problem((name, index), one, never_text=False)
    elif f"--{name}" in flags.names() and not is_json_list(name):
        hint = f"write {name}: {values[0]}" if len(values) == 1 else f"--{name} takes one"
        yield Finding((name,), f"expected one value, found a list of {len(values)}", hint)


def _json_problem(path: tuple[str | int, ...], text: str, *, never_text: bool) -> Iterator[Finding]:
    stripped = text.strip()
    if not stripped.startswith(("{", "[")) and not never_text:
        return
    try:
        json.loads(stripped)
    except (ValueError, RecursionError) as error:
        at = f" at its character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        yield Finding(path, f"expected JSON, which vLLM reads here, found a text that is none{at}", _why(stripped))
        return
    try:
        read_json(stripped)
    except UnreadableError as error:
        yield Finding(path, f"expected JSON, which vLLM reads here, found {error.message}", _HINT)


def _why(text: str) -> str:
    if text.startswith("{{"):
        return f"its braces are doubled: {_HINT}"
    if "'" in text and '"' not in text:
        return f"JSON quotes with \" and not with ': {_HINT}"
    if text.startswith(("{", "[")) and '"' not in text:
        return f'names and texts in JSON stand in ": {_HINT}'
    return _HINT


def meaning(args: Mapping[str, FlagValue]) -> dict[str, Any]:
    """Return the flags with JSON as maps and lists; ``x.y: 1`` is ``x: {y: 1}``, as vLLM reads it.

    A flag that is null is left out.
    """
    found: dict[str, Any] = {}
    for name, value in args.items():
        head, _, rest = name.partition(".")
        if value is None:
            continue
        if not rest or rest.count(".") > BOUNDS.depth:  # as deep as JSON may be nested
            found[head] = _laid(found.get(head), _parsed(head, value))
            continue
        for key in reversed(rest.split(".")):
            value = {key.removesuffix("+"): value}  # noqa: PLW2901  (built from the inside)
        found[head] = _laid(found.get(head), value)
    return found


def _parsed(name: str, value: FlagValue) -> object:
    if isinstance(value, str) and takes_json(name) and value.strip().startswith(("{", "[")):
        try:
            return read_json(value)
        except UnreadableError:
            return value
    return value


def _laid(below: object, over: object) -> object:
    if not isinstance(below, dict) or not isinstance(over, dict):
        return over
    return {**below, **{key: _laid(below.get(key), value) for key, value in over.items()}}
