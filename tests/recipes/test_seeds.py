"""The shipped recipes against the commands that their sources published (tests/seeds), and against files of words.

Every flag that a rendered command changes, drops or adds is explained in the recipe's ``x-differences``, and every
explanation there explains such a flag.
"""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from sparkctl.cli import run
from sparkctl.cli.output import Output
from sparkctl.cli.session import Session
from sparkctl.operations import differences
from sparkctl.operations.context import World
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.host_side.operator import Operator
from sparkctl.world.docker_run import grammar
from sparkctl.world.opening import Doors
from tests.support.command_line import Done
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeModels
from tests.support.paths import TESTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.recipes.service import Service

HERE = TESTS
HOME = Path("/home/operator")
CATALOG = Catalog([Root(shipped_root(), "shipped")])
RECIPES = [entry.name for entry in CATALOG.recipes()]
STACKS = [entry.name for entry in CATALOG.entries("stack")]
BASES = [entry.name for entry in CATALOG.entries("recipe") if entry.name.startswith("_")]
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


# --- the helpers -----------------------------------------------------------------------------------------------------


def _session(out: io.StringIO, err: io.StringIO) -> Session:
    """Return the session of an operator at /home/operator, who has the shipped files, and neither engine nor Spark."""

    def closed() -> NoReturn:
        pytest.fail("the command needs an engine or a host")

    state = HOME / ".local/state/sparkctl"
    output = Output(out, err)
    world = World(
        catalog=CATALOG,
        operator=Operator(home=HOME, config=HOME / ".config/sparkctl", state=state),
        environ={},
        report=output,
        profile="gb10",
        doors=Doors(host=closed, store=closed, ports=closed),
    )
    return Session(world, output)


def _run(*arguments: str) -> Done:
    out, err = io.StringIO(), io.StringIO()
    code = run(list(arguments), _session(out, err))
    return Done(code, out.getvalue(), err.getvalue())


def _service(name: str, *overrides: str) -> Service:
    loader = _session(io.StringIO(), io.StringIO()).world.loader(FakeModels())
    (service,) = loader.services(loader.located([name], overrides, strict=True))
    return service


def _seed(name: str) -> dict[str, str]:
    """Return the flags of a published command. A variable set before a bare ``vllm serve`` is the server's, as --env.

    ``~`` is the operator's home.
    """
    text = (HERE / "seeds" / f"{name}.sh").read_text().replace("\\\n", " ")
    words = shlex.split(text, comments=True)
    if words[0] == "docker":
        return _container_flags([re.sub("^~", str(HOME), word) for word in words])
    start = words.index("vllm")
    assert all(ASSIGNMENT.match(word) for word in words[:start])
    variables = {"--env": " ".join(sorted(words[:start]))} if start else {}
    return variables | _server_flags(words[start:])


def _container_flags(words: Sequence[str]) -> dict[str, str]:
    """Return the flags of a docker run command: docker's own in one spelling, ``image``, ``command``, the server's."""
    spec = grammar.parse(words)
    found: dict[str, list[str]] = {}
    bare = grammar.words(spec)[: -len(spec.command) or None]
    for line in grammar.shell_text(bare).split(" \\\n  ")[1:-1]:
        name, *values = shlex.split(line)
        found.setdefault(name, []).extend(values)
    own = {name: " ".join(sorted(values)) for name, values in found.items()}
    return own | {"image": spec.image} | _server_flags(spec.command)


def _server_flags(words: Sequence[str]) -> dict[str, str]:
    """Return the server's flags, with the words before the first as ``command``."""
    flags = differences.flags(words)
    command = flags.pop("", None)
    return flags if command is None else flags | {"command": command}


def _changed(seed: Mapping[str, str], rendered: Mapping[str, str]) -> dict[str, str]:
    """Return the flags that differ, each with a line that says how."""

    def shown(flags: Mapping[str, str], name: str) -> str:
        return (flags[name] or "given") if name in flags else "absent"

    return {
        name: f"{name}: {shown(seed, name)} in the seed, {shown(rendered, name)} rendered"
        for name in {**seed, **rendered}
        if seed.get(name) != rendered.get(name)
    }


def _explained(name: str) -> dict[str, str]:
    value = CATALOG.recipe(name).document.value
    assert isinstance(value, dict)
    return value["x-differences"]


# --- against the published commands ----------------------------------------------------------------------------------


def test_every_recipe_has_the_command_that_its_source_published() -> None:
    assert sorted(path.stem for path in (HERE / "seeds").glob("*.sh")) == RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_every_difference_from_the_published_command_is_explained(name: str) -> None:
    changed = _changed(_seed(name), _container_flags(_service(name).words))
    unexplained = [line for flag, line in changed.items() if flag not in _explained(name)]
    assert unexplained == [], "differs, and x-differences does not say why"


@pytest.mark.parametrize("name", RECIPES)
def test_every_explanation_explains_a_difference(name: str) -> None:
    seed, rendered = _seed(name), _container_flags(_service(name).words)
    idle = [
        f"{flag}: {seed.get(flag, 'absent')} in the seed and rendered"
        for flag in _explained(name)
        if flag not in _changed(seed, rendered)
    ]
    assert idle == [], "x-differences explains what does not differ"


