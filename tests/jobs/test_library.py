"""What scripts of jobs have in common, without the tools that they use."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sparkctl_job
from sparkctl_job import Job, JobError

from tests.jobs.scripts import FOLDER
from tests.support.fake_hub import safetensors

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {"model_type": "llama", "dtype": "bfloat16"}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Return what is asked of a script: a source that is there, and an empty folder for the product."""
    one = Job(tmp_path / "source", tmp_path / "product", {})
    one.source.mkdir()
    one.product.mkdir()
    (one.source / "config.json").write_text(json.dumps(CONFIG))
    return one


def test_an_expression_that_is_none_is_refused(job: Job) -> None:
    job.values["ignore"] = ["lm_head", "re:("]
    with pytest.raises(JobError, match=r"ignore: re:\( is no regular expression"):
        sparkctl_job.ignored(job)


def test_texts_are_read_from_a_file_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    plain, objects = tmp_path / "texts.txt", tmp_path / "texts.jsonl"
    plain.write_text("one\n\n{two}\n")
    assert sparkctl_job.lines_of(plain) == ["one", "{two}"]
    messages = {"messages": [{"role": "user", "content": "three"}]}
    objects.write_text('{"text": "one"}\n' + json.dumps(messages) + "\n")
    assert sparkctl_job.lines_of(objects) == ["one", messages]
    for wrong in ("{", "[]", '{"text": 1}', '{"prompt": "one"}'):
        objects.write_text('{"text": "one"}\n' + wrong)
        with pytest.raises(JobError, match=r"texts\.jsonl:2: expected an object"):
            sparkctl_job.lines_of(objects)
    plain.write_bytes(b"one\xff")
    with pytest.raises(JobError, match="byte 3 is none"):
        sparkctl_job.lines_of(plain)
    with pytest.raises(JobError, match="there is no"):
        sparkctl_job.lines_of(tmp_path / "none.txt")


def test_several_files_get_an_index_and_one_that_is_there_stays(job: Job) -> None:
    shapes: dict[str, dict[str, Any]] = {"a": {"one": ("BF16", [2, 2], 8)}, "b": {"two": ("F32", [3], 12)}}
    (job.product / "a.safetensors").write_bytes(safetensors(shapes["a"]))
    sparkctl_job.finish(job, {})
    index = job.product / "model.safetensors.index.json"
    assert not index.exists()
    (job.product / "b.safetensors").write_bytes(safetensors(shapes["b"]))
    sparkctl_job.finish(job, {})
    assert json.loads(index.read_bytes()) == {
        "metadata": {"total_size": 20},
        "weight_map": {"one": "a.safetensors", "two": "b.safetensors"},
    }
    index.write_text("the tool's own")
    sparkctl_job.finish(job, {})
    assert index.read_text() == "the tool's own"


def test_the_config_is_the_sources_with_what_changes_laid_over_it(job: Job) -> None:
    assert sparkctl_job.finish(job, {"dtype": "float16"}) == 0
    assert json.loads((job.product / "config.json.unfinished").read_bytes()) == CONFIG | {"dtype": "float16"}
    assert not (job.product / "config.json").exists()


@pytest.mark.parametrize("words", [[], ["no JSON"], ["[]"], ['{"input": "/input"}'], ["1"]])
def test_a_script_that_is_called_otherwise_says_how(words: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nfrom sparkctl_job import run\nsys.exit(run(print))\n")
    command = [sys.executable, "-s", "-S", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(FOLDER)})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith('error: expected one word, {"input": FOLDER, "output": FOLDER')
