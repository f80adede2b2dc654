"""Models and images between two real hosts: ssh, rsync over the "fabric" with a forwarded agent, two engines."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.command_line import Operator, wait_for
from tests.support.copy_bench import COMMIT, RECIPE, shard, write_cache, write_folder
from tests.support.real_hosts import folder_of_hosts, operator_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.hosts

STANDIN = "sparkctl-test/standin:latest"
MIB = 1024 * 1024
LARGE = 96
"""MiB of a shard that is still under way when a test sees it."""
INCOMPLETE = "model-00001-of-00001.safetensors.incomplete"


class Copied(NamedTuple):
    """An operator with a recipe whose model lies on host a alone, and the homes of both hosts' users."""

    operator: Operator
    name: str
    a: Path
    b: Path
    hosts: Path

    def on(self, host: str, *words: str) -> str:
        """Run a command on a host."""
        command = ["ssh", "-F", str(self.hosts / "ssh_config"), f"spark-{host}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout

    def distribute(self, *more: str) -> Sequence[str]:
        """Return the words of the command."""
        return ["hosts", "distribute", self.name, "--from", "a", "--to", "b", *more]


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Copied]:
    hosts = folder_of_hosts()
    operator, name = operator_of(hosts, tmp_path), f"copied{os.getpid()}"
    found = Copied(operator, name, hosts / "spark-a/root", hosts / "spark-b/root", hosts)
    write_recipe(found, f"{{repo: test/{name}, path: ~/models/{name}}}")
    yield found
    for home in (found.a, found.b):
        shutil.rmtree(home / "models" / name, ignore_errors=True)
        shutil.rmtree(home / f".cache/huggingface/hub/models--test--{name}", ignore_errors=True)


def write_recipe(copied: Copied, model: str, image: str = STANDIN) -> None:
    copied.operator.write(f"recipes/{copied.name}.yaml", RECIPE.format(image=image, model=model))


