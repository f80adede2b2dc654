"""Under which names the services of a generation are asked for, and where their servers are: read from kept words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.operations import differences
from sparkctl.planning.gateway.names import NamedService, NameTable, table
from sparkctl.world import labels
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from sparkctl.planning.box.generation import KeptGeneration, KeptService


class KeptServer(NamedTuple):
    """A service's server: where it is, None: its words do not say; the file of this host with its certificate."""

    url: str | None
    certificate: str | None = None


class NamedGeneration(NamedTuple):
    """What each name of a generation means, and where the servers are, by service."""

    names: NameTable
    servers: dict[str, KeptServer]


def named(generation: KeptGeneration) -> NamedGeneration:
    """Return what each name of a generation means; no recipe is read and nothing is asked.

    Of a service whose words this sparkctl cannot read, the names that its server has are not known, nor where it is.
    """
    services, servers = [], {}
    for kept in generation.services:
        one, server = _read(kept)
        services.append(one)
        servers[kept.name] = server
    return NamedGeneration(table(services, generation.routes), servers)


def _read(kept: KeptService) -> tuple[NamedService, KeptServer]:
    said = kept.declared
    one = NamedService(kept.name, (), said.names, defaults=said.defaults, force=said.force)
    try:
        spec = grammar.parse(kept.words)
    except InputError:
        return one, KeptServer(None)
    record, flags = labels.read(dict(spec.labels)), differences.flags(spec.command)
    served = record.served_names or tuple(flags.get("--served-model-name", "").split())
    context, sequences = count(flags.get("--max-model-len")), count(flags.get("--max-num-seqs"))
    found = one._replace(served=served, context=context, sequences=sequences)
    return found, KeptServer(record.url, record.certificate)


def count(text: str | None) -> int | None:
    """Return a whole number of a command; None for `auto`, for vLLM's short forms (32k), or if there is none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 12 else None  # noqa: PLR2004
