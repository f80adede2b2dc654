"""What a recipe and its template reach of the host beside model, cache and mods is named, each at its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fake_world import HOME, FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = """\
docker run
--name {{ name }}
{% for key, value in labels %}
--label {{ key }}={{ value }}
{% endfor %}
--privileged --device /dev/kvm --cap-add SYS_ADMIN --security-opt seccomp=unconfined --pid host --network host
--mount type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock
--mount type=bind,source=/srv/data,target=/data,readonly
--mount type=volume,source=models,target=/v,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/
--device vendor.com/disk=root --group-add docker --sysctl net.ipv4.ip_forward=1
--volume models:/models --publish 0.0.0.0:9000:9000 --env-file /etc/environment --runtime other
{{ image }}
--model {{ model }}
"""


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "templates").mkdir()
    return FakeSpark(tmp_path)


def reaches(spark: FakeSpark, more: str) -> list[str]:
    """Return what lint says that a recipe reaches, without places and hints."""
    plain = "" if more.startswith("container:") else "container: null\n"
    (spark.folder / "recipes/mine.yaml").write_text(f"extends: e2b-nvfp4\n{plain}{more}")
    lines = spark.run("recipes", "lint", "mine").expect(0).err.splitlines()
    found = [line for line in lines if line.startswith("reaches: ")]
    for line in found:
        assert line.startswith(f"reaches: {spark.folder}/recipes/mine.yaml:") or "/recipes/e2b-nvfp4.yaml:" in line
    return [line.split(": ", 2)[2] for line in found]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", []),
        ("cache: /\n", ["mounts /, writable: that is every file of this host"]),
        (f"cache: {HOME}\n", [f"mounts {HOME}, writable: your own files are in it"]),
        ("cache: ~/.cache/huggingface\n", []),
        *(
            (f"cache: {folder}\n", [f"mounts {folder}, writable: your settings, and perhaps your keys, are in it"])
            for folder in ("~/.ssh", "~/.config/sparkctl/mods", "~/.local/state/sparkctl/x")
        ),
        ("container: {ipc: null, caches: /etc}\n", ["mounts /etc, writable: that belongs to the system"]),
        ("container: {ipc: null, privileged: true}\n", ["is privileged"]),
        ("container: {ipc: null, capabilities: [SYS_ADMIN]}\n", ["is given the capability SYS_ADMIN"]),
        ("container: {ipc: null, devices: [/dev/mem]}\n", ["is given the device /dev/mem"]),
        ("container: {ipc: null, runtime: other}\n", ["is run by other"]),
        ("container: {ipc: null, mounts: ['/srv/data:/data:rw']}\n", ["mounts /srv/data on /data, writable"]),
        ("container: {ipc: null, mounts: ['/etc:/host-etc']}\n", ["mounts /etc:/host-etc"]),
        ("cache: /etc/x\n", ["mounts /etc/x, writable: that belongs to the system"]),
        ("cache: /var/lib/docker\n", ["mounts /var/lib/docker, writable: that belongs to the system"]),
        ("cache: /home\n", ["mounts /home, writable: your own files are in it"]),
        ("cache: /srv\n", ["mounts /srv, writable: more than models is in it"]),
        ("cache: /srv/models/../..\n", ["mounts /srv/models/../.., writable: a path with .. in it leads elsewhere"]),
        ("cache: /srv/models\n", []),
        ("model: {path: /run}\n", ["mounts /run, read-only: that belongs to the system"]),
        ("container: {network: host, ipc: null}\n", ["shares the network host"]),
        ("container: {ipc: host}\n", ["shares the shared memory of host"]),
        ("container: {ipc: private, shm-size: 1 GiB}\n", []),
        (
            "serve: {bind: 0.0.0.0}\nsecrets: [VLLM_API_KEY]\n",
            ["answers whoever has the key at 0.0.0.0"],
        ),
        (
            "serve: {bind: 192.168.1.5}\nsecrets: [VLLM_API_KEY]\n",
            ["answers whoever has the key at 192.168.1.5"],
        ),
        ("serve: {bind: '::1'}\n", []),
        ("gpus: cdi:nvidia.com/gpu=all\n", []),
        ("gpus: cdi:vendor.com/disk=root\n", ["is given the device vendor.com/disk=root"]),
    ],
)
def test_what_a_recipe_reaches_is_named(spark: FakeSpark, more: str, told: list[str]) -> None:
    assert reaches(spark, more) == told


def test_what_a_template_adds_is_named(spark: FakeSpark) -> None:
    (spark.folder / "templates/wide.j2").write_text(TEMPLATE)
    assert reaches(spark, "template: wide\n") == [
        f"the template adds {text}"
        for text in (
            "--mount /var/run/docker.sock on /var/run/docker.sock, writable",
            "--mount /srv/data on /data, read-only",
            "--mount a volume (volume-opt=type=none, volume-opt=o=bind, volume-opt=device=/) on /v, writable",
            "--device /dev/kvm",
            "--device vendor.com/disk=root",
            "--group-add docker",
            "--sysctl net.ipv4.ip_forward=1",
            "--env-file /etc/environment",
            "--privileged",
            "--cap-add CAP_SYS_ADMIN",
            "--security-opt seccomp=unconfined",
            "--pid host",
            "--runtime other",
            "--network host",
            "--publish 0.0.0.0:9000",
        )
    ]


def test_a_template_that_cannot_be_put_together_is_not_silent(spark: FakeSpark) -> None:
    (spark.folder / "templates/wide.j2").write_text(TEMPLATE.replace("--pid host", "--pid"))
    (told,) = reaches(spark, "template: wide\n")
    assert told.startswith("what its template reaches cannot be told: ")


def test_a_shipped_template_adds_nothing(spark: FakeSpark) -> None:
    told = spark.run("recipes", "lint").expect(0).err
    assert "the template adds" not in told
    assert "shares the network host" in told
