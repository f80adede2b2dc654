"""The image of the real vLLM on the CPU: its packages over the base image, and how it is started."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from . import images, packages, vllm_packages

if TYPE_CHECKING:
    from pathlib import Path

    from .state import State

IMAGE = f"sparkctl-test/vllm-cpu:{vllm_packages.VERSION}"

QUICK = "import gc; gc.set_threshold(100_000, 50, 100)"
"""Each of a server's processes imports 5,500 modules; with Python's own thresholds a quarter of that is the garbage
collector's (9.6 s of CPU and 7.1 s, by time.process_time in the image)."""

PLATFORM = "vllm/platforms/cpu.py"
INSISTS = 'os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"'
"""vLLM's processes start afresh, or are forked where this variable says so: then what one has imported the others have,
and a start takes 15 s of CPU and not 26. Its platform for CPUs insists on the first; this line is taken out."""

DOCKERFILE = f"""\
FROM {images.BASE}
# Tests report to nobody.
ENV VLLM_NO_USAGE_STATS=1
ENV VLLM_WORKER_MULTIPROC_METHOD=fork
COPY packages {{folder}}
RUN echo '{QUICK}' > {{folder}}/sparkctl-test-quick.pth
RUN cd {{folder}} && grep --quiet --fixed-strings '{INSISTS}' {PLATFORM} \\
    && sed --in-place '/MULTIPROC_METHOD"\\] = "spawn"/d' {PLATFORM} && python3 -m compileall -q {PLATFORM}
ENTRYPOINT ["python3", "-m", "vllm.entrypoints.cli.main", "serve"]
"""


def build(state: State) -> str:
    """Build the image if its list of packages, its base or this recipe has changed."""
    base = images.image_id(state, images.base(state)) or ""
    inputs = images.fingerprint(base, vllm_packages.inputs(), DOCKERFILE)
    if not images.is_current(state, IMAGE, inputs):
        python = packages.python_of(state, images.BASE)
        context = state.cache / f"vllm-{vllm_packages.inputs(python)}"
        if not (context / "whole").exists():
            _make_context(state, context, python)
        (context / "Dockerfile").write_text(DOCKERFILE.format(folder=packages.folder(python)))
        images.build(state, IMAGE, context, inputs)
    return IMAGE


def _make_context(state: State, context: Path, python: str) -> None:
    """Gather what the image gets; the last file says that the rest is whole."""
    for former in state.cache.glob("vllm-*"):
        shutil.rmtree(former)
    vllm_packages.gather(state, context / "packages", python)
    (context / "whole").touch()
