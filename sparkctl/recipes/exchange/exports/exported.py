"""The exported set as a value: services with all that another tool has to know; and the files made from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.planning.box.declared import StartMode
from sparkctl.world.spec import Port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.planning.box.declared import DeclaredRoute, DeclaredService
    from sparkctl.vllm.kinds import ServerKind
    from sparkctl.world.spec import ContainerSpec


_EVERY: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  (compared)


class ExportTarget(StrEnum):
    """The tools that files can be written for."""

    COMPOSE = "compose"
    SYSTEMD = "systemd"
    QUADLET = "quadlet"
    KUBERNETES = "kubernetes"
    LITELLM = "litellm"
    LLAMA_SWAP = "llama-swap"
    SPARKRUN = "sparkrun"
    DOCKER_RUN = "docker-run"


class CarriedMod(NamedTuple):
    """A file that is laid over a file of the image: its mod, its place in the container, and the copy that is mounted.

    ``source`` is the copy's path on this host. ``content`` are the verified bytes and ``file`` the name of the copy
    beside the exported files; None and "" if no copies are exported.
    """

    mod: str
    target: str
    source: str
    file: str = ""
    content: bytes | None = None


class ServedModel(NamedTuple):
    """The model that a service loads: its repository, the revision (None: the newest), and its server's settings.

    ``context`` is in tokens, ``description`` the line of its recipe. ``chat`` is false for a base model.
    """

    repo: str
    revision: str | None
    argument: str
    context: int
    description: str
    chat: bool = True


class ExportedHost(NamedTuple):
    """A host of hosts.yaml to which a service is bound: its name, and its place on the fabric, "" if not known.

    ``address`` is its IP address there, ``interface`` the interface with that address, ``hca`` are the RDMA devices.
    ``clients`` is the name or address that clients of its services use, "" if none is declared.
    """

    name: str
    address: str = ""
    interface: str = ""
    hca: tuple[str, ...] = ()
    clients: str = ""


@dataclass(frozen=True, slots=True)
class ExportedService:
    """One service. Durations are in seconds, sizes in bytes.

    ``url`` is where clients of this host reach the server, ``inside`` where a process of its container does.
    ``secrets`` are names. ``declared`` is what a stack says about it, None for a service without a stack. ``recipe`` is
    the name by which `sparkctl` finds it. ``own_key``: sparkctl made the key that its server requires. ``nodes`` hosts
    share its model: the head's host needs ``claim_bytes``, each other one ``worker_bytes``. ``hosts`` are these hosts,
    in the order of ranks; () for any, or for any of ``among``. Services with the same ``spread`` run on different
    hosts.
    """

    name: str
    recipe: str
    spec: ContainerSpec
    model: ServedModel
    served_names: tuple[str, ...]
    url: str
    inside: str
    kind: ServerKind
    secrets: tuple[str, ...]
    mods: tuple[CarriedMod, ...]
    ready_s: float
    claim_bytes: int
    own_key: bool = False
    declared: DeclaredService | None = None
    nodes: int = 1
    worker_bytes: int = 0
    hosts: tuple[ExportedHost, ...] = ()
    among: tuple[ExportedHost, ...] = ()
    spread: str = ""

    @property
    def reached(self) -> str:
        """Where clients of other hosts reach the server, if its host has an address for them."""
        clients = self.hosts[0].clients if self.hosts else ""
        if not clients:
            return self.url
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{f'[{clients}]' if ':' in clients else clients}:{rest.rpartition(':')[2]}"

    @property
    def by_itself(self) -> bool:
        """Whether it starts with the others, rather than on demand."""
        return self.declared is None or self.declared.start is StartMode.ALWAYS

    @property
    def after(self) -> tuple[str, ...]:
        """The services that have to be ready before it starts."""
        return () if self.declared is None else self.declared.after

    @property
    def encrypted(self) -> bool:
        """Whether its server speaks https."""
        return self.url.startswith("https:")

    @property
    def env_file(self) -> str:
        """The file of this host with the values of its secrets, "" where it has none."""
        return self.spec.env_files[0] if self.spec.env_files else ""

    def mounting(self, sources: dict[str, str]) -> ExportedService:
        """Return the service with other sources of its mounts: ``sources`` maps each present source to the new one."""
        mounts = tuple(
            one if one.source is None else replace(one, source=sources.get(one.source, one.source))
            for one in self.spec.mounts
        )
        return replace(self, spec=replace(self.spec, mounts=mounts))


@dataclass(frozen=True, slots=True)
class ExportedSet:
    """Services that are exported together, in the order in which they start; ``name`` is for the files and units.

    ``asked`` is the command that exports it, as an operator writes it, and ``found_by`` the name of the stack or recipe
    in it. ``gateway`` is the address of the stack's gateway, "" for none. ``folder`` is the absolute path of the folder
    for the files, "" if one file is printed.
    """

    name: str
    asked: str
    services: tuple[ExportedService, ...]
    routes: tuple[DeclaredRoute, ...] = ()
    folder: str = ""
    found_by: str = ""
    gateway: str = ""

    def waits_for(self, service: ExportedService) -> list[tuple[str, bool]]:
        """Return what a service waits for: names, and whether it must not start without that.

        The services in its stack's ``after`` are required. A service that starts by itself also waits for the one
        before it: nobody looks at the memory there, and two that load at once may take more than there is.
        """
        found = dict.fromkeys(service.after, True)
        if service.by_itself:
            before = [one.name for one in self.services if one.by_itself]
            place = before.index(service.name)
            if place:
                found.setdefault(before[place - 1], False)
        return list(found.items())

    def with_copies(self, prefix: str) -> ExportedSet:
        """Return the set with its mods mounted from the copies beside the files, whose paths begin with ``prefix``."""
        return replace(self, services=tuple(_from_copies(one, prefix) for one in self.services))

    def refuse_two_on_one_port(self) -> None:
        """Refuse services that cannot listen beside each other.

        Raises:
            InputError: two of them publish one port of one address, and may be on one host.
        """
        taken: list[tuple[Port, ExportedService]] = []
        for service in self.services:
            for port in _ports(service):
                owner = next((one for other, one in taken if _meet(one, service) and _clash(port, other)), None)
                if owner is not None:
                    message = f"{owner.name} and {service.name} both listen on port {port.host_port} of this host"
                    raise InputError(message, hint=f"give one of them another: --set {service.name}:serve.port=…")
                taken.append((port, service))


def _ports(service: ExportedService) -> list[Port]:
    """Return the ports of this host that a service takes."""
    if service.spec.network == "host":
        address, _, number = service.url.partition("://")[2].rpartition(":")
        return [Port(int(number), int(number), address)]
    return [port for port in service.spec.ports if port.host_port is not None]


def _meet(one: ExportedService, other: ExportedService) -> bool:
    """Return whether two services may be on one host; False if they are bound to different hosts."""
    apart = one.hosts and other.hosts and not {host.name for host in one.hosts} & {host.name for host in other.hosts}
    return one.name != other.name and not apart


def _clash(one: Port, other: Port) -> bool:
    same = (one.host_port, one.protocol) == (other.host_port, other.protocol)
    return same and (one.host_ip == other.host_ip or bool({one.host_ip, other.host_ip} & _EVERY))


def _from_copies(service: ExportedService, prefix: str) -> ExportedService:
    return service.mounting({one.source: f"{prefix}{one.file}" for one in service.mods if one.file})


class ExportedFile(NamedTuple):
    """A file that is written: its name and its content."""

    name: str
    content: str | bytes


class Export(NamedTuple):
    """The files of a target, and in sentences how its tool's containers differ from those made here (``notes``)."""

    files: tuple[ExportedFile, ...]
    notes: tuple[str, ...] = ()


def refuse_unwritable(service: str, words: Sequence[str], tool: str) -> None:
    """Refuse words that a UTF-8 file cannot hold, or that would break one of its lines.

    Raises:
        InputError: a word holds a byte that is no UTF-8, or a NUL.
    """
    for word in words:
        if "\0" in word or any("\ud800" <= one <= "\udfff" for one in word):
            message = f"{service}: a file for {tool} cannot hold a byte that is no UTF-8, and its command has one"
            raise InputError(message, hint="look at `sparkctl render`: the word with the escape \\… in it")
