"""A job run over fakes: what is made, what is refused, and what is left when it fails or is interrupted."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations.jobs.run import RunOptions, run
from sparkctl.recipes.job.built_image import LABEL_BUILT
from sparkctl.world.job_labels import read_job
from sparkctl.world.labels import LABEL_CLAIM
from sparkctl.world.local.products.folders import DiskProducts
from tests.support.fakes import FakeReport
from tests.support.job_bench import CONTAINER, DONE, JOB, JobBench, phases

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> JobBench:
    return JobBench(tmp_path)


def test_a_job_makes_a_model_and_says_where_it_comes_from(bench: JobBench) -> None:
    done = bench.spark.run("job", "run", JOB).expect(0)
    assert f"{JOB}: made {bench.output}" in done.out
    assert "tensors  all 3 of the source are there" in done.out
    assert sorted(path.name for path in bench.output.iterdir()) == [
        "config.json",
        "model.safetensors",
        "sparkctl-job.json",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in bench.output.iterdir()} == {0o644}
    assert bench.left == []
    made = bench.provenance
    assert (made["job"], made["layers"], made["peak_bytes"]) == (JOB, 1, 123_456_789)
    assert made["parameters"] == {"scale": 1, "way": "whole"}
    assert [one["name"] for one in made["files"]] == ["config.json", "model.safetensors"]
    assert set(made["checks"]) == {"whole", "tensors", "config"}
    assert made["input"]["files"]["model.safetensors"] == (bench.source / "model.safetensors").stat().st_size


def test_the_container_is_closed_in_and_says_what_it_is(bench: JobBench) -> None:
    bench.runs = True
    bench.spark.clock.interrupt_at = 1.0
    bench.spark.run("job", "run", JOB).expect(130)
    (spec,) = bench.spark.engine.created
    assert (spec.network, spec.read_only, spec.cap_drop) == ("none", True, ("ALL",))
    assert spec.memory == spec.memory_swap == 5 * 2**28
    uid = os.geteuid()
    assert spec.user == ("65534:65534" if uid == 0 else f"{uid}:{os.getegid()}")
    labels = read_job(dict(spec.labels))
    assert labels is not None
    assert (labels.job, labels.output) == (JOB, str(bench.output))
    assert labels.partial == f"{bench.output}.partial-{labels.id}"
    assert dict(spec.labels)[LABEL_CLAIM] == str(2**30)


def test_a_second_run_finds_that_it_is_made(bench: JobBench) -> None:
    bench.spark.run("job", "run", JOB).expect(0)
    done = bench.spark.run("job", "run", JOB).expect(0)
    assert done.out == f"{JOB}: already made: {bench.output}\n"
    assert len(bench.spark.engine.created) == 1
    last = json.loads(bench.spark.run("job", "run", JOB, "--json").expect(0).out.splitlines()[-1])
    assert (last["job"], last["already"], last["layers"]) == (JOB, True, 1)


def test_a_second_run_finds_it_also_where_the_image_is_gone(bench: JobBench) -> None:
    bench.spark.run("job", "run", JOB).expect(0)
    bench.spark.engine.images.clear()
    assert "already made" in bench.spark.run("job", "run", JOB).expect(0).out


@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        (("--set", "with.scale=2"), "made with scale 1, not 2"),
        (("--set", "image=tools:2"), "made in another image"),
    ],
)
def test_what_was_made_otherwise_is_never_replaced(arguments: tuple[str, ...], how: str, bench: JobBench) -> None:
    bench.spark.engine.images["tools:2"] = {}
    bench.spark.run("job", "run", JOB).expect(0)
    done = bench.spark.run("job", "run", JOB, *arguments).expect(2)
    assert f"is there already, {how}" in done.err
    assert "move it away, or name another folder: --set output=FOLDER" in done.err
    assert bench.provenance["parameters"]["scale"] == 1


def test_another_library_for_scripts_is_said(bench: JobBench) -> None:
    """As after an update of sparkctl: the operator's script is the same."""
    bench.write("jobs/shrink.py", b"import sparkctl_job\n")
    bench.spark.run("job", "run", JOB).expect(0)
    assert "already made" in bench.spark.run("job", "run", JOB).expect(0).out
    made = bench.provenance
    made["script"]["library"] = made["digest"] = "0" * 12
    (bench.output / "sparkctl-job.json").write_text(json.dumps(made))
    said = bench.spark.run("job", "run", JOB).expect(2).err
    assert "made with another library for scripts (sparkctl_job)" in said


