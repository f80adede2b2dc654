"""`sparkctl recipes` and `sparkctl schema`, as a person and as a program read them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from sparkctl.base.errors import SparkctlError
from sparkctl.cli.files.recipes import command as recipes
from sparkctl.cli.files.schema import command as schema
from sparkctl.cli.output import Output
from sparkctl.memory.pool import HostProfile
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.host_side.operator import Operator
from sparkctl.recipes.reading import Loader
from tests.support.fakes import FakeModels

if TYPE_CHECKING:
    from pathlib import Path

    import click

RECIPE = """\
description: A small one
template: t
image: vllm/vllm-openai:v0.20.2
vllm: "0.20"
model: {repo: a/b}
serve: {name: small, port: 8000}
limits: {context: 4096}
env: {EMPTY: "", QUOTED: "1"}
"""


@dataclass
class Files:
    """What of the world these commands touch: a catalog, and a host on which every model is."""

    catalog: Catalog
    operator: Operator
    disk_models: FakeModels

    def offline_loader(self, models: FakeModels) -> Loader:
        profile = shipped_catalog().load("host", "gb10", HostProfile)
        return Loader(self.catalog, models, self.operator, profile)

    def loader(self, models: FakeModels) -> Loader:
        return self.offline_loader(models)


def shipped_catalog() -> Catalog:
    return Catalog([Root(shipped_root(), "shipped")])


@dataclass
class Run:
    """A run of the command line over it."""

    world: Files
    out: Output


@dataclass
class Desk:
    folder: Path

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, command: click.Command, *arguments: str) -> tuple[int, str, str]:
        """Return the exit code, stdout and stderr, with the folder left out."""
        out, err = io.StringIO(), io.StringIO()
        operator = Operator(home=self.folder, config=self.folder / "config", state=self.folder / "state")
        files = Files(Catalog([Root(self.folder, "given")]), operator, FakeModels())
        session = Run(files, Output(out, err))
        result = CliRunner().invoke(command, list(arguments), obj=session)
        code = result.exit_code
        if isinstance(result.exception, SparkctlError):
            code = result.exception.exit_code
            err.write(result.exception.message)
        elif result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        folder = f"{self.folder}/"
        return code, out.getvalue().replace(folder, ""), (err.getvalue() + result.stderr).replace(folder, "")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write("recipes/small.yaml", RECIPE)
    desk.write("recipes/_base.yaml", "limits: {context: 1}\n")
    desk.write("templates/t.j2", "")
    return desk


def test_the_list_names_recipes_and_stacks_and_whose_they_are(desk: Desk) -> None:
    desk.write("recipes/stacks/pair.yaml", "description: Two\nservices: {one: {recipe: small}}\n")
    code, out, _ = desk.run(recipes)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "KIND", "FROM", "DESCRIPTION"],
        ["small", "recipe", "given", "A", "small", "one"],
        ["pair", "stack", "given", "Two"],
    ]


def test_a_recipe_that_cannot_be_used_is_listed_with_the_reason(desk: Desk) -> None:
    desk.write("recipes/bad.yaml", RECIPE + "modle: 1\n")
    code, out, _ = desk.run(recipes, "--json")
    assert (code, json.loads(out)[0]["description"]) == (0, "cannot be used: recipes/bad.yaml:9:1: unknown key 'modle'")


def test_the_list_is_json_too(desk: Desk) -> None:
    _, out, _ = desk.run(recipes, "--json")
    assert json.loads(out) == [
        {"name": "small", "kind": "recipe", "from": "given", "description": "A small one", "path": "recipes/small.yaml"}
    ]


def test_show_prints_each_value_with_the_line_that_it_comes_from(desk: Desk) -> None:
    code, out, _ = desk.run(recipes, "show", "small", "--set", "limits.context=8192")
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["template", "t", "recipes/small.yaml:2:11"],
        ["image", "vllm/vllm-openai:v0.20.2", "recipes/small.yaml:3:8"],
        ["vllm", "0.20", "recipes/small.yaml:4:7"],
        ["model.repo", "a/b", "recipes/small.yaml:5:15"],
        ["serve.name", "small", "recipes/small.yaml:6:15"],
        ["serve.port", "8000", "recipes/small.yaml:6:28"],
        ["limits.context", "8192", "--set", "limits.context:1:1"],
        ["env.EMPTY", '""', "recipes/small.yaml:8:14"],
        ["env.QUOTED", "1", "recipes/small.yaml:8:26"],
    ]


def test_show_says_what_the_version_counts_as(desk: Desk) -> None:
    _, _, err = desk.run(recipes, "show", "small", "--set", 'vllm="0.22.0"')
    assert err == "vLLM 0.22.0 is between two releases whose flags are known; it counts as 0.21.0\n"


def test_show_gives_a_program_the_whole_recipe_and_the_origins(desk: Desk) -> None:
    _, out, _ = desk.run(recipes, "show", "small", "--json")
    shown = json.loads(out)
    assert shown["recipe"]["serve"] == {
        "name": "small",
        "port": 8000,
        "bind": "127.0.0.1",
        "aliases": [],
        "tls": None,
        "container-port": 8000,
        "own-key": False,
    }
    assert shown["origins"]["limits.context"] == "recipes/small.yaml:7:19"


def problems(err: str) -> list[str]:
    """Return what lint says, without what it cannot tell of the desk's own template: nothing is known of its model."""
    found = [line for line in err.splitlines() if line.startswith(("warning: ", "checked ")) or ".yaml:" in line]
    return [line for line in found if "what its template reaches cannot be told: nothing is known" not in line]


