"""An operator whose ssh knows the real hosts of the testbed."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.command_line import Operator
from tests.support.engine_fixtures import not_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RECIPE = """\
description: a stand-in for vLLM
template: vllm-openai
image: sparkctl-test/standin:latest
vllm: "0.29"
model: {{repo: test/tiny, path: ~/models/{name}, mount: /models/tiny}}
gpus: none
serve: {{name: tiny, port: {port}}}
limits: {{context: 1024, sequences: 2, batched-tokens: 512}}
env: {{SPARKCTL_SIM_FAULTS: load_s=0.3}}
ready: {{timeout: 60s}}
container: {{network: host}}
"""
"""What the hosts can run: the stand-in, for a model in a folder ``name`` of their user."""


def folder_of_hosts() -> Path:
    """Return where the testbed's hosts are; without them the test is skipped."""
    named = os.environ.get("SPARKCTL_TEST_HOSTS")
    if not named:
        not_here("hosts", "SPARKCTL_TEST_HOSTS names no hosts; run tests/testbed/testbed hosts (as root)")
    return Path(named)


@contextmanager
def model_on_hosts(model: Path, name: str) -> Iterator[None]:
    """Have a model as ``~/models/NAME`` on the first two hosts for as long as it is left open."""
    folders = [folder_of_hosts() / host / "root/models" / name for host in ("spark-a", "spark-b")]
    for folder in folders:
        shutil.copytree(model, folder)
    try:
        yield
    finally:
        for folder in folders:
            shutil.rmtree(folder)


def ssh_of(hosts: Path, folder: Path) -> None:
    """Write an ssh into a folder of programs that knows the hosts."""
    ssh = folder / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {hosts}/ssh_config "$@"\n')
    ssh.chmod(0o755)


def operator_of(hosts: Path, folder: Path, environ: Mapping[str, str] | None = None) -> Operator:
    """Return an operator with homes in a folder, whose hosts a and b are the first two, on a fabric."""
    for name in ("home", "folder", "bin"):
        (folder / name).mkdir()
    ssh_of(hosts, folder / "bin")
    path = {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
    found = Operator(folder / "home", folder / "folder", {**path, **(environ or {})})
    found.write(
        "hosts.yaml",
        "hosts:\n"
        "  a: {ssh: spark-a, fabric: {address: 10.214.0.1, interface: enp1s0f1np1}}\n"
        "  b: {ssh: spark-b, fabric: {address: 10.214.0.2, interface: enp1s0f1np1}}\n",
    )
    return found
