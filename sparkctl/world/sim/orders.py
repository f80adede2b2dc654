"""The operator's orders: faults, for one name or for all, and the machine that is simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.world.sim import pool
from sparkctl.world.sim.flags import parse_faults

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

VARIABLE: Final = "SPARKCTL_SIM_FAULTS"
ALL: Final = "*"
_MOST: Final = 65_536
"""Bytes of the file of faults."""


def read(sim: Path, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the ordered faults by name: the file's, then the variable's.

    Raises:
        InputError: the file or the variable is no map of faults.
    """
    path = sim / "faults.yaml"
    if not regular_file.is_there(path):
        return variable(environ)
    try:
        text = regular_file.read_text(path, _MOST)
        return _by_name(yaml.safe_load(text) or {}) | variable(environ)
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _unreadable(str(path)) from error


def variable(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the faults that an environment orders, by name.

    Raises:
        InputError: the variable is no map of faults.
    """
    try:
        return _by_name(parse_faults(environ.get(VARIABLE, "")))
    except (TypeError, ValueError, RecursionError) as error:
        raise _unreadable(VARIABLE) from error


def machine(sim: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the order of a machine: the variable's, else the file's; an empty one is a DGX Spark (``sim.pool``).

    Raises:
        InputError: it cannot be read, or is no machine.
    """
    path, text, where = sim / "host.yaml", environ.get(pool.VARIABLE, ""), pool.VARIABLE
    try:
        if not text and regular_file.is_there(path):
            text, where = regular_file.read_text(path, _MOST), str(path)
        kinds = [one.strip() for one in text.split(",")]
        named = all(kind in pool.KINDS for kind in kinds)
        order = {"gpus": [pool.KINDS[kind] for kind in kinds]} if named else yaml.safe_load(text) or {}
        pool.of_order(order)
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, KeyError, RecursionError, InputError) as error:
        message = f"{where}: expected the machine to simulate, found what cannot be read: {error}"
        raise InputError(message, hint=f"such as {pool.VARIABLE}=rtx-5090, of {', '.join(pool.KINDS)}") from None
    return dict(order)


def faults(orders: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    """Return the faults of something with ``names``; a later name's override an earlier one's and those for all."""
    found: dict[str, Any] = {}
    for name in (ALL, *names):
        found |= orders.get(name, {})
    return found


def wrong_bytes(ordered: Mapping[str, Any], path: str) -> bool:
    """Return whether this file of an image is ordered to differ: all are, or those whose path ends so."""
    which = ordered.get("wrong_bytes", False)
    return path.endswith(which) if isinstance(which, str) else bool(which)


def _by_name(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    if found and all(isinstance(value, dict) for value in found.values()):
        return {name: dict(value) for name, value in found.items()}
    return {ALL: dict(found)} if found else {}


def _unreadable(where: str) -> InputError:
    message = f"{where}: expected a map from names to faults, or faults"
    return InputError(message, hint=f'such as {VARIABLE}=\'{{"e4b-nvfp4": {{"oom": true}}}}\'')
