"""A server's flags and variables that take memory which no item counts, or that do not do what they seem to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.declarations import Finding
from sparkctl.memory.beside.classified import UNCOUNTED, UNCOUNTED_VARIABLES
from sparkctl.memory.beside.connectors import offloaded
from sparkctl.memory.beside.numbers import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.version import Version

_POOL: Final = "on unified memory the host's memory is the GPU's: it saves nothing, and pinned copies take more"
_SLEEP: Final = (
    "a GB10 sleeps and does not wake: the engine dies, or the whole host hangs (vllm#50011); the plan counts it awake"
)
_ONE_RANK: Final = "this host is counted as if it kept the whole cache"
_NUMBERS: Final = (
    *("api-server-count", "cpu-offload-gb", "data-parallel-size", "kv-offloading-size", "max-cpu-loras"),
    *("max-lora-rank", "max-loras", "mm-processor-cache-gb", "num-gpu-blocks-override", "swap-space"),
)
"""Flags from whose number an item is computed."""


def doubts(args: Mapping[str, object], env: Mapping[str, object], version: Version) -> list[Finding]:
    """Return what an operator should know about the memory, each finding with the path of its key in the recipe.

    ``args`` are by their long names; JSON values are maps.
    """
    found = [*_of_flags(args), *_of_variables(env)]
    where = ("args", "kv-offloading-size" if args.get("kv-offloading-size") is not None else "kv-transfer-config")
    found += [Finding(where, buffer.doubt) for buffer in offloaded(args, env, version) if buffer.doubt]
    return found


def _of_flags(args: Mapping[str, object]) -> Iterator[Finding]:
    for name, value in args.items():
        if value is None or value is False or value == {}:
            continue
        path = ("args", name)
        if name in UNCOUNTED:
            yield Finding(path, f"{name} takes memory that the plan does not count: {UNCOUNTED[name]}")
        elif name in {"cpu-offload-gb", "offload-group-size"} and number(value) != 0:
            yield Finding(path, f"{name}: {_POOL}")
        elif name == "enable-sleep-mode":
            yield Finding(path, _SLEEP, "leave it out, and stop the server instead: sparkctl down")
        elif name == "decode-context-parallel-size" and number(value) not in {None, 1.0}:
            yield Finding(path, f"{name}: {_ONE_RANK}")
        if name in _NUMBERS and number(value) is None:
            yield Finding(path, f"{name}: expected a number of 0 or more, found {value!r}: nothing is counted for it")


def _of_variables(env: Mapping[str, object]) -> Iterator[Finding]:
    for name in env:
        if name in UNCOUNTED_VARIABLES:
            why = UNCOUNTED_VARIABLES[name]
            yield Finding(("env", name), f"{name} takes memory that the plan does not count: {why}")