def test_lint_passes_what_is_right(desk: Desk) -> None:
    code, out, err = desk.run(recipes, "lint")
    assert (code, out, problems(err)) == (0, "", ["checked 1, errors 0, warnings 0"])
    assert desk.run(recipes, "lint", "_base") == (0, "", "checked 1, errors 0, warnings 0\n")


def test_lint_prints_every_problem_of_every_file_once(desk: Desk) -> None:
    desk.write("recipes/_base.yaml", "limits: {context: 1}\ntemplate: none-such\nargs: {kv-cache-dtyp: fp8}\n")
    child = RECIPE.replace("template: t", "extends: _base") + "modle: 1\n"
    desk.write("recipes/one.yaml", child)
    desk.write("recipes/two.yaml", child.replace("modle: 1\n", ""))
    desk.write("recipes/three.yaml", child.replace("modle: 1\n", ""))
    desk.write("recipes/stacks/pair.yaml", "services: {one: {recipe: smal}}\n")
    code, out, err = desk.run(recipes, "lint")
    assert (code, out) == (2, "")
    assert [line for line in problems(err) if ".yaml:" in line] == [
        "warning: recipes/_base.yaml:3:8: vLLM 0.20.2 has no --kv-cache-dtyp",
        "recipes/_base.yaml:2:11: no template 'none-such'",
        "recipes/one.yaml:9:1: unknown key 'modle'",
        "recipes/stacks/pair.yaml:1:26: no recipe 'smal'",
    ]


def test_lint_strict_makes_the_warnings_errors(desk: Desk) -> None:
    file = desk.write("mine.yaml", RECIPE + "args: {kv-cache-dtyp: fp8}\n")
    code, _, err = desk.run(recipes, "lint", str(file))
    assert (code, problems(err)[0]) == (0, "warning: mine.yaml:9:8: vLLM 0.20.2 has no --kv-cache-dtyp")
    assert err.endswith("checked 1, errors 0, warnings 1\n")
    code, _, err = desk.run(recipes, "lint", "--strict", str(file))
    assert (code, problems(err)[0]) == (2, "mine.yaml:9:8: vLLM 0.20.2 has no --kv-cache-dtyp")


def test_lint_of_a_name_that_is_nothing_is_an_error(desk: Desk) -> None:
    assert desk.run(recipes, "lint", "smal")[0] == 2


@pytest.mark.parametrize("name", ["recipe", "stack", "mod"])
def test_a_schema_is_json_schema_of_2020_12_and_lets_ones_own_keys_through(desk: Desk, name: str) -> None:
    code, out, _ = desk.run(schema, name)
    described = json.loads(out)
    assert code == 0
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (described["additionalProperties"], described["patternProperties"]) == (False, {"^x-": {}})
    assert all(field.get("description") for field in described["properties"].values())


def test_the_schema_of_a_recipe_requires_the_rest_only_without_extends(desk: Desk) -> None:
    described = json.loads(desk.run(schema, "recipe")[1])
    assert described["anyOf"] == [
        {"required": ["extends"]},
        {"required": ["image", "model"]},
    ]
    assert "batched-tokens" in described["$defs"]["Limits"]["properties"]
