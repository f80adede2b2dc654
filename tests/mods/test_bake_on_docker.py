"""Baking on a real Docker Engine: scripts that do what community mods do, and what is left of them afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from sparkctl.world.local import processes
from tests.support.command_line import Operator, free_port
from tests.support.engine_fixtures import FIRST, STANDIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine
    from tests.support.command_line import Done

pytestmark = [pytest.mark.docker, FIRST]  # either would do, and the other has more to do

ROOT = "/usr/local/lib/python3.12/dist-packages"
MODELS = f"{ROOT}/vllm/model_executor/models"
OLD = "as the image has it"


class Baker(Operator):
    """An operator with community mods, on the real engine."""

    image: str = STANDIN

    def mod(self, script: str, **files: str) -> Path:
        """Write a community mod and return its folder."""
        folder = self.home / "community" / "fix"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(content)
        (folder / "run.sh").write_text(f"#!/bin/bash\nset -e\n{script}\n")
        return folder

    def bake(self, script: str, *more: str, **files: str) -> Done:
        return self.run("mods", "bake", str(self.mod(script, **files)), "--image", self.image, *more)

    def refused(self, script: str, *more: str, **files: str) -> str:
        """Bake what must be refused; return what was said. No mod and no container is left."""
        done = self.bake(script, *more, **files).expect(6)
        assert done.out == ""
        assert not self.made.exists()
        assert [one for one in self.baking() if processes.lives(one) is False] == []
        return done.err

    def baking(self) -> list[str]:
        """Return the processes that have containers in which a mod is baked."""
        form = '{{.Label "sparkctl.process"}}'
        return self.docker("ps", "--all", "--filter", "label=sparkctl.throwaway=bake", "--format", form).split()

    @property
    def made(self) -> Path:
        return self.folder / "mods" / "fix"

    def docker(self, *arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()


@pytest.fixture
def baker(docker_engine: DockerEngine, docker_host: str, tmp_path: Path) -> Iterator[Baker]:
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    found = docker_engine.image(STANDIN)
    assert found is not None
    yield Baker(home, folder, {"DOCKER_HOST": docker_host, "SPARKCTL_ENGINE": "docker"})
    now = docker_engine.image(STANDIN)
    assert now == found


def files(baker: Baker, done: Done) -> dict[str, str]:
    """Return what the new mod lays where, by its targets."""
    targets = [line.split()[0] for line in done.out.splitlines()[1:]]
    mod = json.loads(baker.run("mods", "bake", str(baker.home / "community" / "fix"), "--image", baker.image, "--json",
                               "--force").expect(0).out)  # fmt: skip
    assert [file["target"] for file in mod["files"]] == targets
    by_md5 = {hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(): path for path in baker.made.iterdir()}
    return {file["target"]: by_md5[file["md5"]].read_text() for file in mod["files"]}


def test_sed_cp_and_python_become_one_mod_that_holds_in_a_running_service(baker: Baker, tiny_model: Path) -> None:
    script = f"""
sed -i 's/{OLD}/as sed has it/' {MODELS}/gemma4.py
cp new.py {MODELS}/gemma4_new.py
python3 patch.py
cp template.jinja $WORKSPACE_DIR/fixed.jinja
python3 -m compileall -q {MODELS}
echo "all patched"
"""
    rewrite = f"""
from pathlib import Path
path = Path("{MODELS}/gemma4_mtp.py")
path.write_text(path.read_text().replace("{OLD}", "as Python has it"))
"""
    done = baker.bake(script, new__py="NEW = True\n", patch__py=rewrite, template__jinja="{{ messages }}").expect(0)
    assert "fix │ all patched" in done.err
    assert "4 files in" in done.err
    found = files(baker, done)
    assert set(found) == {
        "/fixed.jinja",
        f"{MODELS}/gemma4.py",
        f"{MODELS}/gemma4_mtp.py",
        f"{MODELS}/gemma4_new.py",
    }
    assert "as sed has it" in found[f"{MODELS}/gemma4.py"]
    assert "as Python has it" in found[f"{MODELS}/gemma4_mtp.py"]
    assert found[f"{MODELS}/gemma4_new.py"] == "NEW = True\n"

    name = f"bake-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    baker.write("recipes/hosts/test.yaml", "total: 16 GiB\nreserve: 512 MiB\nsources: {total: t, reserve: t}\n")
    baker.write(
        f"recipes/{name}.yaml",
        f"{{template: vllm-openai, image: '{STANDIN}', vllm: '0.29', gpus: none, mods: [fix], ready: {{timeout: 60s}}, "
        f"model: {{repo: test/tiny, path: {tiny_model}, mount: /models/tiny}}, "
        f"serve: {{name: tiny, port: {free_port()}}}, limits: {{context: 1024, sequences: 2, batched-tokens: 512}}}}\n",
    )
    baker.environ["SPARKCTL_PROFILE"] = "test"
    try:
        baker.run("up", name).expect(0)
        rows = baker.run("verify-mods", name, "--json").expect(0).json
        assert [(row["image"], row["container"], row["verdict"]) for row in rows] == [("ok", "ok", "ok")] * 4
        assert "as sed has it" in baker.docker("exec", name, "cat", f"{MODELS}/gemma4.py")
    finally:
        baker.run("down", name).expect(0)


def test_the_mod_runs_without_network_and_by_itself(baker: Baker) -> None:
    script = """
