"""A recipe as one rank's container has it."""

from __future__ import annotations

import pytest

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.recipes.hosts.declared import DeclaredHost, Fabric
from sparkctl.recipes.hosts.ranks import RankHost, RankPlace, of_rank, on_fabric, refuse_other_count
from sparkctl.recipes.recipe import Recipe

A = RankHost("a", Fabric(address="10.0.0.1", interface="enp1s0f1np1", hca=("r0", "r1")), rdma=True)
B = RankHost("b", Fabric(address="10.0.0.2", interface="eth9"))


def recipe(**more: object) -> Recipe:
    given = {
        "template": "vllm-openai",
        "image": "vllm/vllm-openai:v0.32.0",
        "vllm": "0.32.0",
        "model": {"repo": "owner/model"},
        "nodes": 2,
        "serve": {"name": "m", "port": 8100, "bind": "192.168.1.10"},
        "args": {"tensor-parallel-size": 2, "api-server-count": 2},
        **more,
    }
    return Recipe.model_validate(given)


def test_a_worker_is_headless_and_says_its_own_address_and_interface() -> None:
    found = of_rank(recipe(), RankPlace(1, (A, B), 29502))
    assert found.args["headless"] is True
    assert (found.args["node-rank"], found.args["master-addr"], found.args["master-port"]) == (1, "10.0.0.1", 29502)
    assert "api-server-count" not in found.args
    assert found.env["VLLM_HOST_IP"] == "10.0.0.2"
    assert found.env["GLOO_SOCKET_IFNAME"] == "eth9"
    assert found.serve.bind == "127.0.0.1"
    assert (found.container.network, found.container.shm_size) == ("host", GIB)
    assert "NCCL_IB_HCA" not in found.env
    assert found.container.devices == ()


def test_a_head_with_rdma_reaches_its_devices_without_privileges_h8() -> None:
    found = of_rank(recipe(container={"ipc": "host"}), RankPlace(0, (A, B)))
    assert found.env["NCCL_IB_HCA"] == "r0,r1"
    assert found.container.devices == ("/dev/infiniband",)
    assert found.container.capabilities == ("IPC_LOCK",)
    assert found.container.ulimits == {"memlock": -1}
    assert (found.container.ipc, found.container.shm_size, found.container.privileged) == ("host", None, False)
    assert found.serve.bind == "192.168.1.10"
    assert "headless" not in found.args


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"env": {"NCCL_SOCKET_IFNAME": "eth0"}}, r"env\.NCCL_SOCKET_IFNAME is said for all hosts"),
        ({"container": {"network": "bridge"}}, "container.network is bridge"),
        ({"container": {"restart": "always"}}, "container.restart is always"),
    ],
)
def test_what_differs_between_hosts_is_none_of_the_recipes_h8(more: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        of_rank(recipe(**more), RankPlace(0, (A, B)))


def test_as_many_hosts_with_a_fabric_as_nodes() -> None:
    declared = {"a": DeclaredHost(ssh="a", fabric=A.fabric), "b": DeclaredHost(ssh="b")}
    with pytest.raises(InputError, match="b has no fabric"):
        on_fabric(declared, {})
    assert on_fabric({"a": declared["a"]}, {"a": True}) == (A,)
    refuse_other_count("m", recipe(), ["a", "b"])
    with pytest.raises(InputError, match="m needs one host"):
        refuse_other_count("m", recipe(nodes=1, args={}), ["a", "b"])
