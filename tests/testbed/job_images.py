"""The images of jobs: llm-compressor, modelopt, and lm-eval, each with the packages that `jobs/*.txt` pins.

What the first two have in common, torch above all, is in an image of its own that both start from.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

from . import images, packages
from .state import REPOSITORY, State, say
from .vllm_image import QUICK

if TYPE_CHECKING:
    from pathlib import Path

PINS = REPOSITORY / "jobs"
LLMCOMPRESSOR = "sparkctl-test/llmcompressor:0.14.0.1"
MODELOPT = "sparkctl-test/modelopt:0.47.0"
LM_EVAL = "sparkctl-test/lm-eval:0.4.13"
COMMON = "sparkctl-test/jobs-torch:2.13.0"

DOCKERFILE = f"""\
FROM {{parent}}
COPY packages {{folder}}
RUN echo '{QUICK}' > {{folder}}/sparkctl-test-quick.pth
"""


class Layer(NamedTuple):
    """An image: its name, the one that it starts from, and the packages that it adds."""

    tag: str
    parent: str
    pins: tuple[str, ...]


def layers() -> list[Layer]:
    """Return the images in the order in which they have to be built."""
    compressor, modelopt, lm_eval = (
        packages.read_pins(PINS / name)
        for name in ("llmcompressor-0.14.0.1.txt", "modelopt-0.47.0.txt", "lm-eval-0.4.13.txt")
    )
    common = [pin for pin in compressor if pin in modelopt]
    return [
        Layer(COMMON, images.BASE, tuple(common)),
        Layer(LLMCOMPRESSOR, COMMON, tuple(pin for pin in compressor if pin not in common)),
        Layer(MODELOPT, COMMON, tuple(pin for pin in modelopt if pin not in common)),
        Layer(LM_EVAL, images.BASE, tuple(lm_eval)),
    ]


def build(state: State) -> list[str]:
    """Build the images whose list of packages or whose parent has changed; return the three that jobs run in."""
    images.base(state)
    for layer in layers():
        _build(state, layer)
    return [LLMCOMPRESSOR, MODELOPT, LM_EVAL]


def _build(state: State, layer: Layer) -> None:
    parent = images.image_id(state, layer.parent) or ""
    inputs = images.fingerprint(parent, DOCKERFILE, *layer.pins, *packages.UNNEEDED)
    if images.is_current(state, layer.tag, inputs):
        return
    python = packages.python_of(state, layer.parent)
    context = _context(state, layer, python)
    (context / "Dockerfile").write_text(DOCKERFILE.format(parent=layer.parent, folder=packages.folder(python)))
    images.build(state, layer.tag, context, inputs)
    # The image has it all; a second copy of a gigabyte would only fill the disk.
    shutil.rmtree(context)


def _context(state: State, layer: Layer, python: str) -> Path:
    context = state.cache / f"job-{layer.tag.partition('/')[2].partition(':')[0]}"
    shutil.rmtree(context, ignore_errors=True)
    say(f"installing {len(layer.pins)} packages for {layer.tag}")
    packages.gather(state, layer.pins, context / "packages", python, layer.parent)
    return context
