"""Scripts and documents with commands that start a server."""

from __future__ import annotations

import pytest

from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.shell.wrappers import BEFORE
from sparkctl.recipes.exchange.sources.commands import read, recognises
from tests.support.imports import HOST
from tests.support.launches import command, options

RUN = "docker run --gpus all img:1 vllm serve a/b"


def test_a_document_has_its_commands_in_blocks_and_a_block_knows_the_variables_before_it() -> None:
    text = (
        f"# Title\n{RUN} --of prose\n\n```bash\nexport MODEL=a/b\n```\n\n- a list\n\n"
        "  ~~~console\n  $ docker run img:1 vllm serve $MODEL\n  > x\n  ~~~\n\n"
        "```python\ndocker run p:1\n```\n```\nvllm serve c/d"
    )
    found = read(Material(text, "README.md", HOST))
    assert [command(launch) for launch in found] == ["vllm serve a/b", "vllm serve c/d"]
    assert [(launch.form, launch.place.line) for launch in found] == [("docker run", 11), ("vllm serve", 19)]


def test_the_same_command_is_read_once_and_another_spelling_of_the_engine_is_no_other() -> None:
    text = f"{RUN}\nsudo {RUN}\n{RUN.replace('docker', '/usr/bin/podman --log-level debug')}\n{RUN} --x 1\n"
    found = read(Material(text, "run.sh", HOST))
    assert [command(launch) for launch in found] == ["vllm serve a/b", "vllm serve a/b --x 1"]
    container = read(Material(RUN.replace("docker run", "docker container create"), "run.sh", HOST))
    assert [options(launch) for launch in container] == ["--gpus=all"]


def test_options_have_their_long_names_and_what_the_script_knows_is_in_them() -> None:
    text = "export A=1\ndocker run -ditp 8:80 -e A -e B=2 --env-file env -v ./m:/m -v=data:/d --net host img:1\n"
    (launch,) = read(Material(text, "run.sh", HOST, {"env": "# it\nC=3\nexport D='4'\n"}))
    assert options(launch) == (
        "--detach=true --interactive=true --tty=true --publish=8:80 --env=A=1 --env=B=2 --env=C=3 --env=D='4' "
        "--volume=/work/m:/m --volume=data:/d --network=host"
    )


def test_a_server_that_is_started_in_a_container_that_is_there_is_read_as_its_command() -> None:
    (launch,) = read(Material("docker exec -it -e A=1 box bash -lc x; docker exec box vllm serve a/b", "x.sh", HOST))
    assert command(launch) == "vllm serve a/b"
    assert "in a container that is there already" in launch.notes[-1]


@pytest.mark.parametrize(
    ("before", "left"),
    [
        ("sudo -E nohup", []),
        ("time -p setsid", []),
        ("taskset -c 0-3", ["taskset -c 0-3"]),
        ("sudo -u me numactl -N 0 --membind 0", ["sudo -u me", "numactl -N 0 --membind 0"]),
        ("timeout -k 5 3600", ["timeout -k 5 3600"]),
        ("uv run --with x", ["uv run --with x"]),
    ],
)
@pytest.mark.parametrize("started", [RUN, "vllm serve a/b", "docker exec box vllm serve a/b"])
def test_what_stands_before_a_command_and_changes_how_it_runs_stays_over(
    before: str, left: list[str], started: str
) -> None:
    (launch,) = read(Material(f"{before} {started}", "run.sh", HOST))
    assert command(launch) == "vllm serve a/b"
    assert [(one.what, one.why) for one in launch.leftovers] == [(what, BEFORE) for what in left]


def test_what_stands_before_a_server_in_its_container_stays_over() -> None:
    (launch,) = read(Material("docker exec box taskset -c 0-3 vllm serve a/b", "run.sh", HOST))
    assert [one.what for one in launch.leftovers] == ["taskset -c 0-3"]
    (unit,) = read(Material("```ini\n[Service]\nExecStart=/usr/bin/taskset -c 0-3 vllm serve a/b\n```", "a.md", HOST))
    assert [one.what for one in unit.leftovers] == ["/usr/bin/taskset -c 0-3"]


def test_what_is_no_script_is_not_recognised() -> None:
    assert recognises(Material(RUN, "-"))
    assert recognises(Material(f"#!/bin/bash\n{RUN}", "start.command"))
    assert not recognises(Material(RUN, "Makefile"))
    assert not recognises(Material(f"#!/usr/bin/env python3\n# {RUN}", "start.py"))
    assert not recognises(Material("echo docker", "run.sh"))
