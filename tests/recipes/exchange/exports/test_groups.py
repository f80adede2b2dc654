"""A model over several hosts in files of other tools: a LeaderWorkerSet that its own schema takes, or a refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sparkctl.base.errors import InputError
from sparkctl.planning.box.declared import StartMode
from sparkctl.recipes.exchange.exports.exported import ExportedHost, ExportedService, ExportTarget
from sparkctl.recipes.exchange.exports.written import written
from sparkctl.recipes.exchange.fields.recipe import recipe_of
from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources import sparkrun
from sparkctl.recipes.hosts.declared import Fabric
from sparkctl.recipes.hosts.ranks import RankHost, RankPlace, of_rank
from sparkctl.recipes.recipe import Recipe
from sparkctl.world.spec import Device, Port
from tests.support.exporting import as_kubernetes, declared, read_yaml, service, together
from tests.support.paths import FIXTURES
from tests.support.thorough import examples

A = ExportedHost("a", "10.0.0.1", "enp1s0f1np1", ("rocep1s0f1", "roceP2p1s0f1"))
B = ExportedHost("b", "10.0.0.2", "enp1s0f0np0", ("rocep1s0f0",))
SCHEMA = Draft202012Validator(json.loads((FIXTURES / "kubernetes" / "leaderworkerset.schema.json").read_text()))
FLAGS = ("--model", "owner/model", "--tensor-parallel-size", "2")


def group(nodes: int = 2, *hosts: ExportedHost, **changes: Any) -> ExportedService:  # noqa: ANN401  (any field)
    """Return a service that so many hosts share."""
    own = {"command": (*FLAGS[:3], str(nodes)), "nodes": nodes, "hosts": hosts, **changes}
    return service("big", 8123, **own)


def objects(*services: ExportedService) -> dict[str, Any]:
    """Return the objects of an export by kind and name; what is a group has passed its schema."""
    (file,) = written(together(*services), ExportTarget.KUBERNETES).files
    found = {}
    for text in str(file.content).split("---\n")[1:]:
        value = read_yaml(text)
        if value["kind"] == "LeaderWorkerSet":
            assert [problem.message for problem in SCHEMA.iter_errors(value)] == []
        found[f"{value['kind']}/{value['metadata']['name']}"] = value
    return found


def pods(*services: ExportedService) -> tuple[Any, Any]:
    """Return the pods of the leader and of a worker."""
    spec = objects(*services)["LeaderWorkerSet/big"]["spec"]["leaderWorkerTemplate"]
    return spec["leaderTemplate"]["spec"], spec["workerTemplate"]["spec"]


def env(pod: Any) -> dict[str, Any]:  # noqa: ANN401
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["containers"][0].get("env", [])}


def test_the_schema_refuses_what_the_cluster_would_drop() -> None:
    value = objects(group())["LeaderWorkerSet/big"]
    value["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["hostNetwrk"] = True
    (problem,) = SCHEMA.iter_errors(value)
    assert "hostNetwrk" in problem.message


def test_a_group_is_one_pod_a_host_that_lives_and_ends_with_the_others() -> None:
    found = objects(group())["LeaderWorkerSet/big"]["spec"]
    assert found["replicas"] == 1
    assert found["startupPolicy"] == "LeaderCreated"
    template = found["leaderWorkerTemplate"]
    assert (template["size"], template["restartPolicy"]) == (2, "RecreateGroupOnPodRestart")
    leader, worker = template["leaderTemplate"]["spec"], template["workerTemplate"]["spec"]
    for pod in (leader, worker):
        assert (pod["hostNetwork"], pod["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
        assert (pod["enableServiceLinks"], pod["runtimeClassName"]) == (False, "nvidia")
        (apart,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert apart["topologyKey"] == "kubernetes.io/hostname"
        (container,) = pod["containers"]
        assert container["resources"] == {"requests": {"memory": "1024Mi"}, "limits": {"nvidia.com/gpu": 1}}
        assert container["securityContext"]["capabilities"]["add"] == ["IPC_LOCK"]
        assert pod["volumes"][-1]["emptyDir"] == {"medium": "Memory", "sizeLimit": str(2**30)}


def test_ranks_differ_in_what_they_are_and_where_alone() -> None:
    leader, worker = pods(group(2, A, B))
    (head,), (other,) = leader["containers"], worker["containers"]
    assert other["args"] == [*head["args"], "--headless"]
    assert head["args"][len(FLAGS) :] == [
        *("--host", "0.0.0.0", "--port", "8123", "--nnodes", "2", "--node-rank", "$(LWS_WORKER_INDEX)"),  # noqa: S104
        *("--master-addr", "10.0.0.1", "--master-port", "29501"),
    ]
    assert (leader["nodeSelector"], worker["nodeSelector"]) == ({"sparkctl.host": "a"}, {"sparkctl.host": "b"})
    names = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
    assert env(leader) == {
        "VLLM_HOST_IP": "10.0.0.1",
        **dict.fromkeys(names, "enp1s0f1np1"),
        "NCCL_IB_HCA": "rocep1s0f1,roceP2p1s0f1",
    }
    assert env(worker) == {
        "VLLM_HOST_IP": "10.0.0.2",
        **dict.fromkeys(names, "enp1s0f0np0"),
        "NCCL_IB_HCA": "rocep1s0f0",
    }


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_has_the_flags_and_variables_that_up_would_give_it(rank: int) -> None:
    hosts = [
        RankHost(one.name, Fabric(address=one.address, interface=one.interface, hca=one.hca), rdma=True)
        for one in (A, B)
    ]
    recipe = Recipe.model_validate(
        {
            "template": "vllm-openai",
            "image": "vllm/vllm-openai:v0.32.0",
            "vllm": "0.32.0",
            "model": {"repo": "owner/model"},
            "serve": {"name": "big", "port": 8123},
            "nodes": 2,
            "args": {"tensor-parallel-size": 2},
        }
    )
    wanted = of_rank(recipe, RankPlace(rank, tuple(hosts)))
    pod = pods(group(2, A, B))[rank]
    (container,) = pod["containers"]
    assert env(pod) == wanted.env
    flags = dict(pairwise(container["args"]))
    for name in ("tensor-parallel-size", "nnodes", "master-addr", "master-port"):
        assert flags[f"--{name}"] == str(wanted.args[name])
    assert ("--headless" in container["args"]) == bool(wanted.args.get("headless"))
    assert container["securityContext"]["capabilities"]["add"] == list(wanted.container.capabilities)
    assert pod["volumes"][-1]["emptyDir"]["sizeLimit"] == str(wanted.container.shm_size)
    assert pod["hostNetwork"] == (wanted.container.network == "host")


def test_a_worker_is_asked_whether_its_leaders_port_answers_and_not_for_http() -> None:
    leader, worker = pods(group(2, A, B))
    (head,), (other,) = leader["containers"], worker["containers"]
    assert "ports" not in other
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert head[name]["httpGet"]["path"] == "/health"
        assert "create_connection(('10.0.0.1', 29501)" in other[name]["exec"]["command"][2]
        compile(other[name]["exec"]["command"][2], name, "exec")
    assert other["startupProbe"]["failureThreshold"] * other["startupProbe"]["periodSeconds"] == 600


def test_without_hosts_the_leader_is_found_by_its_name_in_the_cluster() -> None:
    leader, worker = pods(group())
    assert "$(LWS_LEADER_ADDRESS)" in worker["containers"][0]["args"]
    assert 'os.environ["LWS_LEADER_ADDRESS"], 29501' in worker["containers"][0]["startupProbe"]["exec"]["command"][2]
    assert env(leader) == env(worker) == {"VLLM_HOST_IP": {"fieldRef": {"fieldPath": "status.podIP"}}}
    assert "nodeSelector" not in leader


def test_what_the_recipe_says_of_an_interface_stays() -> None:
    leader, _ = pods(group(2, A, B, env=(("NCCL_SOCKET_IFNAME", "bond0"),)))
    assert env(leader)["NCCL_SOCKET_IFNAME"] == "bond0"
    assert env(leader)["GLOO_SOCKET_IFNAME"] == "enp1s0f1np1"


def test_workers_that_share_a_template_have_the_same_interfaces_or_are_refused() -> None:
    alike = [replace_name("c", "10.0.0.3"), replace_name("d", "10.0.0.4")]
    _, worker = pods(group(4, A, B, *alike))
    assert env(worker)["VLLM_HOST_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert env(worker)["GLOO_SOCKET_IFNAME"] == "enp1s0f0np0"
    (term,) = worker["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "sparkctl.host", "operator": "In", "values": ["b", "c", "d"]}]
    with pytest.raises(InputError, match="the workers b and a have other names of interfaces"):
        pods(group(3, replace_name("c", "10.0.0.3"), B, A))


def replace_name(name: str, address: str) -> ExportedHost:
    return B._replace(name=name, address=address)


def test_the_flags_of_the_server_on_its_own_network_go() -> None:
    words = ("vllm", "serve", "m", "--host", "1.2.3.4", "--port=9000", "--api-server-count", "4")
    leader, worker = pods(group(2, A, B, command=words))
    args = leader["containers"][0]["args"]
    assert args[:9] == ["vllm", "serve", "m", "--api-server-count", "4", "--host", "0.0.0.0", "--port", "8123"]  # noqa: S104
    assert "--api-server-count" not in worker["containers"][0]["args"]
    with pytest.raises(InputError, match="this starts bash"):
        pods(group(entrypoint="bash", command=("-c", "vllm serve m")))
    with pytest.raises(InputError, match="this starts what its image has"):
        pods(group(command=()))


@settings(max_examples=examples(20))
@given(st.lists(st.sampled_from(["$(LWS_WORKER_INDEX)", "$$", "--port=2", "a b", "$HOME", ""]), max_size=4))
def test_words_of_the_operator_are_no_variables_of_kubernetes(texts: list[str]) -> None:
    kept = [text for text in texts if text != "--port=2"]
    leader, worker = pods(group(2, A, B, command=(*FLAGS, *texts), env=(("V", "$(X) $$"),)))
    for pod in (leader, worker):
        args = pod["containers"][0]["args"]
        assert as_kubernetes(args[: len(FLAGS) + len(kept)]) == [*FLAGS, *kept]
        assert args.count("$(LWS_WORKER_INDEX)") == 1
        assert as_kubernetes([env(pod)["V"]]) == ["$(X) $$"]


def test_the_service_reaches_the_leader_and_has_another_name_than_the_controllers_own() -> None:
    found = objects(group())["Service/big-leader"]["spec"]
    assert found["selector"] == {"app.kubernetes.io/name": "big", "app.kubernetes.io/component": "leader"}
    assert found["ports"] == [{"name": "http", "port": 8123, "targetPort": 8123}]


def test_two_groups_meet_at_two_ports_and_one_that_is_asked_for_has_no_replicas() -> None:
    other = replace(group(2, A, B, ports=()), name="other", declared=declared("other", StartMode.ON_DEMAND))
    found = objects(group(2, A, B), other)["LeaderWorkerSet/other"]["spec"]
    assert found["replicas"] == 0
    assert "29502" in found["leaderWorkerTemplate"]["leaderTemplate"]["spec"]["containers"][0]["args"]


def test_the_file_says_what_an_operator_has_to_do() -> None:
    (file,) = written(together(group(2, A, B)), ExportTarget.KUBERNETES).files
    text = str(file.content).replace("\n# ", " ")
    for told in (
        "kubectl get crd leaderworkersets.leaderworkerset.x-k8s.io",
        "kubectl label node NODE-OF-a sparkctl.host=a",
        "systemReserved",
        "it has to be private",
        "RDMA device plugin",
    ):
        assert told in text
    (file,) = written(together(group()), ExportTarget.KUBERNETES).files
    assert "No fabric is known" in str(file.content)
    (file,) = written(together(group(2, A, B)), ExportTarget.SPARKRUN).files
    text = str(file.content).replace("\n# ", " ")
    assert "`sparkctl up box --hosts a,b` starts the same" in text
    assert "big 1.0 GiB on each of 2 hosts" in text


def test_a_name_is_no_longer_than_the_names_that_are_made_of_it() -> None:
    long = replace(group(), name="x" * 80)
    (name,) = [key for key in objects(long) if key.startswith("LeaderWorkerSet/")]
    assert len(name.partition("/")[2]) == 50


def test_a_service_of_one_host_is_bound_to_its_node() -> None:
    found = objects(service(hosts=(A,)), service("two", hosts=(B,)))
    spec = found["Deployment/two"]["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"sparkctl.host": "b"}


def test_a_service_that_may_have_several_hosts_runs_on_one_of_them_and_away_from_others() -> None:
    found = objects(service(among=(A, B), spread="gpu"), service("two", 8002, among=(A,)))
    template = found["Deployment/one"]["spec"]["template"]
    affinity = template["spec"]["affinity"]
    (term,) = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["a", "b"]
    (apart,) = affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert "affinity" not in found["Deployment/two"]["spec"]["template"]["spec"]
    leader, _ = pods(group(2, among=(A, B), spread="gpu"))
    assert len(leader["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]) == 2


def test_a_set_over_several_hosts_is_for_tools_of_several() -> None:
    two = together(service(hosts=(A,)), service("two", 8002, hosts=(B,)))
    with pytest.raises(InputError, match="box runs on a, b, and compose starts all of it on one host"):
        written(two, ExportTarget.COMPOSE)
    reached = A._replace(clients="192.168.1.10")
    (file,) = written(together(service(hosts=(reached,)), service("two", 8002)), ExportTarget.LITELLM).files
    bases = [one["litellm_params"]["api_base"] for one in read_yaml(str(file.content))["model_list"]]
    assert bases == ["http://192.168.1.10:8001/v1", "http://127.0.0.1:8002/v1"]


def test_two_services_of_one_port_are_refused_only_where_they_may_meet() -> None:
    with pytest.raises(InputError, match="one and two both listen on port 8001"):
        written(together(service(hosts=(A,)), service("two", hosts=(A,))), ExportTarget.KUBERNETES)
    with pytest.raises(InputError, match="one and two both listen"):
        written(together(service(hosts=(A,)), service("two")), ExportTarget.KUBERNETES)


def test_a_host_whose_name_is_no_label_is_refused() -> None:
    with pytest.raises(InputError, match="the host a_ of hosts"):
        written(together(service(hosts=(ExportedHost("a_"),))), ExportTarget.KUBERNETES)


@pytest.mark.parametrize(
    "target",
    [
        *(ExportTarget.COMPOSE, ExportTarget.SYSTEMD, ExportTarget.QUADLET),
        *(ExportTarget.DOCKER_RUN, ExportTarget.LLAMA_SWAP),
    ],
)
def test_a_tool_of_one_host_is_refused(target: ExportTarget) -> None:
    with pytest.raises(InputError, match=f"2 hosts share its model, and {target.value} starts those of one"):
        written(together(group()), target)


def test_what_sparkrun_gets_is_read_again_as_the_same_group() -> None:
    (file,) = written(together(group(ports=(Port(8000, 8123, "127.0.0.1"),))), ExportTarget.SPARKRUN).files
    (launch,) = sparkrun.read(Material(str(file.content), file.name))
    made = recipe_of(launch)
    assert (made.refused, made.keys["nodes"]) == (None, 2)
    assert made.keys["args"] == {"tensor-parallel-size": 2}
    assert {"devices", "capabilities"} & set(dict(made.keys["container"])) == set()


def test_sparkrun_gets_the_sizes_by_which_it_counts_hosts() -> None:
    one = group(ports=(Port(8000, 8123, "127.0.0.1"),), devices=(Device("/dev/fuse", "/dev/fuse"),))
    (file,) = written(together(one), ExportTarget.SPARKRUN).files
    value = read_yaml(str(file.content))
    assert (value["min_nodes"], value["max_nodes"]) == (2, 2)
    assert value["defaults"]["tensor_parallel"] == 2
    assert "--tensor-parallel-size {tensor_parallel}" in value["command"]
    assert value["executor_config"]["devices"] == ["/dev/fuse", "/dev/infiniband"]
    assert value["executor_config"]["cap_add"] == ["IPC_LOCK"]
    assert value["executor_config"]["ulimit"] == ["memlock=-1:-1"]
