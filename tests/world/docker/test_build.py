"""Images that are built on real engines: the contract, and what only Docker has."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from docker import APIClient

from sparkctl.base.errors import EngineError
from sparkctl.world.builder import BUILD_FOLDER, BuildOrder
from sparkctl.world.spec import ContainerSpec
from tests.support.builder_contract import LABEL, BuilderContract, Kitchen
from tests.support.engine_bench import until
from tests.support.engine_fixtures import BASE, BOTH, NEW, STANDIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine

pytestmark = [BOTH, pytest.mark.docker]


def printing(lines: list[str], code: int) -> bytes:
    """Return a Python program that prints lines and ends with a code."""
    return f"import sys\nprint(*{lines!r}, sep='\\n')\nsys.exit({code})\n".encode()


@pytest.fixture
def kitchen(docker_engine: DockerEngine, prefix: str) -> Iterator[Kitchen]:
    yield Kitchen(docker_engine, docker_engine, BASE, prefix, printing)
    for container in docker_engine.containers():
        if container.labels.get(LABEL) == prefix:
            docker_engine.remove(container.id)
    for one in docker_engine.built(LABEL):
        if one.labels[LABEL] == prefix:
            for tag in one.tags:
                docker_engine.discard(tag)


class TestDockerBuilder(BuilderContract):
    """The contract, on the real engines."""


@pytest.fixture
def client(docker_host: str) -> Iterator[APIClient]:
    with APIClient(base_url=docker_host) as client:
        yield client


def build(kitchen: Kitchen, program: str, **changes: object) -> BuildOrder:
    order = kitchen.order()._replace(program=program.encode(), **changes)  # type: ignore[arg-type]
    *_, last = kitchen.built(order)
    assert last.end is not None
    assert last.end.exit_code == 0, last.end.lines
    return order


def run(docker_host: str, image: str, *words: str) -> str:
    command = ["docker", "--host", docker_host, "run", "--rm", "--network", "none", image, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_what_the_program_changed_is_in_the_image_and_what_it_was_told_is_not(
    kitchen: Kitchen, docker_host: str, client: APIClient, tmp_path: Path
) -> None:
    (tmp_path / "a.whl").write_text("a wheel")
    folder = BUILD_FOLDER
    program = (
        f"import os\nassert open('{folder}/wheels/a.whl').read() == 'a wheel'\n"
        f"secret = open('{folder}/request').read()\n"
        "open('/opt/made', 'w').write(str(len(secret)))\nopen('/tmp/half', 'w').write('x' * 1000)\n"
        "assert not any(name.lower().endswith('_proxy') for name in os.environ), dict(os.environ)\n"
    )
    order = build(kitchen, program, files={"request": b"hush-hush"}, wheels=tmp_path, comment="made so")
    inside = run(docker_host, order.tag, "sh", "-c", "cat /opt/made; find /tmp")

    assert inside == "9/tmp\n"
    whole = json.dumps([client.inspect_image(order.tag), client.history(order.tag)])  # type: ignore[no-untyped-call]
    assert "made so" in whole
    assert "hush-hush" not in whole
    assert str(tmp_path) not in whole
    assert client.inspect_image(order.tag)["Config"]["Volumes"] is None  # type: ignore[no-untyped-call]


@NEW
@pytest.mark.parametrize("base", [BASE, STANDIN])
def test_the_image_starts_as_its_base_does(kitchen: Kitchen, client: APIClient, base: str) -> None:
    kitchen.base = base
    order = build(kitchen, "pass")
    before, after = (client.inspect_image(one)["Config"] for one in (base, order.tag))  # type: ignore[no-untyped-call]

    for key in ("Entrypoint", "Cmd", "User", "WorkingDir", "Env", "Volumes"):
        assert (after[key] or None) == (before[key] or None), key


@NEW
def test_the_program_is_root_also_where_the_image_has_another_user_which_it_keeps(
    kitchen: Kitchen, client: APIClient, docker_host: str, prefix: str
) -> None:
    engine = kitchen.engine
    made = engine.create(ContainerSpec(image=BASE, name=f"{prefix}-user", user="1234:1234", command=("true",)))
    base = f"sparkctl-job:{prefix}-user"
    client.commit(made, repository="sparkctl-job", tag=f"{prefix}-user", conf={"Labels": {LABEL: prefix}})
    kitchen.base = base
    order = build(kitchen, "open('/opt/made', 'w').write('x')\n")

    assert client.inspect_image(order.tag)["Config"]["User"] == "1234:1234"  # type: ignore[no-untyped-call]
    assert run(docker_host, order.tag, "id", "-u") == "1234\n"


@NEW
def test_a_container_of_the_image_is_not_taken_for_one_for_a_moment(kitchen: Kitchen, prefix: str) -> None:
    order = build(kitchen, "pass")
    identity = kitchen.engine.create(ContainerSpec(image=order.tag, name=f"{prefix}-mine", command=("true",)))

    assert not kitchen.left()
    assert kitchen.engine.container(identity) is not None


@NEW
def test_a_program_that_prints_without_an_end_is_read_within_bounds_and_its_end_is_kept(kitchen: Kitchen) -> None:
    order = kitchen.order()._replace(program=b"for n in range(30000): print(n, 'x' * 100)\nraise SystemExit(1)\n")
    *_, last = kitchen.built(order)

    assert last.end is not None
    assert len(last.end.lines) == 400
    assert last.end.lines[-1].startswith("29999 ")


@NEW
def test_an_image_without_python3_cannot_be_built_on_and_says_so(kitchen: Kitchen, client: APIClient) -> None:
    tag = kitchen.order(name="empty").tag
    name, _, version = tag.rpartition(":")
    client.import_image_from_data(
        b"\0" * 10240, repository=name, tag=version, changes=[f"LABEL {LABEL}={kitchen.prefix}"]
    )
    kitchen.base = tag

    with pytest.raises(EngineError, match=r"cannot build the image \S+: the image has no program python3"):
        kitchen.built(kitchen.order())
    with pytest.raises(EngineError, match="has no python3"):
        kitchen.builder.installed(tag)
    assert kitchen.image(kitchen.order().tag) is None
    assert not kitchen.left()


@NEW
def test_the_packages_of_an_image_are_known_by_their_usual_names(kitchen: Kitchen) -> None:
    program = """
import os
for folder, name, version in (("A_b-1", "A_b", "1.0+cpu"), ("c-2", "c", "2")):
    where = f"/usr/lib/python3/dist-packages/{folder}.dist-info"
    os.makedirs(where)
    open(f"{where}/METADATA", "w").write(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
"""
    order = build(kitchen, program)

    assert dict(kitchen.builder.installed(order.tag)).items() >= {"a-b": "1.0+cpu", "c": "2"}.items()


def test_the_engine_removes_the_containers_volume_too(kitchen: Kitchen, client: APIClient) -> None:
    before = {one["Name"] for one in client.volumes()["Volumes"] or ()}
    build(kitchen, "open('/tmp/x', 'w').write('x')")

    until(lambda: not {one["Name"] for one in client.volumes()["Volumes"] or ()} - before)