def test_another_script_and_another_model_are_said(bench: JobBench) -> None:
    bench.spark.run("job", "run", JOB).expect(0)
    bench.write("jobs/shrink.py", b"made = 2\n")
    bench.write("models/source/tokenizer.json", b"{}")
    assert "made with another script; of other files of the model" in bench.spark.run("job", "run", JOB).expect(2).err


@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_an_output_that_is_there_is_refused_before_anything_is_started(what: str, bench: JobBench) -> None:
    if what == "folder":
        bench.output.mkdir()
    elif what == "file":
        bench.output.write_bytes(b"")
    else:
        bench.output.symlink_to(bench.folder / "nowhere")
    done = bench.spark.run("job", "run", JOB).expect(2)
    said = "is there already, and no job made it" if what == "folder" else f"expected nothing there, found a {what}"
    assert said in done.err
    assert bench.spark.engine.created == []


def test_input_and_output_are_not_one_in_the_other(bench: JobBench) -> None:
    done = bench.spark.run("job", "run", JOB, "--set", f"output={bench.source}/made").expect(2)
    assert "expected a folder apart from the input's" in done.err


def test_a_pickled_model_is_refused(bench: JobBench) -> None:
    (bench.source / "model.safetensors").rename(bench.source / "pytorch_model.bin")
    done = bench.spark.run("job", "run", JOB).expect(2)
    assert "expected safetensors, found pytorch_model.bin, which is pickled" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="another user than the operator runs the job of root alone")
def test_a_model_that_the_user_of_the_job_cannot_read_is_refused(bench: JobBench) -> None:
    (bench.source / "model.safetensors").chmod(0o600)
    done = bench.spark.run("job", "run", JOB).expect(2)
    assert f"the user of the job (65534:65534) cannot read {bench.source}/model.safetensors" in done.err
    assert f"chmod -R a+rX {bench.source}" in done.err


@pytest.mark.parametrize(
    ("code", "lines", "how"),
    [
        (2, [*phases("import", "load"), "error: no kernel"], "its script failed with exit code 2, in the phase load"),
        (0, phases("import", "load", "save"), "its script ended without having said that all is made (the phase done)"),
        (137, phases("import"), "its script failed with exit code 137, in the phase import"),
    ],
)
def test_a_script_that_fails_leaves_nothing(code: int, lines: list[str], how: str, bench: JobBench) -> None:
    bench.code = code
    bench.prints(lines)
    done = bench.spark.run("job", "run", JOB).expect(10)
    assert f"error: {JOB}: {how}" in done.err
    assert "nothing of its output is kept" in done.err
    assert '"phase"' not in done.err
    assert bench.left == []
    assert not bench.output.exists()
    assert bench.spark.run("job", "logs", JOB).expect(0).out.splitlines() == lines


def test_a_job_that_is_killed_for_its_memory_names_the_lighter_way(bench: JobBench) -> None:
    bench.code, bench.oom = 137, True
    bench.prints(phases("import", "load"))
    done = bench.spark.run("job", "run", JOB).expect(10)
    assert "it needs more than the 1.2 GiB of memory that it may take, in the phase load" in done.err
    assert f"one piece at a time: sparkctl job run {JOB} --set with.way=slow" in done.err


def test_a_job_that_hangs_is_stopped_when_its_time_is_over(bench: JobBench) -> None:
    bench.runs = True
    bench.prints(phases("import"))
    done = bench.spark.run("job", "run", JOB).expect(10)
    assert "it did not end within 1m 00s, its timeout, in the phase import" in done.err
    assert bench.left == []


def test_what_is_not_as_it_has_to_be_gets_no_name(bench: JobBench) -> None:
    bench.writes["config.json.unfinished"] = b'{"model_type": "llama", "hidden_size": 8}'
    done = bench.spark.run("job", "run", JOB).expect(7)
    assert "what was made is not as it has to be:\n  config: config.json differs in hidden_size" in done.err
    assert bench.left == []
    assert not bench.output.exists()


@pytest.mark.parametrize(
    ("writes", "says"),
    [
        ({}, "the script said that all is made, and made nothing"),
        ({"notes.txt": b"all well"}, "whole: "),
    ],
)
def test_a_script_that_says_done_and_makes_no_model(writes: dict[str, bytes], says: str, bench: JobBench) -> None:
    bench.writes = writes
    assert says in bench.spark.run("job", "run", JOB).expect(7).err
    assert bench.left == []


