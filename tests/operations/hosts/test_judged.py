"""What is said of a host, and of two that differ."""

from __future__ import annotations

from sparkctl.operations.doctor import Status
from sparkctl.operations.hosts.judged import SeenHost, found_fabric, of_one, of_two
from sparkctl.recipes.hosts.declared import DeclaredHost, Fabric
from sparkctl.world.engine import EngineInfo
from sparkctl.world.host import Interface
from tests.support.fake_hosts import FACTS

FABRIC = Fabric(address="10.0.0.1", interface="enp1s0f1np1", hca=("rocep1s0f1", "roceP2p1s0f1"))
ENGINE = EngineInfo("docker", "id-a", "29.2.1", image_store="overlayfs")
A = SeenHost("a", DeclaredHost(ssh="a", fabric=FABRIC), FACTS, ENGINE, reaches=True)
OTHER = Fabric(address="10.0.0.2", interface="enp1s0f1np1", hca=("rocep1s0f1", "roceP2p1s0f1"))
INTERFACES = (Interface("enp1s0f1np1", "10.0.0.2", 9000, "up"),)
B = SeenHost(
    "b",
    DeclaredHost(ssh="b", fabric=OTHER),
    FACTS._replace(name="spark-b", interfaces=INTERFACES),
    ENGINE,
    reaches=True,
)


def wrong(seen: SeenHost) -> list[str]:
    return [f"{one.subject}: {one.found}" for one in of_one(seen) if one.status is not Status.OK]


def differ(one: SeenHost, other: SeenHost) -> list[str]:
    return [f"{each.subject}: {each.found}" for each in of_two(one, other) if each.status is not Status.OK]


def test_a_host_that_is_well_has_nothing_against_it() -> None:
    assert wrong(A) == []
    assert differ(A, B) == []


def test_a_clock_that_is_off_by_an_hour_is_said_with_its_side_h3() -> None:
    assert wrong(A._replace(skew_s=3600.0)) == ["clock: 1h 00m ahead of this machine's"]
    assert wrong(A._replace(skew_s=-3600.0)) == ["clock: 1h 00m behind this machine's"]
    assert differ(A._replace(skew_s=2.0), B._replace(skew_s=-2.0)) == ["clock: 4s apart"]


def test_a_kernel_on_which_rdma_cannot_register_memory_is_known_by_its_sign() -> None:
    facts = FACTS._replace(kernel="7.0.0-1019-nvidia", cma_total_bytes=1024, cma_free_bytes=2048)
    assert "counts more contiguous memory free (CmaFree)" in wrong(A._replace(facts=facts))[0]


def test_a_fabric_that_is_not_as_declared_is_said() -> None:
    def with_interface(*given: object) -> SeenHost:
        return A._replace(facts=FACTS._replace(interfaces=(Interface(*given),)))  # type: ignore[arg-type]

    assert wrong(with_interface("eth0")) == ["fabric: there is no interface enp1s0f1np1"]
    assert wrong(with_interface("enp1s0f1np1", "10.0.0.1", 9000, "down")) == ["fabric: enp1s0f1np1 is down"]
    said = "fabric: enp1s0f1np1 has the address 10.9.9.9, and hosts.yaml says 10.0.0.1"
    assert wrong(with_interface("enp1s0f1np1", "10.9.9.9", 9000, "up")) == [said]
    assert wrong(A._replace(declared=DeclaredHost(ssh="a"))) == [
        "fabric: a ConnectX-7 is there, and hosts.yaml does not say its address"
    ]


def test_rdma_that_nccl_would_pass_over_is_said() -> None:
    def without(name: str) -> SeenHost:
        return A._replace(facts=FACTS._replace(rdma=tuple(one for one in FACTS.rdma if one.name != name)))

    assert wrong(without("rocep1s0f1")) == ["rdma: no RDMA device rocep1s0f1"]
    down = tuple(one._replace(state="DOWN") for one in FACTS.rdma)
    assert wrong(A._replace(facts=FACTS._replace(rdma=down))) == ["rdma: rocep1s0f1, roceP2p1s0f1 is not ACTIVE"]
    one = DeclaredHost(ssh="a", fabric=FABRIC.model_copy(update={"hca": ("rocep1s0f1",)}))
    assert wrong(A._replace(declared=one)) == ["rdma: only rocep1s0f1"]


def test_two_hosts_that_differ_are_told_in_what_h9() -> None:
    facts = B.facts._replace(
        kernel="6.14.0", driver="", architecture="x86_64", interfaces=(INTERFACES[0]._replace(mtu=1500),)
    )
    other = B._replace(facts=facts, engine=ENGINE._replace(version="20.10", image_store="overlay2"), reaches=False)
    assert differ(A, other) == [
        "kernel: 6.17.0-1008-nvidia on a, 6.14.0 on b",
        "driver: 580.95.05 on a, unknown on b",
        "engine: docker 29.2.1 on a, docker 20.10 on b",
        "image store: overlayfs on a, overlay2 on b",
        "architecture: aarch64 on a, x86_64 on b",
        "MTU: 9000 on a, 1500 on b",
        "fabric: b does not reach a at 10.0.0.1",
    ]
    assert differ(A, B._replace(declared=DeclaredHost(ssh="b"))) == ["fabric: not declared of b"]


def test_the_fabric_of_a_host_is_its_cabled_port_with_both_twins() -> None:
    assert found_fabric(FACTS) == ("10.0.0.1", "enp1s0f1np1", ("rocep1s0f1", "roceP2p1s0f1"))
    assert found_fabric(FACTS._replace(rdma=())) is None
