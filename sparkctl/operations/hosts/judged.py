"""A host's facts, judged: fabric, clock, memory for RDMA; and the differences between two hosts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import format_duration, format_gib
from sparkctl.operations.doctor import Examined, Status
from sparkctl.operations.hosts import same

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.hosts.same import HostDifference, HostHolds
    from sparkctl.recipes.hosts.declared import DeclaredHost, Fabric
    from sparkctl.world.engine import EngineInfo
    from sparkctl.world.host import Gpu, Interface, MachineFacts, RdmaDevice

CLOCK_S: Final = 2.0
"""Clocks that differ by more make logs of two hosts hard to read side by side, and certificates fail: a choice."""
_ACTIVE: Final = "ACTIVE"
_TWINS: Final = 2
"""Each port of a ConnectX-7 in a Spark shows two RDMA devices, one a PCIe x4: one has half of the 200 Gb/s."""
_FABRIC: Final = "fabric"


class SeenHost(NamedTuple):
    """A host that answered. ``reaches`` is whether the other one's fabric address answers it; None: not asked."""

    name: str
    declared: DeclaredHost
    facts: MachineFacts
    engine: EngineInfo | None
    gpus: Sequence[Gpu] = ()
    skew_s: float = 0.0
    reaches: bool | None = None


def of_one(seen: SeenHost) -> list[Examined]:
    """Return what is to be said of a host by itself."""
    return [*_clock(seen), *_cma(seen), *_fabric(seen)]


def _clock(seen: SeenHost) -> Iterator[Examined]:
    skew = seen.skew_s
    if abs(skew) <= CLOCK_S:
        yield Examined("clock", Status.OK, "agrees with this machine's")
        return
    found = f"{format_duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} this machine's"
    yield Examined(
        "clock",
        Status.WARNING,
        found,
        "times of its logs mislead",
        "timedatectl set-ntp true, on the host that is wrong",
    )


def _cma(seen: SeenHost) -> Iterator[Examined]:
    """Yield the sign of a kernel that registers no memory for RDMA (MiaAI-Lab/DeepSeek-v4-Flash-DSpark-2x#259)."""
    total, free = seen.facts.cma_total_bytes, seen.facts.cma_free_bytes
    if total is not None and free is not None and free > total:
        found = f"kernel {seen.facts.kernel} counts more contiguous memory free (CmaFree) than there is (CmaTotal)"
        consequence = "RDMA fails at the start of a group: ibv_reg_mr_iova2, Cannot allocate memory"
        yield Examined("kernel", Status.WARNING, found, consequence, "boot with kho=off, or with kernel 6.17")


def _fabric(seen: SeenHost) -> Iterator[Examined]:
    fabric = seen.declared.fabric
    if fabric is None:
        found = (
            "not declared" if not seen.facts.rdma else "a ConnectX-7 is there, and hosts.yaml does not say its address"
        )
        yield Examined(_FABRIC, Status.NOTE, found)
        return
    interface = next((one for one in seen.facts.interfaces if one.name == fabric.interface), None)
    wrong = _wrong_interface(fabric, interface)
    if wrong:
        fix = "is the cable in? ip -br address, on that host; then mend fabric: in hosts.yaml"
        yield Examined(_FABRIC, Status.WARNING, wrong, "no group of hosts can run over it", fix)
        return
    yield Examined(
        _FABRIC, Status.OK, f"{fabric.address} on {fabric.interface}, MTU {interface.mtu if interface else '?'}"
    )
    yield from _rdma(fabric, seen.facts.rdma)


def _wrong_interface(fabric: Fabric, interface: Interface | None) -> str:
    if interface is None:
        return f"there is no interface {fabric.interface}"
    if interface.state != "up":
        return f"{fabric.interface} is {interface.state or 'not up'}"
    if interface.address != fabric.address:
        return (
            f"{fabric.interface} has the address {interface.address or '(none)'}, and hosts.yaml says {fabric.address}"
        )
    return ""


def _rdma(fabric: Fabric, there: Sequence[RdmaDevice]) -> Iterator[Examined]:
    by_name = {one.name: one for one in there}
    wanted = fabric.hca or tuple(by_name)
    absent = [name for name in wanted if name not in by_name]
    down = [name for name in wanted if name in by_name and by_name[name].state != _ACTIVE]
    fix = "rdma link, on that host"
    if not wanted or absent:
        found = f"no RDMA device {' and no '.join(absent)}" if absent else "no RDMA device"
        yield Examined("rdma", Status.WARNING, found, "NCCL uses TCP, without a word", fix)
    elif down:
        yield Examined(
            "rdma", Status.WARNING, f"{', '.join(down)} is not {_ACTIVE}", "NCCL uses TCP, without a word", fix
        )
    elif len(wanted) < _TWINS:
        consequence = "one of the two twins of a port carries half of what both do"
        yield Examined("rdma", Status.WARNING, f"only {wanted[0]}", consequence, "name both twins in fabric.hca")
    else:
        yield Examined("rdma", Status.OK, f"{', '.join(wanted)} {_ACTIVE}")


def of_two(one: SeenHost, other: SeenHost) -> list[Examined]:
    """Return what two hosts differ in, and whether they reach each other on the fabric."""
    return [*_same(one, other), *_between(one, other)]


