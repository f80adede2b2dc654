"""What a stack says of the hosts on which its services run: the names of hosts, pins, labels, and who keeps apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Protocol

from pydantic import BeforeValidator

from sparkctl.base.declarations import Finding, Names
from sparkctl.base.validation import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_KEYS: Final = ("host", "spread", "labels")
"""What a service says of its hosts."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Pins = Annotated[Names, BeforeValidator(_listed, json_schema_input_type=str | list[str])]
"""One host, or those of a group in the order of its ranks; in YAML a name or a list of names."""


class Placeable(Protocol):
    """What a service of a stack says of its hosts."""

    @property
    def host(self) -> tuple[str, ...]:
        """The hosts that it is pinned to, () where any may have it."""

    @property
    def spread(self) -> str | None:
        """A word: services with the same one go to different hosts."""

    @property
    def labels(self) -> Mapping[str, str]:
        """What its host's labels have to say."""

    @property
    def model_fields_set(self) -> set[str]:
        """The keys that were written."""


def misplaced(hosts: Sequence[str], services: Mapping[str, Placeable]) -> Iterator[Finding]:
    """Yield what contradicts itself: hosts that the stack does not list, and what has no meaning on one host."""
    for service, declared in services.items():
        if not hosts:
            told = "is for a stack that lists its hosts, and this one runs on one machine alone"
            for key in (key for key in _KEYS if key in declared.model_fields_set):
                yield Finding(("services", service, key), told, "add hosts: [NAME, NAME], or remove it")
            continue
        for number, name in enumerate(declared.host):
            if name not in hosts:
                close = nearest(name, hosts)
                hint = f"did you mean {close}?" if close else f"there are: {', '.join(hosts)} (its key `hosts`)"
                yield Finding(("services", service, "host", number), f"{name} is no host of this stack", hint)
        if declared.spread is not None and sum(one.spread == declared.spread for one in services.values()) > len(hosts):
            message = f"more services have the word {declared.spread} than there are hosts: each needs one of its own"
            yield Finding(("services", service, "spread"), message, "add a host, or take another word")


def wrong_ranks(service: str, pins: Sequence[str], nodes: int) -> str:
    """Return what is wrong with the pins of a service whose recipe needs this many hosts, "" if nothing is."""
    if not pins or len(pins) == nodes:
        return ""
    count = "one host" if nodes == 1 else f"{nodes} hosts"
    return f"{service} needs {count} (nodes of its recipe), and is pinned to {len(pins)}: {', '.join(pins)}"
