"""A builder without an engine: what a program prints and how it ends is ordered, the images are the fake engine's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError
from sparkctl.world.builder import BuildEnd, BuildMoment, BuiltImage
from sparkctl.world.labels import LABEL_PROCESS, LABEL_THROWAWAY
from sparkctl.world.spec import ContainerSpec
from sparkctl.world.throwaway import throwaway

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from sparkctl.world.builder import BuildOrder
    from tests.support.fake_engine import FakeEngine

SIZE = 9 * 2**30


def printing(lines: list[str], code: int) -> bytes:
    """Return a program for the fake: what it prints, and how it ends."""
    return json.dumps({"lines": lines, "code": code}).encode()


@dataclass
class FakeBuilder:
    """A program that ``printing`` made does as it says; another prints ``prints`` and ends with ``code``.

    ``ordered`` are all orders; ``packages`` are those of each image; ``while_building`` happens, once, at the first
    moment of a build.
    """

    engine: FakeEngine
    prints: tuple[str, ...] = ("sparkctl: step 1 of 1: a==1", "Successfully installed a-1")
    code: int = 0
    oom: bool = False
    ordered: list[BuildOrder] = field(default_factory=list)
    packages: Mapping[str, str] = field(default_factory=lambda: {"a": "1"})
    while_building: Callable[[], object] | None = None

    def build(self, order: BuildOrder) -> Generator[BuildMoment]:
        self.ordered.append(order)
        if self.engine.image(order.base) is None:
            message = f"cannot build the image {order.tag}: the engine does not have the image {order.base}"
            raise EngineError(message, hint="fetch it")
        spec = ContainerSpec(
            image=order.base, name=f"sparkctl-build-{len(self.ordered)}", labels=tuple(order.labels.items())
        )
        lines, code = self._does(order)
        with throwaway(self.engine, spec, "image", "me"):
            yield BuildMoment(lines[:1])
            if self.while_building is not None:
                happens, self.while_building = self.while_building, None
                happens()
            yield BuildMoment(lines[1:])
            if code == 0 and not self.oom:
                self.engine.images[order.tag] = {}
                self.engine.labels[order.tag] = {**order.labels, LABEL_THROWAWAY: "", LABEL_PROCESS: ""}
        yield BuildMoment((), BuildEnd(code, self.oom, lines))

    def _does(self, order: BuildOrder) -> tuple[tuple[str, ...], int]:
        if not order.program.startswith(b"{"):
            return self.prints, self.code
        told = json.loads(order.program)
        return tuple(told["lines"]), told["code"]

    def built(self, label: str) -> list[BuiltImage]:
        found = [(tag, labels) for tag, labels in self.engine.labels.items() if label in labels]
        return [BuiltImage(f"sha256:{tag}", (tag,), SIZE, labels) for tag, labels in found]

    def discard(self, image: str) -> None:
        user = next((one for one in self.engine.containers() if one.image == image), None)
        if user is not None:
            message = f"cannot remove the image {image}: the container {user.id[:12]} is made of it"
            raise EngineError(message, hint="remove that container first")
        self.engine.images.pop(image, None)
        self.engine.labels.pop(image, None)

    def installed(self, image: str) -> Mapping[str, str]:
        if self.engine.image(image) is None:
            raise EngineError(f"the engine does not have the image {image}")
        return self.packages
