"""A mod whose file is fetched: kept by this machine once, and staged to each host where it is mounted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from sparkctl.mods import on_disk
from sparkctl.mods.checksum import md5_of
from sparkctl.operations.hosts import held
from sparkctl.operations.hosts.connection import world_there
from sparkctl.operations.mods.fetched import fetch_missing
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.opening.log_report import LogReport
from tests.support.copy_bench import FOLDER, CopyBench, model_files, write_folder

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.mods.placed import MountedMod
    from sparkctl.operations.context import World
    from sparkctl.world.ports import Came

FIXED = b"FIXED = True\n"
MOD = f"files: [{{module: vllm.fix, source: {{url: 'https://example.org/fix.py'}}, md5: {md5_of(FIXED)}}}]\n"


@dataclass
class FakeFetcher:
    """A network that has one file."""

    asked: list[str] = field(default_factory=list)

    def url(self, url: str, *, token: str | None, most_bytes: int, progress: Came) -> bytes:
        self.asked.append(url)
        return FIXED

    def wheel_file(self, package: str, release: str, file: str) -> bytes:
        raise AssertionError(package)


class AskedFiles(DiskFiles):
    """The files of a host, which notes what was read."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def content(self, path: Path) -> bytes | None:
        self.paths.append(path)
        return super().content(path)


@pytest.fixture
def bench(tmp_path: Path) -> CopyBench:
    found = CopyBench(tmp_path)
    found.recipe(f"{FOLDER}\nmods: [fix]")
    write_folder(found.spark.folder, {"mods/fix/mod.yaml": MOD.encode()})
    return found


def there(bench: CopyBench, name: str) -> World:
    here = bench.spark.world(LogReport())
    here.operator = here.operator._replace(state=bench.folder / "own")
    return world_there(here, name, tell=lambda _: None)


def mod(world: World) -> MountedMod:
    (found,) = held.named(world, ["tiny"])[0].mods
    return found


def test_what_is_fetched_once_is_staged_to_each_host(bench: CopyBench) -> None:
    fetcher = FakeFetcher()
    for name in "ab":
        world = there(bench, name)
        vars(world)["fetcher"], vars(world)["own_files"] = fetcher, DiskFiles()
        found = mod(world)
        assert found.waits is (name == "a"), "for the second host it is there"
        fetch_missing(world, [found])
        assert found.kept is not None
        assert found.kept.is_relative_to(bench.folder / "own")
        on_disk.stage(world.files, [found])
        assert found.source.is_relative_to(bench.home(name))
        assert found.source.read_bytes() == FIXED
    assert fetcher.asked == ["https://example.org/fix.py"]


def test_a_file_of_the_models_own_folder_is_read_and_staged_where_the_model_lies(bench: CopyBench) -> None:
    text = f"files: [{{module: vllm.fix, source: {{model: fix.py}}, md5: {md5_of(FIXED)}}}]\n"
    write_folder(bench.spark.folder, {"mods/fix/mod.yaml": text.encode()})
    folder = write_folder(bench.home("a") / "models/tiny", {**model_files(), "fix.py": FIXED})
    world = there(bench, "a")
    found = mod(world)
    assert found.on_host
    asked = AskedFiles()
    assert on_disk.verified(found, asked) == FIXED
    assert asked.paths == [folder / "fix.py"], "by the port of that host, whose path means nothing here"
    on_disk.stage(world.files, [found])
    assert found.source.read_bytes() == FIXED
    (folder / "fix.py").unlink()
    assert "is not there, or cannot be read" in on_disk.check_source(found, world.files).why


def test_a_staged_copy_that_is_another_file_is_a_difference_h9(bench: CopyBench) -> None:
    world = there(bench, "a")
    found = mod(world)
    assert held.holds(world, "a", held.named(world, ["tiny"])[0]).mods == {"fix, fix.py": md5_of(FIXED)}
    write_folder(found.source.parent, {found.source.name: b"other"})
    assert held.holds(world, "a", held.named(world, ["tiny"])[0]).mods == {"fix, fix.py": md5_of(b"other")}