pwd; echo "workspace is $WORKSPACE_DIR"; ls
python3 -c 'import socket; print([name for _, name in socket.if_nameindex()])'
false
"""
    said = baker.refused(script)
    assert "  /workspace/mods/fix\n  workspace is /\n  run.sh\n  ['lo']\n" in said
    assert "run.sh failed with exit code 1" in said


def test_the_network_is_there_when_asked_for(baker: Baker) -> None:
    script = "python3 -c 'import socket; print([name for _, name in socket.if_nameindex()])'; false"
    assert "'eth0'" in baker.refused(script, "--network")


DIST_INFO = f"{ROOT}/six-1.17.0.dist-info"
REFUSED = {
    "what was deleted": [
        (f"rm {MODELS}/gemma4.py", f"{MODELS}/gemma4.py", "was deleted (file)"),
    ],
    "a folder that was deleted": [
        (f"rm -r {MODELS}", MODELS, "was deleted (folder)"),
    ],
    "a folder that was made anew": [
        (f"rm -r {MODELS}; mkdir {MODELS}; touch {MODELS}/a.py", MODELS, "was deleted"),
    ],
    "what is no file, or none of a package's": [
        (f"ln -s gemma4.py {MODELS}/gemma5.py", f"{MODELS}/gemma5.py", "is a symbolic link to"),
        (f"mkfifo {MODELS}/pipe", f"{MODELS}/pipe", "is a device, a pipe or a socket"),
        (f"cp $(which sed) {ROOT}/vllm/_C.abi3.so", f"{ROOT}/vllm/_C.abi3.so", "is compiled"),
        (f"cp $(which sed) {ROOT}/vllm/tool", f"{ROOT}/vllm/tool", "is compiled"),
        ("echo > /etc/vllm.conf", "/etc/vllm.conf", "lies outside the Python packages and the working folder"),
        (f"chmod +x run.sh; cp -p run.sh {MODELS}", f"{MODELS}/run.sh", "was made executable"),
        (f"chmod 600 {MODELS}/gemma4.py", f"{MODELS}/gemma4.py", "was made unreadable for others"),
        (f"echo --- > {MODELS}/gemma4.py.rej", f"{MODELS}/gemma4.py.rej", "is what a patch did not apply"),
        (f"truncate -s 65M {MODELS}/big.py", f"{MODELS}/big.py", "is larger than 64 MiB"),
        (
            f"mkdir {DIST_INFO}; echo > {DIST_INFO}/METADATA; echo > {ROOT}/six.py",
            f"{DIST_INFO}/METADATA",
            "belongs to an installation of six-1.17.0",
        ),
    ],
    "what runs as another": [
        (f"chmod u+s {MODELS}/gemma4.py", f"{MODELS}/gemma4.py", "is setuid or setgid"),
    ],
}
"""What scripts do that is no overlay: the words, the path that is named and why. Each group is one script."""


@pytest.mark.parametrize("group", REFUSED)
def test_what_is_no_overlay_is_refused_with_its_path(baker: Baker, group: str) -> None:
    scripts = [script for script, _, _ in REFUSED[group]]
    said = baker.refused("\n".join([f"sed -i 's/{OLD}/fixed/' {MODELS}/gemma4_mtp.py", *scripts]))
    assert "not all that run.sh did can be a mod, and none was made:" in said
    told = [line.strip().partition(": ") for line in said.splitlines()]
    for _, path, why in REFUSED[group]:
        # An engine lists what is missing in a folder that was made anew file by file, or names the folder.
        named = [reason for paths, _, reason in told if any(one.startswith(path) for one in paths.split(", "))]
        assert any(reason.startswith(why) for reason in named), said


@pytest.mark.parametrize(
    "script",
    [
        "echo applied",
        f"""
touch {MODELS}/gemma4.py
sed -i s/nothing-of-this/else/ {MODELS}/gemma4.py
echo > {MODELS}/a.py; rm {MODELS}/a.py
python3 -m compileall -q {MODELS}; mkdir -p /root/.cache/pip; echo > /root/.cache/pip/x
nohup sleep 100 > /dev/null 2>&1 &
""",
    ],
    ids=["a word", "much"],
)
def test_a_script_that_changes_nothing_makes_no_mod(baker: Baker, script: str) -> None:
    assert "run.sh ended with 0 and changed nothing that counts; no mod was made" in baker.refused(script)


def test_a_script_that_hangs_is_stopped_and_shown(baker: Baker) -> None:
    said = baker.refused("echo 'Proceed? [y/N]'; sleep 1000", "--timeout", "2s")
    assert "run.sh did not end within 2s; its last lines:\n  Proceed? [y/N]\n" in said


def test_a_script_without_an_interpreter_of_the_image_fails(baker: Baker) -> None:
    folder = baker.mod("")
    (folder / "run.sh").write_text("#!/usr/bin/fish\necho\n")
    done = baker.run("mods", "bake", str(folder), "--image", STANDIN).expect(6)
    assert "/usr/bin/fish" in done.err


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_ends_it_leaves_nothing(baker: Baker, told: signal.Signals) -> None:
    process = baker.start("mods", "bake", str(baker.mod("sleep 1000")), "--image", STANDIN)

    def there() -> bool:
        return any(f"~{process.pid}~" in one for one in baker.baking())

    while not there():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(told)
    _, err = process.communicate(timeout=200)
    assert (process.returncode, "error: interrupted" in err) == (128 + told, True)
    assert not there()
    assert not baker.made.exists()


def test_an_image_without_bash_is_told(baker: Baker, prefix: str) -> None:
    image = f"sparkctl-test/{prefix}:no-bash"
    baker.docker("run", "--name", prefix, "--entrypoint", "rm", STANDIN, "/bin/bash")
    baker.docker("commit", prefix, image)
    try:
        baker.image = image
        assert f"{image} has no bash" in baker.refused("echo")
    finally:
        baker.docker("rmi", image)


def test_an_image_that_is_not_there_is_told(baker: Baker) -> None:
    baker.image = "sparkctl-test/nothing:1"
    assert "docker pull sparkctl-test/nothing:1" in baker.bake("echo").expect(4).err
