"""One rank of a group: a recipe as one host's container has it, which differs from the others' in a few words. Pure.

vLLM's own processes over hosts (``--nnodes``): every host runs the same ``vllm serve``, and the first one, the head,
has the HTTP server (vLLM 0.32.0 arg_utils.py, cli/serve.py; the flags are there since 0.17.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import GIB
from sparkctl.world.labels import GroupRank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.recipes.hosts import declared
    from sparkctl.recipes.hosts.declared import DeclaredHost, Fabric
    from sparkctl.recipes.recipe import ContainerOptions, Recipe
else:
    declared = LazyModule("sparkctl.recipes.hosts.declared")

FIRST_PORT: Final = 29501
"""Where ranks meet on the head (vLLM's default, 0.32.0 arg_utils.py); further groups take the next ports."""
HEADLESS: Final = "headless"
RDMA: Final = "/dev/infiniband"
"""The folder of the devices by which a process reaches RDMA."""
SHM_BYTES: Final = GIB
"""The size of each container's own /dev/shm, which is removed with it: vLLM's rings are 160 and 24 MiB (on 0.32.0)."""
_LOOPBACK: Final = "127.0.0.1"
_LOCK: Final = "IPC_LOCK"
_MEMLOCK: Final = "memlock"
_ADDRESS: Final = "VLLM_HOST_IP"
_INTERFACES: Final = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""All three, since an image may have others of its own."""
_DEVICES: Final = "NCCL_IB_HCA"
_OF_EACH_HOST: Final = (_ADDRESS, *_INTERFACES, _DEVICES)
_HEAD_ALONE: Final = "api-server-count"
"""With --headless it is an error (vLLM 0.32.0 cli/serve.py)."""


class RankHost(NamedTuple):
    """A host as a rank's container sees it: its place on the fabric, and whether processes reach RDMA there."""

    name: str
    fabric: Fabric
    rdma: bool = False


class RankPlace(NamedTuple):
    """The place of one container in its group: ``hosts`` are by rank, the head's first; ``port`` is where they meet."""

    rank: int
    hosts: tuple[RankHost, ...]
    port: int = FIRST_PORT

    @property
    def host(self) -> RankHost:
        """The host that it is on."""
        return self.hosts[self.rank]

    @property
    def is_worker(self) -> bool:
        """Whether another one is the head."""
        return self.rank > 0

    @property
    def label(self) -> GroupRank:
        """The same as its container says it."""
        head = self.hosts[0].fabric.address
        return GroupRank(self.rank, tuple(one.name for one in self.hosts), head, self.port)


def as_recorded(group: GroupRank, env: Mapping[str, str], options: Mapping[str, str]) -> RankPlace | None:
    """Return the place of a container in its group, from its own labels; None if they contradict each other.

    ``env`` is its environment, ``options`` are docker run's own (``world.settings``). Of the other hosts it knows no
    more than their names, and where the head is.
    """
    own, interface = env.get(_ADDRESS), env.get(_INTERFACES[0])
    if not own or not interface or not group.host:
        return None
    devices = tuple(filter(None, env.get(_DEVICES, "").split(",")))
    try:
        here = declared.Fabric(address=own, interface=interface, hca=devices)
        head = declared.Fabric(address=group.head, interface=interface)
    except ValidationError:
        return None
    rdma = any(RDMA in value for value in options.values())
    hosts = [RankHost(name, here if name == group.host else head, rdma) for name in group.hosts]
    return RankPlace(group.rank, tuple(hosts), group.port)


def on_fabric(declared: Mapping[str, DeclaredHost], rdma: Mapping[str, bool]) -> tuple[RankHost, ...]:
    """Return hosts in the order of ``declared`` as ranks see them.

    Raises:
        InputError: one of them has no fabric declared.
    """
    found = []
    for name, host in declared.items():
        if host.fabric is None:
            message = f"{name} has no fabric in hosts.yaml, on which the hosts of a group meet"
            hint = "fabric: {address: …, interface: …}; sparkctl hosts add finds it where the cable is in"
            raise InputError(message, hint=hint)
        found.append(RankHost(name, host.fabric, rdma.get(name, False)))
    return tuple(found)


def refuse_other_count(name: str, recipe: Recipe, hosts: Sequence[str]) -> None:
    """Refuse hosts whose number differs from the recipe's nodes, or that occur twice.

    Raises:
        InputError: it says how many are wanted.
    """
    twice = [host for place, host in enumerate(hosts) if host in hosts[:place]]
    if twice:
        raise InputError(f"{twice[0]} is named twice: each rank of a group has a host of its own")
    if recipe.nodes == 1:
        message = f"{name} needs one host: its recipe has no nodes"
        raise InputError(message, hint=f"sparkctl --host {hosts[0]} up {name}; nodes: {len(hosts)} shares the model")
    if len(hosts) != recipe.nodes:
        message = f"{name}: nodes is {recipe.nodes}, and {len(hosts)} hosts are named: {', '.join(hosts)}"
        raise InputError(message, hint="name as many, the head first: --hosts a,b")


def of_rank(recipe: Recipe, place: RankPlace) -> Recipe:
    """Return a recipe as one rank's container has it.

    Raises:
        InputError: the recipe says for all hosts what differs between them, or wants another network than the host's.
    """
    _refuse(recipe)
    host = place.host
    env = dict(recipe.env) | {_ADDRESS: host.fabric.address}
    env |= dict.fromkeys(_INTERFACES, host.fabric.interface)
    if host.rdma and host.fabric.hca:
        env[_DEVICES] = ",".join(host.fabric.hca)
    args = dict(recipe.args) | {
        "nnodes": recipe.nodes,
        "node-rank": place.rank,
        "master-addr": place.hosts[0].fabric.address,
        "master-port": place.port,
    }
    serve = recipe.serve
    if place.is_worker:
        args.pop(_HEAD_ALONE, None)
        args[HEADLESS] = True
        serve = serve.model_copy(update={"bind": _LOOPBACK})  # the head's address does not belong to this host
    container = _container(recipe.container, host)
    return recipe.model_copy(update={"args": args, "env": env, "container": container, "serve": serve})


def _container(setup: ContainerOptions, host: RankHost) -> ContainerOptions:
    changed: dict[str, object] = {"network": "host"}
    if setup.ipc is None and setup.shm_size is None:
        changed["shm_size"] = SHM_BYTES
    if host.rdma:
        devices = setup.devices if any(one.startswith(RDMA) for one in setup.devices) else (*setup.devices, RDMA)
        capabilities = setup.capabilities if _LOCK in setup.capabilities else (*setup.capabilities, _LOCK)
        ulimits = {_MEMLOCK: -1, **setup.ulimits}
        changed |= {"devices": devices, "capabilities": capabilities, "ulimits": ulimits}
    return setup.model_copy(update=changed)


def _refuse(recipe: Recipe) -> None:
    named = [name for name in _OF_EACH_HOST if name in recipe.env]
    if named:
        message = f"env.{named[0]} is said for all hosts of the group, and differs between them"
        raise InputError(message, hint="leave it out: it follows from each host's fabric in hosts.yaml")
    if recipe.container.network not in {None, "host"}:
        message = f"container.network is {recipe.container.network}, and the ranks meet on their hosts' own network"
        raise InputError(message, hint="leave it out, or write host")
    if recipe.container.restart != "no":
        message = f"container.restart is {recipe.container.restart}: Docker would start one rank again alone"
        raise InputError(message, hint="leave it out: sparkctl agent starts a group again as one")
