"""Real hosts, by a real ssh: two of the testbed, each with a dockerd, an sshd, a name and a MemTotal of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.opening.remote import RemoteSpark
from tests.support.command_line import Operator, free_port
from tests.support.engine_fixtures import not_here
from tests.support.real_hosts import RECIPE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.hosts

ODD = """
Host refusing
  HostName 127.0.0.1
  Port 1
Host hanging
  ProxyCommand sleep 60
Host changed
  HostName 10.213.1.2
  UserKnownHostsFile {folder}/changed
Host unknown
  HostName 10.213.1.2
  UserKnownHostsFile /dev/null
Host again
  HostName 10.213.1.2
Host again refusing changed unknown
  User root
  IdentityFile {key}
  StrictHostKeyChecking yes
  UserKnownHostsFile {known}
"""


@pytest.fixture(scope="session")
def hosts_folder() -> Path:
    """Return where the testbed's hosts are."""
    named = os.environ.get("SPARKCTL_TEST_HOSTS")
    if not named:
        not_here("hosts", "SPARKCTL_TEST_HOSTS names no hosts; run tests/testbed/testbed hosts (as root)")
    return Path(named)


@pytest.fixture
def operator(hosts_folder: Path, tmp_path: Path) -> Operator:
    """Return an operator whose ssh knows the hosts of the testbed, and some that do not work."""
    for name in ("home", "folder", "bin"):
        (tmp_path / name).mkdir()
    wrong = (hosts_folder / "spark-b/host_key.pub").read_text().split()[:2]
    (tmp_path / "changed").write_text(f"10.213.1.2 {' '.join(wrong)}\n")
    odd = ODD.format(folder=tmp_path, key=hosts_folder / "key", known=hosts_folder / "known_hosts")
    (tmp_path / "config").write_text((hosts_folder / "ssh_config").read_text() + odd)
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/config "$@"\n')
    ssh.chmod(0o755)
    found = Operator(tmp_path / "home", tmp_path / "folder", {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    found.write("hosts.yaml", "hosts:\n  a: {ssh: spark-a}\n  b: {ssh: spark-b}\n")
    return found


@pytest.fixture
def recipe(operator: Operator, hosts_folder: Path, tiny_model: Path) -> Iterator[str]:
    """Return a recipe whose model lies on the first host alone."""
    name = f"t{os.getpid()}-{time.monotonic_ns() % 10**6}"
    operator.write(f"recipes/{name}.yaml", RECIPE.format(name=name, port=free_port()))
    folder = hosts_folder / "spark-a/root/models" / name
    shutil.copytree(tiny_model, folder)
    yield name
    if name in operator.run("--host", "a", "ps").out:
        operator.run("--host", "a", "down", name)
    shutil.rmtree(folder)


def test_a_service_is_started_seen_and_ended_on_another_host(operator: Operator, recipe: str) -> None:
    assert "fits" in operator.run("--host", "a", "plan", recipe).expect(0).out
    absent = operator.run("--host", "b", "plan", recipe)
    assert absent.code != 0, "its model is not on that host"
    up = operator.run("--host", "a", "up", recipe).expect(0)
    assert f"{recipe}: ready at" in up.err
    operator.write("hosts.yaml", "hosts:\n  a: {ssh: spark-a}\n  b: {ssh: spark-b}\n  c: {ssh: refusing}\n")
    everywhere = operator.run("ps", "--all-hosts", "--json").expect(4)
    rows = [row for row in json.loads(everywhere.out) if row["name"] == recipe]
    assert [(row["host"], row["ready"]) for row in rows] == [("a", True)]
    assert "c is not reached: nothing answers at its ssh port" in everywhere.err
    assert "state              ready" in operator.run("--host", "a", "status", recipe).expect(0).out
    assert operator.run("--host", "a", "logs", recipe).expect(0).out
    asked_and_measured(operator, recipe)
    assert "stopped and removed" in operator.run("--host", "a", "down", recipe).expect(0).err


def asked_and_measured(operator: Operator, recipe: str) -> None:
    """Ask a service of the first host through ssh, in streams too, and look at its mods."""
    (checked,) = operator.run("--host", "a", "check", recipe, "--only", "arithmetic", "--json").json
    assert [one["answer"] for one in checked["requests"]] != [], "the stand-in answers; what it says is no model's"
    few = ("--tokens", "20", "--rounds", "1", "--concurrency", "1,3")
    found = operator.run("--host", "a", "bench", recipe, *few, "--json").expect(0).json
    assert [level["requests"] for level in found["levels"]] == [1, 3]
    assert found["host"] == "a"
    assert any("measured through ssh" in note for note in found["notes"])
    assert recipe in operator.run("--host", "a", "bench", "history", recipe, "--json").expect(0).out
    assert operator.run("--host", "a", "verify-mods", recipe).expect(0)


def test_two_hosts_are_added_and_compared_by_what_they_are(operator: Operator) -> None:
    (operator.folder / "hosts.yaml").unlink()
    added = operator.run("hosts", "add", "a", "spark-a").expect(0)
    assert "121.7 GiB of memory" in added.err
    assert "hca: [rocep1s0f1, roceP2p1s0f1]" in added.out
    operator.run("hosts", "add", "b", "spark-b").expect(0)
    compared = operator.run("hosts", "check", "a", "b").expect(0).out
    assert "fabric: a reaches b at 10.214.0.2" in compared
    assert "fabric: b reaches a at 10.214.0.1" in compared
    assert "WARNING" not in compared


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("refusing", "nothing answers at its ssh port"),
        ("changed", "its host key is another one than ssh knows"),
        ("unknown", "ssh does not know its host key yet"),
        ("nosuchuser@spark-a", "it takes none of your keys"),
    ],
)
def test_a_host_that_is_not_reached_is_said_with_the_reason_h1(operator: Operator, target: str, said: str) -> None:
    operator.write("hosts.yaml", f"hosts:\n  x: {{ssh: {target}}}\n")
    assert f"x is not reached: {said}" in operator.run("--host", "x", "ps").expect(4).err


def test_a_host_that_hangs_and_a_machine_that_is_named_twice_are_said(operator: Operator) -> None:
    operator.write("hosts.yaml", "hosts:\n  a: {ssh: spark-a}\n  x: {ssh: hanging}\n")
    assert "x: ssh: x is not reached" in operator.run("hosts", "doctor").expect(8).out
    operator.write("hosts.yaml", "hosts:\n  a: {ssh: spark-a}\n  x: {ssh: again}\n")
    assert "a and x are the same machine" in operator.run("ps", "--all-hosts").expect(2).err


def test_a_lock_is_free_when_the_connection_is_killed_h16(hosts_folder: Path) -> None:
    program = ("ssh", "-F", str(hosts_folder / "ssh_config"))
    one, other = (RemoteSpark(name, "spark-a", program=program) for name in ("one", "other"))
    try:
        with one.locks.hold("tested", waiting=lambda _: None):
            os.kill(one.process, signal.SIGKILL)
            with other.locks.hold("tested", waiting=lambda _: None):
                pass  # within the time that a test has
        with pytest.raises(EngineError, match="one"):
            one.host.memory()
    finally:
        one.close()
        other.close()
