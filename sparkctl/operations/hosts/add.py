"""A host more in ``hosts.yaml``: reached once, its fabric found, and written down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base import document, regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.validation import validate
from sparkctl.operations.hosts import listed
from sparkctl.operations.hosts.judged import found_fabric
from sparkctl.recipes.hosts.declared import HostsFile

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.world.host import MachineFacts

_WITHIN_S = 15.0
_HEAD = "hosts:\n"


class Added(NamedTuple):
    """The written entry, and its file."""

    path: Path
    text: str
    facts: MachineFacts


def add(world: World, name: str, target: str) -> Added:
    """Reach a host, find its fabric, and write it at the end of the hosts file.

    Raises:
        InputError: the name is taken, or is none, or the file is not as it has to be.
        EngineError: the host is not reached.
    """
    known = listed.hosts(world)
    if name in known.hosts:
        raise InputError(f"there is a host {name} already in {known.path}", hint="take another name, or edit the file")
    path = listed.place(world)
    before = regular_file.read_text(path, document.MAX_BYTES) if known.path is not None else _HEAD
    validate(document.load(before + _entry(name, target, None), str(path)), HostsFile)  # the name and the target
    reached = world.reach(name, target, tell=lambda _: None, within_s=_WITHIN_S)
    try:
        facts = reached.facts
    finally:
        reached.close()
    text = _entry(name, target, facts)
    whole = f"{before.rstrip()}\n{text}"
    validate(document.load(whole, str(path)), HostsFile)
    world.files.write(path, whole.encode(), mode=0o644)
    return Added(path, text, facts)


def _entry(name: str, target: str, facts: MachineFacts | None) -> str:
    lines = [f"  {json.dumps(name)}:" if name.isdigit() else f"  {name}:", f"    ssh: {json.dumps(target)}"]
    found = None if facts is None else found_fabric(facts)
    if found is not None:
        address, interface, devices = found
        lines += ["    fabric:", f"      address: {address}", f"      interface: {interface}"]
        lines.append(f"      hca: [{', '.join(devices)}]")
    return "\n".join(lines) + "\n"