@pytest.mark.parametrize("name", RECIPES)
def test_every_explanation_says_something(name: str) -> None:
    assert [flag for flag, why in _explained(name).items() if not why.strip()] == []


def test_a_changed_a_missing_and_an_added_flag_all_count_as_differences() -> None:
    changed = _changed(
        _container_flags(
            ["docker", "run", "-d", "-v", "/a:/b", "-e", "A=1", "i:1", "vllm", "serve", "m", "--x=1", "--y"]
        ),
        _container_flags(["docker", "run", "--env", "A=2", "--name", "nn", "--env", "B=1", "i:2", "--x", "2", "--z"]),
    )
    assert sorted(changed.values()) == [
        "--env: A=1 in the seed, A=2 B=1 rendered",
        "--name: absent in the seed, nn rendered",
        "--volume: /a:/b in the seed, absent rendered",
        "--x: 1 in the seed, 2 rendered",
        "--y: given in the seed, absent rendered",
        "--z: absent in the seed, given rendered",
        "command: vllm serve m in the seed, absent rendered",
        "image: i:1 in the seed, i:2 rendered",
    ]


def test_two_spellings_of_one_flag_are_no_difference() -> None:
    short = ["docker", "run", "-d", "--shm-size", "32gb", "--ipc=host", "-e", "B=1", "-e", "A=1", "i", "--x=1"]
    long = ["docker", "run", "--env=A=1", "--env=B=1", "--detach", "--ipc", "host", "--shm-size=32g", "i", "--x", "1"]
    assert _changed(_container_flags(short), _container_flags(long)) == {}


# --- against files of words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["e4b-nvfp4", "26b-a4b-nvfp4"])
def test_render_prints_the_words_that_were_reviewed(name: str) -> None:
    assert _run("render", name).expect(0).out == (HERE / "golden" / f"{name}.txt").read_text()


def test_the_servers_of_published_recipes_have_the_words_that_were_reviewed() -> None:
    """tests/golden/published.txt: a line a recipe of _spark, as words of a shell."""
    published = [name for name in RECIPES if "_spark" in _bases(name)]
    lines = [f"{name}: {shlex.join(_service(name).spec.command)}\n" for name in published]
    assert "".join(lines) == (HERE / "golden" / "published.txt").read_text()


def _bases(name: str) -> list[str]:
    """Return what a recipe extends, the nearest first."""
    found: list[str] = []
    text = (shipped_root() / "recipes" / f"{name}.yaml").read_text()
    while extended := re.search(r"^extends: (\S+)$", text, re.MULTILINE):
        found.append(extended[1])
        text = (shipped_root() / "recipes" / f"{found[-1]}.yaml").read_text()
    return found


# --- what holds for every shipped file -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_renders_without_its_model(name: str) -> None:
    done = _run("render", name).expect(0)
    assert done.out.startswith("docker run \\\n  --detach \\\n")
    assert CATALOG.recipe(name).recipe.model.repo in done.err or "is not there" in done.err


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_is_planned_from_its_facts_alone(name: str, tmp_path: Path) -> None:
    path = CATALOG.recipe(name).recipe.model.path
    absent = FakeModels(missing={Path(path).name: "is not there"} if path else {})
    spark = FakeSpark(tmp_path, models=absent)
    plan = spark.run("plan", name, "--json").expect(0).json
    assert (plan["fits"], plan["order"]) == (True, [name])
    assert spark.engine.calls == []


def test_lint_finds_nothing_wrong_with_the_shipped_files_and_names_what_they_reach() -> None:
    names = [*RECIPES, *BASES, *STACKS]
    done = _run("recipes", "lint", *names).expect(0)
    assert done.err.endswith(f"checked {len(names)}, errors 0, warnings 0\n")
    told = [line.rpartition(": ")[2] for line in done.err.splitlines() if line.startswith("reaches: ")]
    assert set(told) == {"shares the network host"}


@pytest.mark.parametrize("stack", STACKS)
def test_the_services_of_a_stack_have_ports_of_their_own(stack: str) -> None:
    members = CATALOG.members(stack)
    ports = [CATALOG.recipe(member.recipe, member.overrides).recipe.serve.port for member in members]
    assert len(members) > 1
    assert sorted(set(ports)) == sorted(ports)


def test_fewer_batched_tokens_than_one_image_takes_are_refused() -> None:
    done = _run("render", "26b-a4b-nvfp4", "--set", "limits.batched-tokens=2048").expect(2)
    assert "2496" in done.err
    assert "limits.batched-tokens" in done.err


def test_a_recipe_without_multimodal_inputs_may_have_fewer_batched_tokens() -> None:
    done = _run("render", "huihui-26b-a4b-fp8-mtp", "--set", "limits.batched-tokens=2048").expect(0)
    assert "  --max-num-batched-tokens 2048 \\\n" in done.out
