"""The record of a job that runs: the labels of its container, written and read in one place.

A job's container is no service's: it has no server. What it claims of the memories has the labels that a service's
claim has (``labels.LABEL_CLAIM`` and those beside it), so that admission counts both alike.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Final

from sparkctl.world.labels import LABEL_JOB, LABEL_PROCESS, PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL_JOB_RECORD: Final = f"{PREFIX}job-record"
"""The rest of the record, as JSON."""
_CONTAINER: Final = "sparkctl-job-"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class JobLabels:
    """A job's container, as its labels describe it.

    ``id`` is this run's own, ``digest`` that of what was asked (job, script, image, input); ``input`` is the folder
    that it reads, ``partial`` the folder that it writes, and ``output`` the name that this gets when it is checked.
    ``overrides`` are those of ``--set``.
    """

    job: str
    id: str
    digest: str
    input: str
    partial: str
    output: str
    overrides: tuple[str, ...] = ()

    def to_labels(self) -> dict[str, str]:
        """Return the labels; the claim's are written beside them."""
        record = asdict(self)
        name = record.pop("job")
        return {LABEL_JOB: name, LABEL_JOB_RECORD: json.dumps(record, ensure_ascii=False, separators=(",", ":"))}


def read_job(labels: Mapping[str, str]) -> JobLabels | None:
    """Return a container's labels as a job; None if it is no job, or they are damaged."""
    name, text = labels.get(LABEL_JOB), labels.get(LABEL_JOB_RECORD, "")
    if name is None:
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    wanted = {one.name for one in fields(JobLabels)} - {"job", "overrides"}
    if not isinstance(record, dict) or any(not isinstance(record.get(key), str) for key in wanted):
        return None
    overrides = record.get("overrides")
    if not isinstance(overrides, list) or not all(isinstance(one, str) for one in overrides):
        return None
    return JobLabels(name, **{key: record[key] for key in wanted}, overrides=tuple(overrides))


def container_name(job: str) -> str:
    """Return the name of a job's container: one of each job runs at a time."""
    return f"{_CONTAINER}{job}"


def job_of(labels: Mapping[str, str], container: str) -> str:
    """Return the name of a container's job, by its label; if that is no valid name, the container's own name.

    Labels can be damaged, or copied onto another container: each job has one name, and each name is one job's.
    """
    named = labels.get(LABEL_JOB, "")
    return named if _NAME.fullmatch(named) and container == container_name(named) else container


def is_job(labels: Mapping[str, str]) -> bool:
    """Return whether a container is a job's, also one whose record is damaged."""
    return LABEL_JOB in labels


def maker(labels: Mapping[str, str]) -> str:
    """Return the process that started a job (``Locks.me``), "" if that is not known."""
    return labels.get(LABEL_PROCESS, "")
