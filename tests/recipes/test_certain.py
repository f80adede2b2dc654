"""A command that is made later comes out right: what could be refused is refused when its recipe is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.memory.pool import HostProfile
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.host_side.operator import Operator
from sparkctl.recipes.reading import Loader
from sparkctl.recipes.sizing.memory_key import unseen
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeModels

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.recipes.service import Service

TEMPLATES = ["vllm-openai", "vllm-serve"]
ODD = st.text(st.sampled_from("az,;:='\"\\ \r\n\t#${}%/~ü\U000f0000"), min_size=1, max_size=6)
PATHS = ODD.map("/{}".format)
CONTAINER = st.fixed_dictionaries(
    {},
    optional={
        "ipc": st.sampled_from(["host", "none", "private", "container:x", "nowhere"]) | ODD,
        "network": st.sampled_from(["host", "none", "bridge", "a=b"]) | ODD,
        "shm-size": st.integers(0, 2**60),
        "ulimits": st.dictionaries(st.sampled_from(["nofile", "memlock", "none"]), st.sampled_from(["1", "2:1", "-1"])),
        "user": ODD | st.sampled_from(["0", "1000:1000"]),
        "mounts": st.lists(st.tuples(PATHS, PATHS).map(":".join), max_size=2),
        "caches": st.booleans() | PATHS,
        "entrypoint": st.just("") | ODD,
        "devices": st.lists(st.sampled_from(["/dev/fuse", "/dev/fuse:rr", "/dev/fuse:/dev/x:rw"]), max_size=1),
        "runtime": ODD,
        "capabilities": st.lists(st.sampled_from(["SYS_PTRACE", "CAP_X", "A_"]), max_size=1),
    },
)
MORE = st.fixed_dictionaries(
    {"template": st.sampled_from(TEMPLATES)},
    optional={
        "container": CONTAINER,
        "gpus": st.sampled_from(["all", "none", "0,1", "cdi:nvidia.com/gpu=all", "cdi:odd"]),
        "args": st.dictionaries(st.sampled_from(["seed", "quantization", "x-y"]), ODD | st.lists(ODD) | st.none()),
        "env": st.dictionaries(st.sampled_from(["A", "VLLM_X"]), ODD | st.booleans()),
        "model": st.fixed_dictionaries(
            {"repo": st.just("a/b"), "facts": st.just("gemma-4-e4b")}, optional={"path": PATHS, "mount": PATHS}
        ),
        "serve": st.fixed_dictionaries({"name": ODD}, optional={"aliases": st.lists(ODD, max_size=2)}),
        "secrets": st.just(["HF_TOKEN"]),
    },
)


class Desk:
    """The recipes that are shipped, and one of the operator's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recipes").mkdir()
        self.catalog = Catalog([Root(folder, "given"), Root(shipped_root(), "shipped")])

    def service(self, name: str, more: dict[str, Any] | None = None) -> Service:
        """Read a service, of which the command may be made later."""
        if more is not None:
            text = yaml.safe_dump({"extends": "e4b-nvfp4", **more}, allow_unicode=True)
            (self.folder / "recipes" / f"{name}.yaml").write_text(text)
        operator = Operator(self.folder / "home", self.folder / "config", self.folder / "state")
        loader = Loader(self.catalog, FakeModels(), operator, HostProfile(total=120 * GIB))
        (found,) = loader.services(loader.located([name], (), strict=False), later=True)
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@given(more=MORE)
@settings(max_examples=60, deadline=None)
def test_what_was_read_without_an_error_has_a_command_that_adds_nothing_to_the_plan(
    desk: Desk, more: dict[str, Any]
) -> None:
    try:
        service = desk.service("mine", more)
    except InputError:
        event("refused when it was read")
        return
    event("made later, or now")
    assert service.words[:2] == ("docker", "run")
    assert unseen(service) == []


@pytest.mark.parametrize("name", [entry.name for entry in Catalog([Root(shipped_root(), "shipped")]).recipes()])
def test_the_command_of_a_shipped_recipe_is_certain_and_adds_nothing_to_the_plan(desk: Desk, name: str) -> None:
    service = desk.service(name)
    assert service.words[:2] == ("docker", "run")
    assert unseen(service) == []


@pytest.mark.parametrize(
    ("container", "told"),
    [
        ("{ipc: nowhere}", "--ipc: expected one of host, none, private"),
        ("{network: a=b}", "--network: expected a network's name"),
        ("{ulimits: {files: 1}}", "--ulimit: expected NAME=SOFT[:HARD]"),
        ("{caches: '/a:b'}", "--volume: expected options of"),
        ("{devices: ['/dev/fuse:rr']}", "--device: expected permissions of r, w and m"),
    ],
)
def test_a_plan_refuses_what_docker_would(tmp_path: Path, container: str, told: str) -> None:
    spark = FakeSpark(tmp_path)
    (tmp_path / "recipes").mkdir(exist_ok=True)
    (tmp_path / "recipes" / "mine.yaml").write_text(f"extends: e4b-nvfp4\ncontainer: {container}\n")
    assert told in spark.run("plan", "mine").expect(2).err


def test_a_plan_finds_the_mistake_of_an_operators_template_and_of_what_a_shipped_one_includes(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "_serve.j2").write_text("--served-model-name {{ nothing_of_this_name }}\n")
    done = spark.run("plan", "e4b-nvfp4").expect(2)
    assert "_serve.j2:1:" in done.err
    assert "'nothing_of_this_name' is undefined" in done.err
