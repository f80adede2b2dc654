"""A bench without an engine: what a script did is ordered, and the image is a dict of entries."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.world.workbench import PathChange, PathEntry
from tests.support.fake_engine import FakeEngine, FakeTail

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.world.engine import Container

BASH = PathEntry("file", 0o755, 4, b"bash")


def text(content: str) -> PathEntry:
    """Return a file's entry."""
    return PathEntry("file", 0o644, len(content), content.encode())


@dataclass
class ScriptEngine(FakeEngine):
    """An engine whose containers run one script: ``script`` says how it ends, and what it prints."""

    printed: list[str] = field(default_factory=lambda: ["patching", "done"])
    ends: Callable[[Container], Container] = lambda now: now._replace(state="exited", exit_code=0)

    vanishing: bool = False

    def start(self, container: str) -> None:
        name = self.there[container].name
        self.prints[name], self.on_start[name] = list(self.printed), self.ends
        super().start(container)

    def follow(self, container: str) -> FakeTail:
        tail = super().follow(container)
        if self.vanishing:
            del self.there[container]
        return tail


@dataclass
class FakeBench:
    """The image's entries, and what the script makes of them (None: deleted); ``removed`` were deleted before."""

    engine: FakeEngine
    image: dict[str, PathEntry] = field(default_factory=lambda: {"/usr/bin/bash": BASH})
    done: dict[str, PathEntry | None] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    folder: str = "/vllm-workspace"
    unpacked: list[tuple[str, str, int]] = field(default_factory=list)

    def workdir(self, container: str) -> str:
        return self.folder

    def unpack(self, container: str, archive: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            self.unpacked = [(self.engine.there[container].name, one.name, one.mode) for one in members]

    def changes(self, container: str) -> list[PathChange]:
        return [
            PathChange(
                path, "deleted" if now is None or path in self.removed else "changed" if path in self.image else "added"
            )
            for path, now in self.done.items()
        ]

    def entry(self, container: str, path: str, *, most_bytes: int) -> PathEntry | None:
        ran = self.engine.there[container].state != "created"
        found = self.done[path] if ran and path in self.done else self.image.get(path)
        return found if found is None or found.size_bytes <= most_bytes else found._replace(content=None)