def test_a_config_that_a_script_writes_itself_is_renamed_until_it_is_checked(bench: JobBench) -> None:
    bench.writes["config.json"] = bench.writes.pop("config.json.unfinished")
    bench.spark.run("job", "run", JOB).expect(0)
    assert [one["name"] for one in bench.provenance["files"]] == ["config.json", "model.safetensors"]


def test_ctrl_c_stops_the_job_and_removes_what_it_has_made(bench: JobBench) -> None:
    bench.runs = True
    bench.spark.clock.interrupt_at = 2.0
    bench.spark.run("job", "run", JOB).expect(130)
    assert bench.left == []


def test_a_closed_terminal_leaves_it_running_and_the_next_command_joins_it(bench: JobBench) -> None:
    bench.runs = True
    bench.spark.clock.interrupt_at = 2.0
    with pytest.raises(KeyboardInterrupt):
        run(bench.spark.world(FakeReport()), JOB, RunOptions(left=lambda: True))
    assert bench.container is not None
    assert bench.container.state == "running"
    bench.spark.clock.dies = bench.end
    done = bench.spark.run("job", "run", JOB).expect(0)
    assert f"{JOB}: runs already: waiting for its end" in done.err
    assert bench.left == []
    assert len(bench.spark.engine.created) == 1


def killed(bench: JobBench) -> None:
    """Let a command that waits for the job die."""
    bench.runs = True
    bench.spark.clock.interrupt_at = bench.spark.clock.now + 2.0
    with pytest.raises(KeyboardInterrupt):
        run(bench.spark.world(FakeReport()), JOB, RunOptions(left=lambda: True))


def test_a_run_that_ended_well_while_nobody_waited_is_finished(bench: JobBench) -> None:
    killed(bench)
    bench.end()
    assert "its product is checked" in bench.spark.run("job", "run", JOB).expect(0).err
    assert bench.left == []
    assert bench.provenance["layers"] == 1


def test_a_run_that_failed_while_nobody_waited_is_removed_and_begun_anew(bench: JobBench) -> None:
    killed(bench)
    bench.code, bench.runs = 1, False
    bench.end()
    bench.code = 0
    done = bench.spark.run("job", "run", JOB).expect(0)
    assert f"{JOB}: removed what a run left that was killed or failed" in done.err
    assert bench.left == []


def test_a_run_with_other_values_is_left_alone(bench: JobBench) -> None:
    killed(bench)
    done = bench.spark.run("job", "run", JOB, "--set", "with.scale=2").expect(4)
    assert f"{JOB}: it runs already, and makes {bench.output} with other values" in done.err
    bench.end()
    done = bench.spark.run("job", "run", JOB, "--set", "with.scale=2").expect(4)
    assert "has made" in done.err
    assert "its product is not checked yet" in done.err


def test_a_run_that_another_command_waits_for_is_left_alone(bench: JobBench) -> None:
    killed(bench)
    bench.spark.locks.working.add(f"job:{JOB}")
    done = bench.spark.run("job", "run", JOB).expect(4)
    assert f"{JOB}: another command runs it already" in done.err
    assert f"sparkctl job logs -f {JOB}" in done.err


@pytest.mark.parametrize("fails", ["create", "start"])
def test_a_run_that_cannot_be_begun_leaves_nothing(fails: str, bench: JobBench) -> None:
    bench.spark.engine.fail[f"{fails} {CONTAINER}"] = EngineError("no room for layers")
    assert "no room for layers" in bench.spark.run("job", "run", JOB).expect(4).err
    assert bench.left == []


def test_a_product_whose_name_is_taken_meanwhile_waits_for_it(bench: JobBench) -> None:
    killed(bench)
    bench.spark.clock.dies = lambda: (bench.end(), bench.output.mkdir())
    done = bench.spark.run("job", "run", JOB).expect(2)
    assert f"{bench.output} appeared while the job ran; what was made is whole" in done.err
    bench.output.rmdir()
    bench.spark.run("job", "run", JOB).expect(0)
    assert bench.left == []


def test_what_does_not_fit_is_refused_and_nothing_is_made(bench: JobBench) -> None:
    bench.spark.host.available = 21 * 2**29  # 10 GiB are kept free
    done = bench.spark.run("job", "run", JOB).expect(3)
    assert "one piece at a time" in done.err
    assert bench.left == []