def _same(one: SeenHost, other: SeenHost) -> Iterator[Examined]:
    rows = (
        ("kernel", one.facts.kernel, other.facts.kernel, "drivers and RDMA may behave differently"),
        ("driver", _driver(one), _driver(other), "images may start on one and not on the other"),
        ("gpu", _gpu(one), _gpu(other), "a group needs the same kind of GPU"),
        (
            "memory",
            format_gib(one.facts.total_bytes),
            format_gib(other.facts.total_bytes),
            "the smaller one decides what fits",
        ),
        ("engine", _engine(one), _engine(other), "options of docker run may differ"),
        ("image store", _store(one), _store(other), "the same image has another id in each; compare its digest"),
        ("architecture", one.facts.architecture, other.facts.architecture, "no image fits both"),
    )
    for subject, left, right, consequence in rows:
        if left == right:
            if left:
                yield Examined(subject, Status.OK, f"the same: {left}")
        else:
            found = f"{left or 'unknown'} on {one.name}, {right or 'unknown'} on {other.name}"
            yield Examined(subject, Status.WARNING, found, consequence)
    apart = one.skew_s - other.skew_s
    if abs(apart) > CLOCK_S:
        found = f"{format_duration(abs(apart))} apart"
        yield Examined("clock", Status.WARNING, found, "times of their logs mislead", "timedatectl set-ntp true")


def _between(one: SeenHost, other: SeenHost) -> Iterator[Examined]:
    left, right = one.declared.fabric, other.declared.fabric
    if left is None or right is None:
        without = one.name if left is None else other.name
        yield Examined(_FABRIC, Status.NOTE, f"not declared of {without}", "", f"sparkctl hosts add {without} finds it")
        return
    mtus = {seen.name: _mtu(seen) for seen in (one, other)}
    if len(set(mtus.values())) > 1:
        found = ", ".join(f"{mtu} on {name}" for name, mtu in mtus.items())
        yield Examined(
            "MTU", Status.WARNING, found, "large messages are lost, and a group hangs", "ip link set … mtu 9000"
        )
    for seen, to in ((one, other), (other, one)):
        address = to.declared.fabric.address if to.declared.fabric else ""
        if seen.reaches is False:
            found = f"{seen.name} does not reach {to.name} at {address}"
            fix = "are both interfaces in one subnet? does a firewall drop it? ports of a group are not fixed"
            yield Examined(_FABRIC, Status.WARNING, found, "a group would wait, and hang", fix)
        elif seen.reaches:
            yield Examined(_FABRIC, Status.OK, f"{seen.name} reaches {to.name} at {address}")


def of_holds(holds: Sequence[HostHolds], asked: str) -> list[Examined]:
    """Return the differences between two hosts that should have the same service; ``asked`` are the names given."""
    names = [one.host for one in holds]
    service = holds[0].service
    rows = [*same.differences(holds), *(row for row in same.absent(holds) if _on_none(row, holds))]
    fix = f"sparkctl hosts distribute {asked} --to {names[-1]} --from {names[0]}, or the other way round"
    if not rows:
        return [Examined(service, Status.OK, "the same image, model and mods, as far as sizes and known sums say it")]
    consequence = "ranks of one service must run the same image over the same bytes"
    return [Examined(service, Status.WARNING, str(row).removeprefix(f"{service}: "), consequence, fix) for row in rows]


def _on_none(row: HostDifference, holds: Sequence[HostHolds]) -> bool:
    """Return whether no host has what a host lacks: if one has it, that is a difference already."""
    return all(any(each.what == row.what for each in same.absent([one])) for one in holds)


def _mtu(seen: SeenHost) -> int | None:
    fabric = seen.declared.fabric
    return next((one.mtu for one in seen.facts.interfaces if fabric and one.name == fabric.interface), None)


def _driver(seen: SeenHost) -> str:
    return seen.facts.driver or next((gpu.driver or "" for gpu in seen.gpus), "")


def _gpu(seen: SeenHost) -> str:
    return ", ".join(gpu.name or "a GPU" for gpu in seen.gpus)


def _engine(seen: SeenHost) -> str:
    return "" if seen.engine is None else f"{seen.engine.kind} {seen.engine.version}"


def _store(seen: SeenHost) -> str:
    return "" if seen.engine is None else seen.engine.image_store


def found_fabric(facts: MachineFacts) -> tuple[str, str, tuple[str, ...]] | None:
    """Return the address, the interface and the RDMA devices of a fabric that is up; None if there is none.

    The first interface of an RDMA device that is ACTIVE and that has an address; with it its twin, which differs in the
    PCI domain alone (``rocep1s0f1`` and ``roceP2p1s0f1``).
    """
    addresses = {one.name: one for one in facts.interfaces if one.address and one.state == "up"}
    active = [one for one in facts.rdma if one.state == _ACTIVE]
    ordered = sorted(active, key=lambda one: ("P" in one.name, one.name))
    for device in ordered:
        if device.interface in addresses:
            port = device.name.rpartition("s0f")[2]
            twins = tuple(one.name for one in ordered if one.name.rpartition("s0f")[2] == port)
            return addresses[device.interface].address, device.interface, twins
    return None