def write_model(copied: Copied, shards: int, each: int) -> Path:
    """Write a model on host a: shards of so many MiB that differ."""
    folder = copied.a / "models" / copied.name
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    write_folder(folder, {"config.json": b'{"model_type": "llama"}'})
    for name in names:
        write_folder(folder, {name: shard(f"{name} {os.urandom(64).hex()} " * (each * MIB // 160))})
    return folder


@contextmanager
def agent(copied: Copied, tmp_path: Path) -> Iterator[None]:
    """Let the operator's agent be forwarded to host a, which knows the key of host b at its fabric address."""
    said = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True).stdout
    socket, pid = (re.search(pattern, said) for pattern in (r"SSH_AUTH_SOCK=([^;]+)", r"SSH_AGENT_PID=(\d+)"))
    assert socket is not None
    assert pid is not None
    known = copied.a / ".ssh/known_hosts"
    try:
        environ = {**os.environ, "SSH_AUTH_SOCK": socket[1]}
        subprocess.run(["ssh-add", "-q", copied.hosts / "key"], env=environ, check=True)
        copied.operator.environ["SSH_AUTH_SOCK"] = socket[1]
        ssh = tmp_path / "bin/ssh"
        ssh.write_text(ssh.read_text().replace(f"{copied.hosts}/ssh_config", f"{tmp_path}/forwarding"))
        text = (copied.hosts / "ssh_config").read_text()
        (tmp_path / "forwarding").write_text(f"{text}\nHost spark-a\n  ForwardAgent yes\n")
        key = " ".join((copied.hosts / "spark-b/host_key.pub").read_text().split()[:2])
        known.write_text(f"10.214.0.2 {key}\n")
        yield
    finally:
        known.unlink(missing_ok=True)
        os.kill(int(pid[1]), signal.SIGTERM)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_a_way_over_the_fabric_all_goes_through_this_machine(copied: Copied) -> None:
    """An image from engine to engine, a model as a stream, first to a disk without room, and a damaged shard again."""
    image, there = f"sparkctl-test/{copied.name}:latest", copied.b / "models" / copied.name
    folder, mounted = write_model(copied, 2, 1), f"/root/models/{copied.name}"
    write_recipe(copied, f"{{repo: test/{copied.name}, path: ~/models/{copied.name}}}", image)
    copied.on("a", f"tar --directory /etc --create hostname | docker import - {image}")
    copied.on("b", f"mkdir -p {mounted} && mount -t tmpfs -o size=64m tmpfs {mounted}")
    try:
        refused = copied.operator.run(*copied.distribute("--dry-run", "--json")).expect(4)
        planned, model = refused.json
        assert (planned["way"], planned["source"]) == ("docker save | docker load", "a")
        assert (model["way"], model["files"]) == ("through this machine", 3)
        assert f"b: no room for test/{copied.name}: 2.0 MiB to come, 64.0 MiB free at {mounted}" in refused.err
        copied.on("b", "umount", mounted)
        came = copied.operator.run(*copied.distribute()).expect(0)
        assert "b: models come from a through this machine: a cannot ssh to root@10.214.0.2: Host key" in came.err
        assert contents(there) == contents(folder)
        damaged = there / "model-00002-of-00002.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
        again = copied.operator.run(*copied.distribute()).expect(0)
        assert f"/models/{copied.name}/{damaged.name} has the right size and other bytes" in again.err
        assert contents(there) == contents(folder)
        compared = copied.operator.run("hosts", "check", "a", "b", copied.name).expect(0).out
        assert f"{copied.name}: the same image, model and mods" in compared
    finally:
        for host in "ab":
            with suppress(subprocess.CalledProcessError):
                copied.on(host, "docker", "rmi", image)


def test_a_cache_goes_over_the_fabric_by_rsync_with_the_operators_agent(copied: Copied, tmp_path: Path) -> None:
    write_recipe(copied, f"{{repo: test/{copied.name}}}\ncache: ~/.cache/huggingface")
    hub = ".cache/huggingface/hub"
    files = {"config.json": b"{}", "model.safetensors": shard("weights " * MIB)}
    shutil.rmtree(copied.a / hub / "models--test--tiny", ignore_errors=True)
    write_cache(copied.a / hub, files)
    (copied.a / hub / "models--test--tiny").rename(copied.a / hub / f"models--test--{copied.name}")
    with agent(copied, tmp_path):
        came = copied.operator.run(*copied.distribute()).expect(0)
    assert "rsync over the fabric" in came.out
    root = copied.b / hub / f"models--test--{copied.name}"
    assert (root / "refs/main").read_text() == COMMIT
    assert contents(root / "snapshots" / COMMIT) == files
    assert str((root / "snapshots" / COMMIT / "config.json").readlink()).startswith("../../blobs/")
    assert not list(root.rglob("*.incomplete"))


def test_killed_in_the_middle_nothing_runs_on_and_the_next_command_goes_on(copied: Copied, tmp_path: Path) -> None:
    folder, there = write_model(copied, 1, LARGE), copied.b / "models" / copied.name

    def ended() -> bool:
        lines = [line for host in "ab" for line in copied.on(host, "ps", "-eo", "args").splitlines()]
        return not any(copied.name in line for line in lines)

    with agent(copied, tmp_path):
        process = copied.operator.start(*copied.distribute())
        wait_for(lambda: any(path.stat().st_size > MIB for path in there.glob("*.incomplete")))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        wait_for(ended)
        assert [path.name for path in there.iterdir()] == [INCOMPLETE]
        assert "rsync over the fabric" in copied.operator.run(*copied.distribute()).expect(0).out
    assert contents(there) == contents(folder)


def test_a_connection_that_ends_in_the_middle_is_said_and_what_came_is_kept_h10(copied: Copied) -> None:
    folder, there = write_model(copied, 1, LARGE), copied.b / "models" / copied.name
    process = copied.operator.start(*copied.distribute())
    wait_for(lambda: any(path.stat().st_size > MIB for path in there.glob("*.incomplete")))
    for pid in copied.on("b", "pgrep", "-f", "'sshd: root@notty'").split():
        with suppress(subprocess.CalledProcessError):
            copied.on("b", "kill", pid)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 4, said
    assert "Traceback" not in said
    assert [path.name for path in there.iterdir()] == [INCOMPLETE]
    copied.operator.run(*copied.distribute()).expect(0)
    assert contents(there) == contents(folder)


def test_a_disk_that_fills_up_in_the_middle_is_said_and_with_room_again_it_goes_on_h10(copied: Copied) -> None:
    folder, mounted = write_model(copied, 1, LARGE), f"/root/models/{copied.name}"
    copied.on("b", f"mkdir -p {mounted} && mount -t tmpfs -o size=3g tmpfs {mounted}")
    try:
        process = copied.operator.start(*copied.distribute())
        wait_for(lambda: copied.on("b", f"find {mounted} -name '*.incomplete' -size +1M"))
        copied.on("b", f"mount -o remount,size={LARGE // 2}m {mounted}")
        _, said = process.communicate(timeout=60)
        assert process.returncode == 4, said
        assert f"b: the disk is full: 0 B free at {mounted}" in said
        copied.on("b", f"mount -o remount,size=3g {mounted}")
        copied.operator.run(*copied.distribute()).expect(0)
        there = copied.on("b", f"cd {mounted} && sha256sum *").split()
        assert there == [word for name, content in sorted(contents(folder).items()) for word in (sum_of(content), name)]
    finally:
        copied.on("b", "umount", mounted)


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