def test_no_job_runs_on_a_simulated_engine(bench: JobBench) -> None:
    bench.spark.products = None  # type: ignore[assignment]
    done = bench.spark.run("job", "run", JOB).expect(4)
    assert "a simulated engine runs no images: no job can run in it" in done.err


def test_jobs_that_run_are_listed_stopped_and_cleaned(bench: JobBench) -> None:
    killed(bench)
    rows = {one["name"]: one for one in bench.spark.run("job", "list", "--json").expect(0).json}
    assert (rows[JOB]["run"], rows[JOB]["there"]) == ("running", False)
    done = bench.spark.run("job", "clean", "--yes").expect(0)
    assert f"sparkctl job run {JOB} waits for it, sparkctl job stop {JOB} removes it" in done.err
    assert bench.container is not None
    assert "stopped, and what it had made is removed" in bench.spark.run("job", "stop", JOB).expect(0).err
    assert bench.left == []
    assert bench.spark.run("job", "stop", JOB).expect(0).err == f"{JOB}: does not run\n"
    assert "no job none runs" in bench.spark.run("job", "stop", "none").expect(2).err
    assert bench.spark.run("job", "clean").expect(0).out == "nothing is left over\n"


def test_a_failed_run_that_nobody_waited_for_is_shown_and_removed(bench: JobBench) -> None:
    killed(bench)
    bench.code = 1
    bench.end()
    done = bench.spark.run("job", "clean").expect(0)
    assert f"a run of {JOB} that was killed or failed: the container {CONTAINER}" in done.out
    assert "nothing is removed yet: sparkctl job clean --yes" in done.err
    assert len(bench.left) == 3
    (row,) = bench.spark.run("job", "clean", "--yes", "--json").expect(0).json
    assert row["removed"] is True
    assert bench.left == []


class OfAnotherUser(DiskProducts):
    """Folders that one may not look into."""

    def lies_there(self, path: Path) -> str:
        raise InputError(f"cannot look at {path}: Permission denied")


def test_clean_passes_over_the_run_of_another_user(bench: JobBench) -> None:
    killed(bench)
    bench.spark.products = OfAnotherUser()
    done = bench.spark.run("job", "clean", "--yes").expect(0)
    assert f"stays: {JOB}: its run is not yours to judge: cannot look at " in done.err
    assert bench.container is not None


def test_the_log_of_the_last_run_is_kept_and_bounded_by_lines(bench: JobBench) -> None:
    bench.spark.run("job", "run", JOB).expect(0)
    assert bench.spark.run("job", "logs", JOB, "--tail", "1").expect(0).out == f"{DONE[-1]}\n"
    assert "no run of the job other is there" in bench.spark.run("job", "logs", "other").expect(2).err


def test_a_model_that_changes_while_it_is_read_makes_nothing(bench: JobBench) -> None:
    killed(bench)
    bench.spark.clock.dies = lambda: (bench.end(), bench.write("models/source/tokenizer.json", b"{}"))
    done = bench.spark.run("job", "run", JOB).expect(7)
    assert f"the model in {bench.source} was changed while the job read it" in done.err
    assert bench.left == []


def test_images_that_no_job_names_are_cleaned_when_that_is_asked_for(bench: JobBench) -> None:
    image = bench.spark.engine.images
    image["sparkctl-job:0123456789ab"] = {}
    bench.spark.engine.labels["sparkctl-job:0123456789ab"] = {LABEL_BUILT: "{}"}
    assert bench.spark.run("job", "clean").expect(0).out == "nothing is left over\n"
    done = bench.spark.run("job", "clean", "--images").expect(0)
    assert "the image sparkctl-job:0123456789ab, which no job names" in done.out
    assert "sparkctl job clean --yes --images" in done.err
    bench.spark.run("job", "clean", "--images", "--yes").expect(0)
    assert "sparkctl-job:0123456789ab" not in image


def test_how_the_last_run_went_wrong_is_listed_until_one_is_made(bench: JobBench) -> None:
    def row() -> str | None:
        (run,) = [one["run"] for one in bench.spark.run("job", "list", "--json").expect(0).json if one["name"] == JOB]
        return str(run) if run else None

    assert row() is None
    bench.code = 1
    bench.spark.run("job", "run", JOB).expect(10)
    assert (row() or "").startswith("failed 19")
    assert bench.spark.store.kept[-1].text.count("its script failed with exit code 1") == 1
    bench.code = 0
    bench.spark.run("job", "run", JOB).expect(0)
    assert row() is None
    bench.spark.store.broken = InputError("it is damaged")
    assert row() is None
