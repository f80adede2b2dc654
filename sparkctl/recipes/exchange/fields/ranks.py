"""The number of hosts for a server of the source: one, or a group that shares the model, which is ``nodes``.

A group's source also describes single ranks (number, the head's address, interfaces). Its recipe contains none of that:
sparkctl gives each rank its own, from the hosts of hosts.yaml.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.fields.draft import SourceItem
from sparkctl.recipes.exchange.fields.options import OF_EACH_HOST, given_by, without_value
from sparkctl.recipes.exchange.material import unknowns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.recipes.exchange.fields.draft import Draft
    from sparkctl.recipes.exchange.fields.flag_fields import GivenFlag

SEVERAL_HOSTS: Final = "several hosts"
"""The reason for a group of hosts that serves together in a way that no recipe can express."""
_SHARES: Final = ("tensor-parallel-size", "pipeline-parallel-size")
_OF_CACHE: Final = "decode-context-parallel-size"
"""It splits the cache between existing ranks, and adds none."""
_KEPT: Final = (*_SHARES, _OF_CACHE)
_RANKS: Final = frozenset({
    *_KEPT, "data-parallel-size", "data-parallel-size-local", "prefill-context-parallel-size",
})  # fmt: skip
_OF_ONE_RANK: Final = {
    "node-rank": "each rank has its own number: sparkctl gives it",
    "master-addr": "it is the head's address on the fabric, in hosts.yaml",
    "master-port": "sparkctl takes one that is free",
}
_BALANCED: Final = frozenset({
    "data-parallel-address", "data-parallel-external-lb", "data-parallel-hybrid-lb", "data-parallel-rank",
    "data-parallel-rpc-port", "data-parallel-start-rank",
})  # fmt: skip
_BACKEND: Final = "distributed-executor-backend"
OF_RANKS: Final = frozenset({*_RANKS, *_OF_ONE_RANK, *_BALANCED, "headless", "nnodes", _BACKEND})
"""Flags that are read together, when all are known."""
_OF_RAY: Final = ("RAY_", "VLLM_RAY_")
_DEVICES: Final = ("--device /dev/infiniband", "--cap-add IPC_LOCK")
_PART: Final = "it is a part of a group of servers on several hosts"


def place_ranks(draft: Draft, given: Mapping[str, GivenFlag], least: int) -> None:
    """Put ``nodes`` and the sizes into a recipe, or say why there is none.

    ``given`` are the flags of ``OF_RANKS`` that the source has, ``least`` the hosts that its file asks for (1: any).
    """
    ranks = prod(_number(given, name) for name in _SHARES)
    group = max(least, _number(given, "nnodes")) > 1 or ranks == draft.choices.nodes > 1
    for name in given:
        if name in _BALANCED or (not group and name in {"headless", "node-rank", "master-addr"}):
            draft.refuse(SEVERAL_HOSTS, f"{given[name].item.text}: {_PART}", given[name].item.place)
    if not group:
        for name, one in given.items():
            _alone(draft, name, one, ranks)
        return
    _worker(draft, given)
    _shared(draft, given, max(least, _number(given, "nnodes")))
    for name, one in given.items():
        if name == _BACKEND:
            _backend(draft, one)
        elif name not in _KEPT:
            draft.explain(one.item, _OF_ONE_RANK.get(name, "said by nodes"))


def _worker(draft: Draft, given: Mapping[str, GivenFlag]) -> None:
    """Refuse the command of a worker: the head is the one that serves."""
    bare, rank = given.get("headless"), given.get("node-rank")
    for one in (bare, rank):
        if one is not None and one.value not in (0, False) and not unknowns(str(one.raw)):
            message = f"{one.item.text}: it is the command of a worker; a recipe is made of the head's"
            draft.refuse(SEVERAL_HOSTS, message, one.item.place)


def _shared(draft: Draft, given: Mapping[str, GivenFlag], hosts: int) -> None:
    sizes = {name: given[name] for name in _KEPT if name in given}
    place = next((one.item.place for one in (*sizes.values(), given.get("nnodes")) if one is not None), None)
    _refuse_others(draft, given)
    ranks = prod(_number(given, name) for name in _SHARES)
    told = " times ".join(_SHARES)
    if ranks < hosts:
        message = f"it runs on {hosts} hosts or more, and its flags share the model between {ranks} ({told})"
        draft.refuse(SEVERAL_HOSTS, message, place)
    elif "nnodes" in given and ranks != _number(given, "nnodes"):
        message = (
            f"{ranks} ranks ({told}) on {_number(given, 'nnodes')} hosts are several on each, and a Spark has one GPU"
        )
        draft.refuse(SEVERAL_HOSTS, message, given["nnodes"].item.place)
    draft.put(("nodes",), ranks)
    for name, one in sizes.items():
        if one.value == 1:
            draft.explain(one.item, "1 is vLLM's default")
        else:
            draft.put(("args", name), one.value, one.item)
    if ("args", _OF_CACHE) in draft.values:
        draft.note(f"{given[_OF_CACHE].item.text}: sparkctl counts the cache as if each rank had the whole of it")
    _settle(draft)


def _refuse_others(draft: Draft, given: Mapping[str, GivenFlag]) -> None:
    """Refuse sizes without a value, and ranks that no recipe can express."""
    for name, one in given.items():
        if name not in _RANKS:
            continue
        if missing := unknowns(str(one.raw)):
            told = f"{one.item.text}: {without_value(missing)}; it takes {given_by(missing)}"
            draft.refuse("a value is missing", told, one.item.place)
        elif name not in _KEPT and one.value != 1:
            message = f"{one.item.text}: a recipe's hosts share a model by {' and '.join(_SHARES)} alone"
            draft.refuse(SEVERAL_HOSTS, message, one.item.place)


def _settle(draft: Draft) -> None:
    """Account for options of the container that each rank of a group has, or that none may have."""
    why = "each rank gets the RDMA devices of its host, where hosts.yaml names them"
    of_fabric = {one for one in draft.leftovers if one.what.startswith(_DEVICES)}
    draft.leftovers = [one for one in draft.leftovers if one not in of_fabric]
    explained = {(one.place, one.what) for one in of_fabric}
    draft.accounts = [
        one._replace(why=why) if (one.place, one.text) in explained and one.path is None else one
        for one in draft.accounts
    ]
    if draft.values.pop(("container", "restart"), None) is None:
        return
    for account in [one for one in draft.accounts if one.path == ("container", "restart")]:
        draft.accounts.remove(account)
        told = "docker would start one rank of the group again, alone"
        draft.leave(SourceItem(account.place, account.text), told, "sparkctl's agent, which starts the group again")


def _alone(draft: Draft, name: str, one: GivenFlag, ranks: int) -> None:
    """Account for a flag of a server on one host; its source shares the model between ``ranks`` ranks."""
    missing = unknowns(str(one.raw))
    if missing:
        draft.leave(one.item, without_value(missing), given_by(missing))
    elif name == _BACKEND:
        _backend(draft, one)
    elif name == "master-port":
        draft.explain(one.item, "no other rank asks for it")
    elif name in _RANKS or name == "nnodes":
        if one.value == 1:
            draft.explain(one.item, "1 is vLLM's default")
            return
        draft.explain(one.item, "a Spark has one GPU: served on it alone")
        served = "on one Spark the model is served by its one GPU, as the community's runners do it"
        several = f"; --nodes {ranks} reads it for as many hosts" if name in _SHARES else ""
        draft.note(f"{one.item.text}: {served}{several}")


def _backend(draft: Draft, one: GivenFlag) -> None:
    group = ("nodes",) in draft.values
    if one.value in {"ray", "mp"}:
        told = "vLLM's own processes, without Ray, start the ranks" if group else "one GPU needs no other processes"
        draft.explain(one.item, told)
    else:
        draft.put(("args", _BACKEND), one.value, one.item)


def of_group(draft: Draft, name: str) -> str | None:
    """Return why a variable of a group's source is not a key of its recipe; None if it is one."""
    if ("nodes",) not in draft.values:
        return None
    if name in OF_EACH_HOST:
        return "each host has its own: it follows from its fabric in hosts.yaml"
    return "it is Ray's, and the ranks are vLLM's own processes" if name.startswith(_OF_RAY) else None


def _number(given: Mapping[str, GivenFlag], name: str) -> int:
    value = given[name].value if name in given else 1
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1
