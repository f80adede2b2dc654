"""Jobs that go wrong in every way, on a real engine: a clear error, its exit code, and nothing that looks like a model.

A job's script is a stranger's program: it may fail, hang, lie, and fill its folder with anything.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import wait_for
from tests.support.engine_fixtures import BASE
from tests.support.job_files import write_source
from tests.support.wheelhouse import pip_base, wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine
    from tests.support.command_line import Done
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")

SCRIPT = """\
import json, os, shutil, sys, time

given = json.loads(sys.argv[1])
out = given["output"]


def say(*phases, **more):
    for phase in phases:
        print(json.dumps({"phase": phase, **more}), flush=True)


def product(config="config.json.unfinished"):
    shutil.copyfile("/input/model.safetensors", f"{out}/model.safetensors")
    shutil.copyfile("/input/config.json", f"{out}/{config}")


def nest(depth):
    os.chdir(out)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")


exec(given["with"]["does"])
"""
DECLARED = """\
description: of this test
parameters: {type: object, additionalProperties: false, properties: {does: {type: string}}, required: [does]}
memory: [{base: 128 MiB, source: this test}]
"""
JOB = """\
description: of this test
image: {image}
script: bad
with: {{does: {does}}}
input: {{path: {source}}}
output: {output}
gpus: none
disk: {disk}
timeout: {timeout}
checks: [whole, tensors, config]
"""
WELL = "say('import', 'load', 'quantize', 'save'); product()\n{}\nsay('done')"


class BadJob:
    """A job whose script does what a test writes; all that it may leave is looked at after each run."""

    def __init__(self, spark: Spark) -> None:
        self.spark = spark
        self.name = f"{spark.prefix}-bad"
        self.models = spark.folder / "models"
        self.source, self.output = self.models / "source", self.models / "made"
        self.image, self.disk = BASE, "64 KiB"
        spark.write("jobs/bad.py", SCRIPT)
        spark.write("jobs/bad.yaml", DECLARED)
        write_source(self.source)
        for one in (spark.folder, *spark.folder.rglob("*")):
            one.chmod(0o755 if one.is_dir() else 0o644)

    def write(self, does: str, timeout: str = "60s") -> None:
        told = {
            "disk": self.disk,
            "does": json.dumps(does),
            "source": self.source,
            "output": json.dumps(str(self.output)),
        }
        self.spark.write(f"recipes/jobs/{self.name}.yaml", JOB.format(image=self.image, timeout=timeout, **told))

    def run(self, does: str = WELL.format(""), *arguments: str, timeout: str = "60s") -> Done:
        self.write(does, timeout)
        return self.spark.run("job", "run", self.name, *arguments)

    def fails(self, does: str, code: int = 10, timeout: str = "60s") -> str:
        """Run it, hold it to an exit code, and return what was said; nothing may be left."""
        done = self.run(does, timeout=timeout).expect(code)
        self.gone()
        assert len(done.err) < 12_000
        return done.err

    def gone(self) -> None:
        assert self.left == []
        assert not os.path.lexists(self.output)

    @property
    def left(self) -> list[str]:
        state = self.spark.state(f"sparkctl-job-{self.name}")
        found = [state] if state else []
        found += [path.name for path in (self.spark.home / ".local/state/sparkctl/jobs/runs").glob("*")]
        return [*found, *(path.name for path in self.output.parent.glob("*.partial-*"))]


@pytest.fixture
def job(docker_spark: Spark) -> BadJob:
    return BadJob(docker_spark)


@pytest.fixture
def small_disk(job: BadJob) -> Iterator[Callable[[str], Path]]:
    """Return what mounts a small file system for the output, with options of mount."""
    where = job.models / "small"
    where.mkdir()

    def mounted(options: str) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,{options}", "tmpfs", str(where)], check=True)
        job.output = where / "made"
        return where

    yield mounted
    subprocess.run(["umount", "-l", str(where)], check=False)


# --- the script ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["import", "save"])
def test_a_script_that_fails_in_a_phase(job: BadJob, phase: str) -> None:
    err = job.fails(f"say('{phase}'); product('config.json'); raise ValueError('no such scheme')")

    assert f"its script failed with exit code 1, in the phase {phase}; nothing of its output is kept" in err
    assert "why: ValueError: no such scheme" in err


def test_a_script_that_fails_after_it_has_said_that_all_is_made(job: BadJob) -> None:
    assert "its script failed with exit code 3; nothing" in job.fails(WELL.format("") + "; sys.exit(3)")


def test_a_script_that_hangs_is_ended_at_its_timeout(job: BadJob) -> None:
    err = job.fails("say('load'); product('config.json'); time.sleep(100)", timeout="2s")

    assert "it did not end within 2s, its timeout, in the phase load" in err


ODD = """
os.symlink("/etc/passwd", f"{out}/link"); os.mkfifo(f"{out}/pipe"); os.mkdir(f"{out}/config.json")
open(os.fsencode(out) + b"/\\xff\\n\\x1b[31m", "w"); nest(1100)
"""


@pytest.mark.parametrize(
    ("does", "code", "says"),
    [
        ("say('save'); product()", 10, ["its script ended without having said that all is made (the phase done)"]),
        ("say('done')", 7, ["the script said that all is made, and made nothing"]),
        (WELL.format("os.truncate(f'{out}/model.safetensors', 700)"), 7, ["whole: model.safetensors: expected 1536"]),
        (WELL.format("open(f'{out}/config.json.unfinished', 'w').write('[' * 99999)"), 7, ["nested deeper than 64"]),
        (
            WELL.format(ODD),
            7,
            [
                *("link is a link", "pipe is no file", "config.json is a folder", "d/d lies in too many folders"),
                "\\xff\\n\\x1b[31m has a character in its name that no file of a model has",
            ],
        ),
    ],
    ids=["no done", "no product", "half the weights", "no JSON", "anything"],
)
def test_a_script_that_does_not_make_what_it_says(job: BadJob, does: str, code: int, says: list[str]) -> None:
    err = job.fails(does, code)

    assert [one for one in says if one not in err] == []


def test_a_script_that_closes_its_folders_and_fails(job: BadJob) -> None:
    does = "say('save'); os.makedirs(f'{out}/x/y'); product(); nest(1100); os.chmod(f'{out}/x', 0); os.chmod(out, 0)"

    assert "its script failed with exit code 4, in the phase save" in job.fails(f"{does}; sys.exit(4)")


def test_a_script_that_writes_where_it_may_not(job: BadJob) -> None:
    tries = "for name in ('/usr/x', '/input/x', '/job/x', '/etc/passwd', '/proc/sys/vm/swappiness', '/output/../x'):"
    does = f"{tries}\n    try: open(name, 'w')\n    except OSError: continue\n    sys.exit(9)\nopen('/usr/y', 'w')"
    err = job.fails(does)

    assert "failed with exit code 1" in err
    assert "why: the script writes to /usr/y; a job may write to /output and /tmp alone" in err


def test_what_a_script_prints_is_shown_within_bounds_and_moves_no_terminal(job: BadJob) -> None:
    does = (
        "say('load'); sys.stdout.buffer.write(bytes(range(256)) * 9 + b'\\n' + b'x' * 10**6 + b'\\n')\n"
        "sys.exit('\\x1b[2Jerror: \\u202e hf_abcdefghijABCDEFGH')"
    )
    err = job.fails(does)

    assert "x" * 400 + " …" in err
    assert "hf_abc" not in err
    assert "\x1b" not in err
    assert "\u202e" not in err


def test_a_script_that_starts_processes_without_an_end(job: BadJob) -> None:
    err = job.fails("say('load')\nwhile True:\n    if os.fork() == 0: time.sleep(60)")

    assert "it was killed: it needs more than" in err or "failed with exit code 1" in err


def test_a_folder_that_is_removed_while_the_job_runs(job: BadJob) -> None:
    job.write("say('save'); product(); time.sleep(1); say('done')")
    process = job.spark.start("job", "run", job.name)
    wait_for(lambda: [*job.models.glob("*.partial-*/config.json.unfinished")])
    shutil.rmtree(next(iter(job.models.glob("*.partial-*"))))
    _, err = process.communicate(timeout=60)

    assert process.returncode == 7
    assert "expected what was made in" in err
    job.gone()


# --- the disk --------------------------------------------------------------------------------------------------------


@ROOT
def test_a_disk_that_fills_up_while_the_script_writes(job: BadJob, small_disk: Callable[[str], Path]) -> None:
    small_disk("size=600k")
    job.disk = "256 KiB"
    err = job.fails(WELL.format("open(f'{out}/more', 'wb').write(b'x' * 2**20)"))

    # Whichever is seen first: the script's own end, or how much it has written.
    assert "why: the disk of the output is full" in err or "more than was kept free for it" in err


@ROOT
def test_a_script_that_writes_more_than_was_said_is_ended_before_the_disk_is_full(
    job: BadJob, small_disk: Callable[[str], Path]
) -> None:
    small_disk("size=1m")
    err = job.fails("say('save')\nopen(f'{out}/more', 'wb').write(b'x' * 2**18)\ntime.sleep(60)")

    assert "it had written 256.0 KiB, more than was kept free for it, and the disk was nearly full" in err


@ROOT
def test_a_disk_without_a_byte_for_the_last_file_keeps_what_was_made(
    job: BadJob, small_disk: Callable[[str], Path]
) -> None:
    where = small_disk("size=72k")
    job.disk = "72 KiB"
    fills = "try:\n    with open(f'{out}/more', 'wb', 0) as file:\n        while True: file.write(b'x' * 4096)\n"
    does = WELL.format(f"{fills}except OSError: pass")
    done = job.run(does).expect(2)

    assert "No space left on device" in done.err
    assert not [*where.glob("*/config.json")]
    subprocess.run(["mount", "-o", "remount,size=1m", str(where)], check=True)
    assert "has ended: its product is checked" in job.run(does).expect(0).err
    assert job.left == []


@ROOT
def test_an_output_on_a_file_system_that_is_read_only(job: BadJob, small_disk: Callable[[str], Path]) -> None:
    small_disk("size=1m,ro")
    done = job.run().expect(2)

    assert "Read-only file system" in done.err
    assert "--set output=FOLDER" in done.err
    job.gone()


@ROOT
def test_an_output_on_another_file_system_is_made_there(job: BadJob, small_disk: Callable[[str], Path]) -> None:
    small_disk("size=1m")
    job.run().expect(0)

    assert (job.output / "config.json").exists()
    assert job.left == []


@pytest.mark.parametrize(
    ("there", "output", "says"),
    [
        ("file", "made", "expected nothing there, found a file"),
        ("folder", "made", "is there already, and no job made it"),
        ("link", "made", "expected nothing there, found a link"),
        ("file", "made/below", "Not a directory"),
        ("", "source/made", "expected a folder apart from the input's"),
        ("", "a.partial-123", "has the name of a folder that a job has not finished"),
        ("", "x" * 240, "has a name of more than 234 bytes"),
        ("", "a/" + "x" * 300 + "/b", "has a folder above it whose name has more than 255 bytes"),
    ],
)
def test_an_output_that_cannot_be_made(job: BadJob, there: str, output: str, says: str) -> None:
    acts = {
        "file": lambda: job.output.write_text("of the operator"),
        "folder": job.output.mkdir,
        "link": lambda: job.output.symlink_to("/nowhere"),
    }
    if there:
        acts[there]()
    before = sorted(job.models.rglob("*"))
    job.output = job.models / output
    done = job.run().expect(2)

    assert says in done.err
    assert sorted(job.models.rglob("*")) == before
    assert not [*(job.spark.home / ".local/state/sparkctl/jobs/runs").glob("*")]


# --- the input -------------------------------------------------------------------------------------------------------


def _pickled(weights: Path) -> None:
    weights.rename(weights.with_name("pytorch_model.bin"))


def _a_shard(weights: Path) -> None:
    weights.rename(weights.with_name("model-00001-of-00002.safetensors"))


def _half(weights: Path) -> None:
    os.truncate(weights, weights.stat().st_size - 10)


def _pointer(weights: Path) -> None:
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3000000000\n")


def _pipe(weights: Path) -> None:
    weights.unlink()
    os.mkfifo(weights)


def _gone(weights: Path) -> None:
    shutil.rmtree(weights.parent)


def _no_config(weights: Path) -> None:
    weights.with_name("config.json").unlink()


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (_pickled, "holds no safetensors, and pytorch_model.bin, which is pickled"),
        (_a_shard, "lacks model-00002-of-00002.safetensors, which the others' names count"),
        (_half, "has half a model.safetensors: 1,"),
        (_pointer, "has a git-lfs pointer in place of model.safetensors (2.8 GiB)"),
        (_pipe, "lacks model.safetensors, which is no file"),
        (_gone, "is not there"),
        (_no_config, "holds no config.json"),
    ],
)
def test_an_input_that_is_not_whole(job: BadJob, act: Callable[[Path], None], says: str) -> None:
    act(job.source / "model.safetensors")

    assert says in job.fails(WELL.format(""), 2)


# --- the image -------------------------------------------------------------------------------------------------------


def test_versions_that_do_not_resolve(job: BadJob, docker_engine: DockerEngine, tmp_path: Path) -> None:
    wheels = wheelhouse(tmp_path / "wheels")
    job.image = json.dumps({"base": pip_base(docker_engine, tmp_path), "steps": [["tinynew==1.0", "tinyold==1.0"]]})
    done = job.run(WELL.format(""), "--wheels", str(wheels)).expect(10)

    assert "the image cannot be built: pip failed at step 1 of 1: these packages contradict each other:" in done.err
    assert "  tinyold 1.0 depends on tinybase<2" in done.err
    assert len(done.err.splitlines()) < 12
    job.gone()


def test_an_image_that_cannot_be_fetched(job: BadJob) -> None:
    job.image = "127.0.0.1:9/nobody/has-it:1"

    assert "cannot fetch the image 127.0.0.1:9/nobody/has-it:1" in job.fails("", 4)


def test_a_gpu_that_the_engine_cannot_give(job: BadJob) -> None:
    job.write("say('load'); sys.exit(5)")
    done = job.spark.run("job", "run", job.name, "--set", "gpus=cdi:nvidia.com/gpu=none-such")

    assert done.code == 4
    assert "nvidia.com/gpu=none-such" in done.err or "CDI" in done.err
    job.gone()


def test_a_script_without_a_library_that_it_needs_says_which(job: BadJob) -> None:
    text = "ModuleNotFoundError: Could not import module 'Gemma4Processor'. Are this object's requirements defined?"
    err = job.fails(f"say('load'); sys.exit({text!r})")

    assert "why: the image has no torchvision" in err


def test_who_stops_a_script_that_has_written_a_whole_model_gets_none(job: BadJob) -> None:
    job.write("say('save'); product('config.json'); say('save'); time.sleep(60)")
    process = job.spark.start("job", "run", job.name)
    wait_for(lambda: [*job.models.glob("*.partial-*/config.json")])
    partial = next(iter(job.models.glob("*.partial-*")))
    refused = job.spark.run("size", str(partial))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert refused.code == 2
    assert "is what a job has not finished, and no model" in refused.err
    job.gone()
