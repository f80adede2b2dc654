"""Asks a served model the questions of some tasks, with lm-evaluation-harness (0.4.13), over its chat interface.

It is what `sparkctl evaluate` runs. It has one argument, as every script of a job: {"output": FOLDER, "with":
PARAMETERS}; lm-eval.yaml beside this file declares the parameters. It prints a JSON object a line for each phase
(import, load, tasks, ask, done). FOLDER gets

    tasks/NAME.yaml                  the tasks as they are asked
    answers/answers_rank0.db         every answer that came: the next run asks only for those that are missing
    results/NAME/results_TIME.json   the scores, and samples_TASK_TIME.jsonl, a line for each question and filter

Without "url" nothing is asked: the tasks are loaded, which needs their data, and the questions are counted.
The server's key is read from the variable OPENAI_API_KEY, as lm-eval reads it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sparkctl_job import Job, JobError, run, say

NONE = "LMEVAL_MODEL_NONE_ANSWER_PLACEHOLDER"


def work(job: Job) -> None:
    """Load the tasks, and ask them."""
    output, asked = job.product, job.values
    os.environ.setdefault(NONE, NONE)
    say("import")
    import lm_eval
    from lm_eval.tasks import TaskManager

    say("load", versions={"lm-eval": version("lm-eval")})
    folder = output / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.yaml"):
        old.unlink()
    packaged = Path(lm_eval.__file__).parent / "tasks"
    for task in asked["tasks"]:
        (folder / f"{task['name']}.yaml").write_text(task_file(task, packaged))
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    names = [task["name"] for task in asked["tasks"]]
    tasks = loaded(manager, names)
    for data in sorted({data for task in asked["tasks"] for data in task.get("nltk", [])}):
        needs(data, download=asked.get("network", False))
    counts = {name: counted(task, asked.get("questions")) for name, task in tasks.items()}
    say("tasks", questions=counts)
    if asked.get("url"):
        shutil.rmtree(output / "results", ignore_errors=True)
        if asked.get("again"):
            shutil.rmtree(output / "answers", ignore_errors=True)
        say("ask", questions=sum(counts.values()))
        ask(asked, output, names, manager)
    say("done")


def task_file(task: dict[str, Any], packaged: Path) -> str:
    """Return the YAML of a task, which is JSON too: a packaged one or the operator's, and what the suite changes."""
    source = Path(task["file"]) if task.get("file") else packaged_file(task["task"], packaged)
    own = {"include": str(source), "task": task["name"], "tag": None}
    if task.get("fewshot") is not None:
        own["num_fewshot"] = task["fewshot"]
    if task.get("data"):
        own |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": task["data"]}}
    return json.dumps(own, indent=1)


def packaged_file(name: str, packaged: Path) -> Path:
    """Find a task of lm-eval by its line; reading 14,000 files as YAML would take a quarter of a minute."""
    line = re.compile(rf"^task: *[\"']?{re.escape(name)}[\"']? *$", re.MULTILINE)
    near = [packaged / name / f"{name}.yaml", *sorted(packaged.rglob("*.yaml"))]
    for file in near:
        if file.is_file() and line.search(file.read_text(errors="replace")):
            return file
    raise JobError(f"lm-eval has no task {name!r}; a group of tasks is none: name its tasks one by one")


def loaded(manager: Any, names: list[str]) -> dict[str, Any]:  # noqa: ANN401  (lm-eval's)
    """Return the tasks with their data."""
    try:
        return manager.load(list(names))["tasks"]
    except Exception as error:  # whatever: a task may be the operator's own code
        text = " ".join(str(error).split())[:300]
        raise JobError(f"a task cannot be loaded: {type(error).__name__}: {text}") from error


def needs(data: str, *, download: bool) -> None:
    """Refuse to go on without some data of nltk; without it lm-eval fails when all is answered."""
    import nltk

    def there() -> bool:
        for kind in ("tokenizers", "corpora", "taggers"):
            try:
                nltk.data.find(f"{kind}/{data}")
            except LookupError:
                continue
            return True
        return False

    if not there() and download:
        folder = Path(os.environ.get("NLTK_DATA", "/tmp/nltk"))  # noqa: S108  (the container's own)
        folder.mkdir(parents=True, exist_ok=True)
        nltk.download(data, download_dir=str(folder))
    if not there():
        raise JobError(f"nltk's {data} is not on this host")


def counted(task: Any, most: int | None) -> int:  # noqa: ANN401
    """Return how many questions a task has."""
    documents = task.test_docs() if task.has_test_docs() else task.validation_docs()
    return min(len(documents), most) if most else len(documents)


def ask(asked: dict[str, Any], output: Path, names: list[str], manager: Any) -> None:  # noqa: ANN401
    """Ask what is not answered yet, and write the scores."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(output / "results"))
    seed = asked.get("seed", 1234)
    results = simple_evaluate(
        model="local-chat-completions",
        model_args={
            "model": asked["model"],
            "base_url": asked["url"],
            "num_concurrent": asked.get("concurrency", 4),
            "max_retries": asked.get("retries", 3),
            "timeout": int(asked.get("timeout", 600)),
            "seed": seed,
        },
        tasks=list(names),
        use_cache=str(output / "answers" / "answers"),
        limit=asked.get("questions"),
        log_samples=True,
        evaluation_tracker=tracker,
        apply_chat_template=True,
        fewshot_as_multiturn=True,
        gen_kwargs={"max_gen_toks": asked.get("tokens", 2048)},
        task_manager=manager,
        random_seed=seed,
        numpy_random_seed=seed,
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in results["configs"]:
        tracker.save_results_samples(task_name=task, samples=samples[task])


if __name__ == "__main__":
    sys.exit(run(work))
