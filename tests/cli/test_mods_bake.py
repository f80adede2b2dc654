"""``sparkctl mods bake`` as an operator reads it, over a world of fakes: what is said, what is made, what is left."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from sparkctl.base import document
from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.validation import validate
from sparkctl.mods.bake.folder import MOST_FILES
from sparkctl.mods.manifest import Mod
from sparkctl.mods.placed import NOWHERE, MountedMod
from sparkctl.mods.verdicts import Meant, outsiders
from sparkctl.world.engine import Container
from sparkctl.world.labels import LABEL_THROWAWAY
from sparkctl.world.local.folders import write_folder
from sparkctl.world.spec import ContainerSpec
from sparkctl.world.workbench import PathEntry
from tests.cli.test_json import documented
from tests.support.fake_bench import BASH, FakeBench, ScriptEngine, text
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import Done

ROOT = "/usr/local/lib/python3.12/dist-packages"
TARGET = f"{ROOT}/vllm/model_executor/models/gemma4_mtp.py"


class Baker(FakeSpark):
    """A Spark with a community mod that changes one file."""

    engine: ScriptEngine
    bench: FakeBench

    @property
    def script(self) -> Path:
        return self.folder / "community" / "fix-gemma4" / "run.sh"

    @property
    def made(self) -> Path:
        return self.folder / "mods" / "fix-gemma4"

    def bake(self, *more: str) -> Done:
        return self.run("mods", "bake", str(self.script.parent), "--image", "image:1", *more)

    def refused(self, *more: str, code: int = 6) -> str:
        """Bake what must be refused; return what was said. Nothing is left of it."""
        done = self.bake(*more).expect(code)
        assert done.out == ""
        assert not self.made.exists()
        assert self.engine.there == {}
        return done.err


@pytest.fixture
def spark(tmp_path: Path) -> Baker:
    engine = ScriptEngine(images={"image:1": {f"{ROOT}/vllm/__init__.py": b""}}, vllm="0.20.2+cu130")
    bench = FakeBench(engine)
    bench.image[TARGET] = text("OLD")
    bench.done = {TARGET: text("NEW")}
    spark = Baker(tmp_path, engine=engine, bench=bench)
    spark.script.parent.mkdir(parents=True)
    spark.script.write_text("#!/bin/bash\nsed -i s/OLD/NEW/ gemma4_mtp.py\n")
    spark.script.chmod(0o755)
    return spark


def md5(content: str) -> str:
    return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


def test_a_script_becomes_a_mod_in_the_operators_folder(spark: Baker) -> None:
    done = spark.bake().expect(0)
    assert done.out.split() == ["file", "covers", "lines", TARGET, md5("OLD"), "+1", "-1"]
    assert "fix-gemma4 │ patching\nfix-gemma4 │ done\n" in done.err
    assert done.err.endswith(f"fix-gemma4: 1 file in {spark.made}; name it in a recipe: mods: [fix-gemma4]\n")
    assert (spark.made / "gemma4_mtp.py").read_text() == "NEW"
    mod = validate(document.read(spark.made / "mod.yaml"), Mod)
    assert (mod.applies_to.image, mod.applies_to.vllm) == ("image:1", "==0.20.2")
    assert mod.files[0].module == "vllm.model_executor.models.gemma4_mtp"
    assert sorted(path.name for path in spark.made.parent.iterdir()) == ["fix-gemma4"]


def test_it_runs_as_the_community_runners_run_it(spark: Baker) -> None:
    spark.bake().expect(0)
    before, ran = spark.engine.specs.values()
    assert isinstance(ran, ContainerSpec)
    assert (ran.image, ran.entrypoint, ran.network) == ("sha256:image:1", "bash", "none")
    assert ran.command == ("-c", "export WORKSPACE_DIR=$PWD && cd /workspace/mods/fix-gemma4 && ./run.sh")
    assert not ran.privileged
    assert ran.memory == ran.memory_swap == 8 * 1024**3
    assert spark.bench.unpacked == [(ran.name, "workspace/mods/fix-gemma4/run.sh", 0o755)]
    done = [call.split()[0] for call in spark.engine.calls if not call.startswith("ask")]
    assert done == ["create", "create", "start", "remove", "remove"]
    assert before.name != ran.name


def test_an_image_whose_python_tells_nothing_is_baked_in_without_its_version(spark: Baker) -> None:
    spark.engine.fail["ask image:1"] = EngineError("it has no Python")
    assert spark.bake("--json").expect(0).json["vllm"] is None
    assert validate(document.read(spark.made / "mod.yaml"), Mod).applies_to.vllm is None


def test_packages_that_lie_elsewhere_count_where_the_images_python_finds_them(spark: Baker) -> None:
    spark.engine.images["image:1"] = {"/opt/src/vllm/__init__.py": b""}
    spark.bench.done = {"/opt/src/vllm/envs.py": text("NEW")}
    spark.bake().expect(0)
    (file,) = validate(document.read(spark.made / "mod.yaml"), Mod).files
    assert file.path == "/opt/src/vllm/envs.py"


def test_the_network_is_there_when_asked_for(spark: Baker) -> None:
    spark.bake("--network").expect(0)
    assert {spec.network for spec in spark.engine.specs.values()} == {""}


def test_variables_are_given_as_docker_run_has_them(spark: Baker) -> None:
    spark.bake("--env", "BACKEND=b12x=1", "--env", "HF_HOME").expect(0)
    assert [spec.env for spec in spark.engine.specs.values()] == [(("BACKEND", "b12x=1"), ("HF_HOME", None))] * 2
    assert "--env expects NAME=VALUE or NAME, found ''" in spark.bake("--env", "=x", "--force").expect(2).err


def test_a_script_that_went_on_after_a_failure_is_doubted(spark: Baker) -> None:
    spark.engine.printed = ["patching file a.py", "Patch is not applicable, skipping", "  WARNING: pip failed", "done"]
    done = spark.bake("--json").expect(0)
    assert done.json["doubtful"] == ["Patch is not applicable, skipping", "WARNING: pip failed"]
    assert "warning: run.sh ended with 0, and said: Patch is not applicable, skipping\n" in done.err


def test_a_whole_file_that_takes_lines_back_is_doubted(spark: Baker) -> None:
    assert "warning" not in spark.bake().expect(0).err
    (spark.script.parent / "gemma4_patched.py").write_text("NEW")
    said = spark.bake("--force").expect(0).err
    assert f"warning: {TARGET} is a whole file of the mod's (+1 -1 lines)" in said


def test_json_says_the_same(spark: Baker) -> None:
    spark.bench.done |= {f"{ROOT}/vllm/__pycache__/a.pyc": text("")}
    said = spark.bake("--json").expect(0).json
    assert list(said) == documented("mods bake FOLDER --image IMAGE")
    assert said == {
        "mod": "fix-gemma4",
        "image": "image:1",
        "vllm": "0.20.2",
        "files": [{"target": TARGET, "md5": md5("NEW"), "replaces": md5("OLD"), "added": 1, "removed": 1}],
        "refused": [],
        "ignored": [{"path": f"{ROOT}/vllm/__pycache__/a.pyc", "why": "a cache"}],
        "output": ["patching", "done"],
        "doubtful": [],
    }


def test_json_of_a_refusal_names_no_mod(spark: Baker) -> None:
    spark.bench.done = {TARGET: None}
    said = spark.bake("--json").expect(6).json
    assert (said["mod"], said["files"], [one["path"] for one in said["refused"]]) == (None, [], [TARGET])


@pytest.mark.parametrize(("label", "named"), [({LABEL_THROWAWAY: "bake"}, 0), ({}, 1)])
def test_a_container_that_bakes_is_none_that_was_started_without_its_mods(label: dict[str, str], named: int) -> None:
    mod = MountedMod("fix", "a.py", None, NOWHERE, TARGET, md5("NEW"), root=ROOT)
    engine = FakeEngine(images={"image:1": {}})
    engine.there["id-0"] = Container("id-0", "somebody", "image:1", "sha256:image:1", "running", label)
    assert len(outsiders(engine, [Meant("service", "image:1", [mod], None)])) == named


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_a_script_that_fails_shows_its_last_lines(spark: Baker) -> None:
    spark.engine.printed = ["Hunk #1 FAILED at 135."]
    spark.engine.ends = lambda now: now._replace(state="exited", exit_code=1)
    said = spark.refused()
    assert "error: run.sh failed with exit code 1; its last lines:\n  Hunk #1 FAILED at 135.\n" in said
    assert said.endswith("  → no mod was made\n")
    spark.engine.printed = ["curl: (6) Could not resolve host: example.org"]
    assert "the script had no network, which --network gives" in spark.refused()
    assert "--network" not in spark.refused("--network")


def test_a_script_cannot_write_to_the_terminal_but_text(spark: Baker) -> None:
    spark.engine.printed = ["\x1b[31mred\x1b[0m \x1b]0;title\x07and\x1b[2J\x08 plain\x9b"]
    assert "fix-gemma4 │ red and plain\n" in spark.bake().expect(0).err


def test_a_script_that_was_killed_for_memory_is_told_so(spark: Baker) -> None:
    spark.engine.ends = lambda now: now._replace(state="exited", exit_code=137, oom_killed=True)
    assert "needs more than 8.0 GiB of memory" in spark.refused()


def test_a_script_that_hangs_is_stopped(spark: Baker) -> None:
    spark.engine.printed = ["Proceed? [y/N]"]
    spark.engine.ends = lambda now: now
    said = spark.refused("--timeout", "90s")
    assert "run.sh did not end within 1m 30s; its last lines:\n  Proceed? [y/N]" in said
    assert 90 <= spark.clock.now < 92


def test_a_script_that_says_nothing_and_fails(spark: Baker) -> None:
    spark.engine.printed = []
    spark.engine.ends = lambda now: now._replace(state="exited", exit_code=2)
    assert "run.sh failed with exit code 2; it printed nothing" in spark.refused()


def test_a_success_that_changed_nothing_is_an_error(spark: Baker) -> None:
    spark.engine.printed = ["- PR #38909 can't be applied, skipping"]
    spark.bench.done = {f"{ROOT}/vllm/__pycache__/a.pyc": text(""), "/workspace/mods/fix-gemma4/run.sh": text("")}
    said = spark.refused()
    assert "fix-gemma4 │ - PR #38909 can't be applied, skipping" in said
    assert "error: run.sh ended with 0 and changed nothing that counts; no mod was made\n" in said
    assert "a.pyc: a cache" in said
    assert "/workspace" not in said


def test_a_download_that_failed_unnoticed_is_told(spark: Baker) -> None:
    spark.engine.printed = ["curl: (6) Could not resolve host: example.org", "    OK"]
    spark.bench.done = {}
    assert spark.refused().endswith("  → the script had no network, which --network gives\n")
    assert "--network" not in spark.refused("--network")


def test_one_thing_that_cannot_be_expressed_refuses_the_whole(spark: Baker) -> None:
    spark.bench.image |= {f"{ROOT}/vllm/lora.py": text("")}
    spark.bench.done |= {f"{ROOT}/vllm/lora.py": None, "/usr/bin/jq": BASH}
    said = spark.refused()
    assert "/usr/bin/jq: lies outside the Python packages and the working folder" in said
    assert f"{ROOT}/vllm/lora.py: was deleted (file)" in said
    assert "build an image instead" in said


def test_a_patch_that_was_rejected_in_part_is_for_another_version(spark: Baker) -> None:
    spark.bench.done |= {f"{TARGET}.rej": text("---")}
    assert "it is for another vLLM than 0.20.2" in spark.refused()


def test_a_folder_that_was_deleted_and_made_anew_is_refused(spark: Baker) -> None:
    lora = f"{ROOT}/vllm/lora"
    spark.bench.image |= {lora: PathEntry("folder", 0o755, 0)}
    spark.bench.done |= {lora: PathEntry("folder", 0o755, 0), f"{lora}/a.py": text("A")}
    spark.bench.removed.add(lora)
    assert f"{lora}: was deleted and made again" in spark.refused()


def test_ctrl_c_leaves_nothing(spark: Baker) -> None:
    spark.engine.ends = lambda now: now
    spark.clock.interrupt_at = 1.0
    assert "interrupted" in spark.refused(code=130)


def test_a_container_that_somebody_removes_is_an_error(spark: Baker) -> None:
    spark.engine.vanishing = True
    assert "was removed by somebody else" in spark.refused(code=4)


# --- the world -------------------------------------------------------------------------------------------------------


def test_an_image_that_is_not_here_is_named_with_its_pull(spark: Baker) -> None:
    done = spark.run("mods", "bake", str(spark.script.parent), "--image", "image:2").expect(4)
    assert "docker pull image:2" in done.err


def test_an_image_without_bash_is_told_before_anything_runs(spark: Baker) -> None:
    del spark.bench.image["/usr/bin/bash"]
    assert "image:1 has no bash" in spark.refused()
    assert "start" not in " ".join(spark.engine.calls)


def test_an_engine_that_refuses_leaves_nothing(spark: Baker) -> None:
    class Full(ScriptEngine):
        def start(self, container: str) -> None:
            raise EngineError("the engine's disk is full")

    spark.engine = Full(images={"image:1": {}})
    spark.bench.engine = spark.engine
    assert "disk is full" in spark.refused(code=4)


def test_a_simulated_engine_bakes_nothing(spark: Baker) -> None:
    simulated = FakeSpark(spark.folder, engine=spark.engine)
    done = simulated.run("mods", "bake", str(spark.script.parent), "--image", "image:1").expect(4)
    assert "sparkctl --engine docker mods bake" in done.err


def test_a_mod_of_the_name_is_kept_unless_forced(spark: Baker) -> None:
    spark.bake().expect(0)
    spark.bench.done = {TARGET: text("NEWER")}
    again = spark.bake().expect(2)
    assert f"there is a mod fix-gemma4 already: {spark.made}" in again.err
    assert (spark.made / "gemma4_mtp.py").read_text() == "NEW"
    spark.bake("--name", "other").expect(0)
    (spark.made / "pins.yaml").write_text("")
    spark.bake("--force").expect(0)
    assert sorted(path.name for path in spark.made.iterdir()) == ["gemma4_mtp.py", "mod.yaml"]
    assert (spark.made / "gemma4_mtp.py").read_text() == "NEWER"
    assert sorted(path.name for path in spark.made.parent.iterdir()) == ["fix-gemma4", "other"]


def test_a_failure_with_force_keeps_the_mod_that_was_there(spark: Baker) -> None:
    spark.bake().expect(0)
    spark.bench.done = {}
    spark.bake("--force").expect(6)
    assert (spark.made / "gemma4_mtp.py").read_text() == "NEW"


def test_a_template_that_cannot_be_used_is_not_this_commands_concern(spark: Baker) -> None:
    templates = spark.folder / "templates"
    templates.mkdir()
    (templates / "mine.j2").write_bytes(b"\xff")
    (templates / "other.j2").write_text("{% set")
    spark.bake().expect(0)


def test_a_shipped_mods_name_is_taken(spark: Baker) -> None:
    assert "there is a mod gemma4-mtp-fix-only already" in spark.bake("--name", "gemma4-mtp-fix-only").expect(2).err


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "-x"])
def test_a_name_that_cannot_be_one(spark: Baker, name: str) -> None:
    assert "cannot be a mod's name" in spark.bake(f"--name={name or ' '}").expect(2).err


@pytest.mark.parametrize("timeout", ["10", "soon", "-5s"])
def test_a_timeout_that_is_none(spark: Baker, timeout: str) -> None:
    assert "not a duration" in spark.bake(f"--timeout={timeout}").expect(2).err
    assert spark.engine.calls == []


# --- the folder ------------------------------------------------------------------------------------------------------


def test_a_script_without_its_mode_runs_and_it_is_said(spark: Baker) -> None:
    spark.script.chmod(0o644)
    assert "fix-gemma4: run.sh is not executable; it is run all the same" in spark.bake().expect(0).err
    assert spark.bench.unpacked[0][2] == 0o755


def test_what_the_folder_holds_goes_along(spark: Baker) -> None:
    inner = spark.script.parent / "vendor" / "kernels"
    inner.mkdir(parents=True)
    (inner / "a.py").write_text("")
    (spark.script.parent / "b.py").symlink_to("vendor/kernels/a.py")
    spark.bake().expect(0)
    assert [name.removeprefix("workspace/mods/fix-gemma4/") for _, name, _ in spark.bench.unpacked] == [
        "b.py",
        "run.sh",
        "vendor",
        "vendor/kernels",
        "vendor/kernels/a.py",
    ]


def test_windows_line_ends_are_told_with_their_fix(spark: Baker) -> None:
    spark.script.write_bytes(b"#!/bin/bash\r\necho\r\n")
    said = spark.refused(code=2)
    assert "Windows line ends (CRLF)" in said
    assert f"sed -i 's/\\r$//' {spark.script}" in said


def test_a_folder_that_is_no_mod(spark: Baker) -> None:
    spark.script.unlink()
    assert "has no run.sh" in spark.refused(code=2)
    spark.script.mkdir()
    assert "is no regular file" in spark.refused(code=2)
    spark.script.rmdir()
    spark.script.write_text(" \n")
    assert "is empty" in spark.refused(code=2)
    assert "is no folder" in spark.run("mods", "bake", str(spark.script), "--image", "image:1").expect(2).err
    assert "there is no folder" in spark.run("mods", "bake", "/nowhere", "--image", "image:1").expect(2).err


def test_links_that_leave_the_folder_and_devices_are_refused(spark: Baker) -> None:
    link = spark.script.parent / "secret"
    for target in ("/etc/passwd", "../../outside"):
        link.symlink_to(target)
        assert f"is a link that leaves its folder: {target}" in spark.refused(code=2)
        link.unlink()
    os.mkfifo(link)
    assert "is a device, a pipe or a socket" in spark.refused(code=2)
    link.unlink()
    with socket.socket(socket.AF_UNIX) as door:
        here = os.open(link.parent, os.O_RDONLY)
        try:
            door.bind(f"/proc/self/fd/{here}/secret")
        finally:
            os.close(here)
        assert "is a device, a pipe or a socket" in spark.refused(code=2)


def test_a_folder_with_too_much_is_refused(spark: Baker) -> None:
    big = spark.script.parent / "weights.safetensors"
    with big.open("wb") as file:
        file.truncate(257 * 1024**2)
    assert "is larger than 256 MiB" in spark.refused(code=2)
    big.unlink()
    for number in range(MOST_FILES):
        (spark.script.parent / f"{number}").touch()
    assert "it is no mod's folder" in spark.refused(code=2)


# --- the folder that is written --------------------------------------------------------------------------------------


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    there = tmp_path / "mods" / "fix"
    with pytest.raises(InputError):
        write_folder(there, {"a.py": b"", "no/such/folder.py": b""}, replace=False)
    assert list(there.parent.iterdir()) == []
    write_folder(there, {"a.py": b"1"}, replace=False)
    with pytest.raises(InputError, match="is there already"):
        write_folder(there, {"a.py": b"2"}, replace=False)
    with pytest.raises(InputError):
        write_folder(there, {"no/such/folder.py": b""}, replace=True)
    assert (there / "a.py").read_bytes() == b"1"
    write_folder(there, {"b.py": b"2"}, replace=True)
    assert [path.name for path in there.iterdir()] == ["b.py"]
    assert [path.name for path in there.parent.iterdir()] == ["fix"]
