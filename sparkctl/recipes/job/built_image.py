"""The image of a job that is built: its tag, its labels, and what the program that builds it is told. Pure.

The tag is the digest of all that decides what is in it: the base by its id, the steps, the constraints. So an image of
that tag is never built again, and a changed job never runs in an image of before.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REPOSITORY: Final = "sparkctl-job"
LABEL_BUILT: Final = "sparkctl.job-image"
"""On an image that was built for jobs: the base as it was written and its id, the steps, the md5 of the constraints."""
CONSTRAINTS_FILE: Final = "constraints.txt"
REQUEST_FILE: Final = "request.json"
SETTINGS: Final = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_RETRIES", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
"""The operator's variables that lead pip to its index; no others reach the build, and none reach the image."""
_DIGITS: Final = 12
_SCHEME: Final = 1
"""Counts up when the same words come to mean another image."""


def constraint_lines(text: str) -> tuple[str, ...]:
    """Return the lines of a constraints file that say something: those without comments and blanks."""
    stripped = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return tuple(line for line in stripped if line)


def image_tag(base_id: str, steps: Sequence[Sequence[str]], constraints: str) -> str:
    """Return the tag of the image of a base (by its id), pip steps in their order, and the text of the constraints."""
    made_of = [_SCHEME, base_id, [list(step) for step in steps], constraint_lines(constraints)]
    text = json.dumps(made_of, separators=(",", ":"))
    return f"{REPOSITORY}:{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"


def image_labels(base: str, base_id: str, steps: Sequence[Sequence[str]], constraints: str) -> dict[str, str]:
    """Return the labels of the image."""
    md5 = hashlib.md5(constraints.encode(), usedforsecurity=False).hexdigest() if constraints else None
    record = {"base": base, "base-id": base_id, "steps": [list(step) for step in steps], "constraints-md5": md5}
    return {LABEL_BUILT: json.dumps(record, ensure_ascii=False, separators=(",", ":"))}


def pip_command(step: Sequence[str], constraints: str) -> str:
    """Return a step as an operator would type it, for the image's history and for messages."""
    words = ["pip", "install", *(["-c", CONSTRAINTS_FILE] if constraints else []), *step]
    return shlex.join(words)


def build_files(
    steps: Sequence[Sequence[str]], constraints: str, environ: Mapping[str, str], *, wheels: bool
) -> dict[str, bytes]:
    """Return the files beside the program that builds (``operations.jobs.installer``), by their names.

    ``environ`` is the operator's; with ``wheels`` nothing of it is needed, for no index is asked.
    """
    settings = {} if wheels else {name: environ[name] for name in SETTINGS if environ.get(name)}
    request = {
        "steps": [list(step) for step in steps],
        "constraints": CONSTRAINTS_FILE if constraints else None,
        "wheels": wheels,
        "settings": settings,
    }
    files = {REQUEST_FILE: json.dumps(request).encode()}
    return files | ({CONSTRAINTS_FILE: constraints.encode()} if constraints else {})
