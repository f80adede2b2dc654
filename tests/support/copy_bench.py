"""Two hosts between which models and images are carried: engines are fakes, disks are folders of the test."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from sparkctl.operations.hosts.distribute.distribute import distribute
from sparkctl.operations.hosts.distribute.one_host import Brought, WantedCopies
from sparkctl.world.local.copying.disk import CopyDisk
from sparkctl.world.local.copying.host import HostCopies
from sparkctl.world.local.copying.shell import CopyShell
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.opening.log_report import LogReport
from tests.support.fake_engine import FakeEngine
from tests.support.fake_hosts import FACTS, FakeReach, FakeThere
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.dying import Life

IMAGE = "sparkctl-test/standin:latest"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
COMMIT = "c" * 40
RECIPE = """\
description: a tiny model
template: vllm-openai
image: {image}
vllm: "0.29"
model: {model}
gpus: none
serve: {{name: tiny, port: 8000}}
limits: {{context: 1024, sequences: 2, batched-tokens: 512}}
"""
FOLDER = "{repo: test/tiny, path: ~/models/tiny}"
CACHED = "{repo: test/tiny}\ncache: ~/.cache/huggingface"
HOSTS = """\
hosts:
  a: {ssh: spark-a}
  b: {ssh: spark-b}
  c: {ssh: spark-c}
"""


def shard(text: str) -> bytes:
    """Return a whole safetensors file with these bytes as its one tensor."""
    data = text.encode()
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    return len(header).to_bytes(8, "little") + header + data


def model_files(seed: str = "one") -> dict[str, bytes]:
    """Return the files of a model that a server takes for whole."""
    index = json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))}).encode()
    weights = {name: shard(f"{seed} {name} " * 500) for name in SHARDS}
    return {"config.json": b'{"model_type": "llama"}', "model.safetensors.index.json": index, **weights}


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """Write a plain folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_cache(hub: Path, files: dict[str, bytes], commit: str = COMMIT) -> Path:
    """Write a snapshot of a hub cache as the hub's library does: blobs by their sums, links, and what main is."""
    root = hub / "models--test--tiny"
    for name, content in files.items():
        large = name.endswith(".safetensors")
        git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        blob = root / "blobs" / (hashlib.sha256(content).hexdigest() if large else git)
        write_folder(blob.parent, {blob.name: content})
        link = root / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"{'../' * (name.count('/') + 2)}blobs/{blob.name}")
    write_folder(root / "refs", {"main": commit.encode()})
    return root / "snapshots" / commit


class OpenShell(CopyShell):
    """What programs do with bytes, without a program: starting two for each file takes longer than all else."""

    @contextmanager
    def reading(self, path: Path, offset: int) -> Iterator[IO[bytes]]:
        with path.open("rb") as file:
            file.seek(offset)
            yield file

    @contextmanager
    def writing(self, path: Path) -> Iterator[IO[bytes]]:
        with path.open("ab") as file:
            yield file


class Otherwise:
    """The copies of a host, of which some methods do something else."""

    def __init__(self, copies: Any, **others: Callable[..., Any]) -> None:  # noqa: ANN401  (any copies)
        self._copies = copies
        self._others = others

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (any method)
        return self._others.get(name) or getattr(self._copies, name)


def dying(copies: Any, life: Life) -> Any:  # noqa: ANN401  (any copies)
    """Return the copies of a host as a command has them that dies after so many changes."""

    def changing(name: str) -> Callable[..., Any]:
        def called(*given: Any) -> Any:  # noqa: ANN401
            life.lived()
            came = getattr(copies, name)(*given)
            life.made()
            return came

        return called

    return Otherwise(copies, **{name: changing(name) for name in ("begin", "finish", "link", "remove")})


@dataclass
class CopyBench:
    """An operator with hosts a, b and c, of which ``reach`` has those that answer."""

    folder: Path
    spark: FakeSpark = field(init=False)
    reach: FakeReach = field(init=False)
    got: list[Brought] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.spark = FakeSpark(self.folder / "operator")
        write_folder(self.spark.folder, {"hosts.yaml": HOSTS.encode()})
        self.recipe(FOLDER)
        self.reach = self.spark.reach = FakeReach({f"spark-{name}": self._host(name) for name in "abc"})

    def recipe(self, model: str, image: str = IMAGE) -> None:
        """Write the recipe ``tiny`` with a model."""
        text = RECIPE.format(model=model, image=image)
        write_folder(self.spark.folder, {"recipes/tiny.yaml": text.encode()})

    def home(self, name: str) -> Path:
        """Return the home of a host's user."""
        return self.folder / name

    def there(self, name: str) -> FakeThere:
        """Return a host."""
        return self.reach.there[f"spark-{name}"]

    def engine(self, name: str) -> FakeEngine:
        """Return a host's engine."""
        return self.there(name).spark.engine

    def distribute(self, source: str | None = "a", *to: str, dry_run: bool = False) -> list[Brought]:
        """Distribute the recipe, to b unless others are named."""
        asked = WantedCopies(["tiny"], (), source, to or ("b",))
        return self.asked(asked, dry_run=dry_run)

    def asked(self, asked: WantedCopies, *, dry_run: bool = False) -> list[Brought]:
        """Distribute what is asked for; what hosts got until others failed is ``got``."""
        done = distribute(self.spark.world(LogReport()), asked, dry_run=dry_run)
        self.got = list(done.brought)
        if done.error is not None:
            raise done.error
        return self.got

    def _host(self, name: str) -> FakeThere:
        home = self.home(name)
        home.mkdir(parents=True)
        spark = FakeSpark(self.folder / "operator", engine=FakeEngine(images={IMAGE: {"/v": b"1"}}))
        spark.models, spark.files = DiskModels(), DiskFiles()  # type: ignore[assignment]
        facts = FACTS._replace(name=name, machine_id=name * 32, boot_id=f"boot-{name}", home=str(home), user="you")
        return FakeThere(spark, facts, copies=HostCopies(CopyDisk(), OpenShell(name)))
