"""The rooms of the package: who may import whom, and how large a room may be.

Every module is covered: a module that lies in no room of the table fails. Pure rooms may import only what is listed of
the standard library, so that a clock, a socket or a thread cannot come in unseen.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = REPOSITORY / "sparkctl"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
_TOP = {
    *("builder", "engine", "host", "job_labels", "labels", "partial_folder", "ports"),
    *("settings", "spec", "throwaway", "web", "workbench"),
}
WORLD = {f"world.{name}" for name in _TOP}
"""The top of world: values and protocols."""
BELOW_RECIPES = {"base", "memory", "mods", "planning", "vllm", "world.docker_run", *WORLD}
ROOMS = {
    "sparkctl": {*BELOW_RECIPES, "recipes", "operations"},
    "sparkctl.__main__": {"cli"},
    "base": set(),
    **{name: {"base", *WORLD} for name in WORLD},
    "world.docker_run": {"base", *WORLD},
    "world.docker": {"base", *WORLD},
    "world.local": {"base", *WORLD},
    "world.sim": {"base", *WORLD},
    "world.opening": {"base", "world.docker", "world.local", "world.sim", *WORLD},
    "vllm": {"base", *WORLD},
    "memory": {"base"},
    "planning": {"base", "memory", "vllm"},
    "mods": {"base", "vllm", *WORLD},
    "recipes": BELOW_RECIPES,
    "operations": {*BELOW_RECIPES, "recipes", "world.opening"},
    "cli": {*BELOW_RECIPES, "recipes", "operations"},
}
"""Each room, and the rooms that it may import beside itself: the longest name that fits a module is its room."""
PURE = {"base", "memory", "planning", "vllm", "world.docker_run", "recipes", *WORLD}
STANDARD = {
    "__future__", "abc", "ast", "base64", "bisect", "codecs", "collections", "contextlib",
    "csv", "dataclasses", "datetime", "decimal", "difflib", "enum", "fnmatch", "fractions",
    "functools", "hashlib", "html", "importlib", "ipaddress", "itertools", "json", "math",
    "operator", "pathlib", "posixpath", "re", "shlex", "statistics", "string", "struct",
    "textwrap", "traceback", "types", "typing", "unicodedata", "urllib", "warnings",
}  # fmt: skip
"""What of the standard library a pure module may import: no clock, no process, no network, no thread, no randomness."""
EFFECTS = {"click", "docker", "httpx", "huggingface_hub", "psutil", "pynvml", "requests", "rich"}
"""Third parties that reach outside: each belongs to an adapter, or to the command line."""
ALLOWED_EFFECTS = {
    "world.docker": {"docker", "requests"},
    "world.local": {"httpx", "huggingface_hub", "psutil", "pynvml", "requests"},
    "world.sim": {"psutil"},
    "cli": {"click", "rich"},
}
ABOUT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FEW = 9
MANY = 15
LINES = 400
COMMAND_LINES = 130
STATEMENTS = 60
PARAMETERS = 7


def room_of(module: str) -> str:
    """Return the room that a module lies in: the longest name of the table that it begins with."""
    name = module.removeprefix("sparkctl.")
    fits = [room for room in ROOMS if name == room or name.startswith(f"{room}.")]
    if module in ROOMS:
        return module
    assert fits, f"{module} lies in no room"
    return max(fits, key=len)


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Return those nodes of a file's syntax tree that a rule here is about."""
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ABOUT)]


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, those for types among them; of ours always the module itself."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in inner}
    return found


def wrong_imports(module: str, found: set[str]) -> list[str]:
    """Return what a module imports and must not, each with the reason."""
    room = room_of(module)
    wrong = [
        f"{name} of the room {room_of(name)}"
        for name in found
        if name in MODULES and name != "sparkctl" and room_of(name) not in {room, *ROOMS[room]}
    ]
    outside = {name.partition(".")[0] for name in found if name not in MODULES}
    wrong += [f"{name}, an effect" for name in outside & EFFECTS - ALLOWED_EFFECTS.get(room, set())]
    if room in PURE:
        wrong += [f"{name}, which is not pure" for name in (outside & sys.stdlib_module_names) - STANDARD]
    return sorted(wrong)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"sparkctl.cli", "sparkctl.world"}))
def test_a_module_imports_only_from_the_rooms_below_it(module: str) -> None:
    assert not wrong_imports(module, imported(MODULES[module]))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_stand_at_the_top(module: str) -> None:
    for node in nodes(MODULES[module]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not inner, f"{node.name} imports at line {inner[0].lineno}"


def test_the_door_imports_nothing_heavy() -> None:
    outside = {name.split(".")[0] for name in imported(MODULES["sparkctl.cli"])}
    assert outside <= {"__future__", "click", "gc", "importlib", "io", "sparkctl", "sys", "typing"}


def test_a_room_is_small() -> None:
    files = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        files[path.parent].append(path.name)
    crowded = {str(folder.relative_to(PACKAGE)): len(names) for folder, names in files.items() if len(names) > MANY}
    assert not crowded
    assert len([folder for folder in files if folder.parent == PACKAGE]) <= FEW


def test_a_class_name_is_used_once() -> None:
    places = defaultdict(set)
    for module, path in MODULES.items():
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(module)
    assert not {name: sorted(found) for name, found in places.items() if len(found) > 1}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_a_function_and_a_signature_are_short(module: str) -> None:
    text = MODULES[module].read_text()
    assert text.count("\n") <= LINES
    for node in nodes(MODULES[module]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < STATEMENTS, node.name
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            assert len([one for one in given if one.arg not in {"self", "cls"}]) <= PARAMETERS, node.name


@pytest.mark.parametrize("module", sorted(name for name in MODULES if re.match(r"sparkctl\.cli\.\w+\.\w", name)))
def test_a_command_parses_calls_and_prints(module: str) -> None:
    """A use case that grows in a command module is one that no program can call."""
    assert MODULES[module].read_text().count("\n") <= COMMAND_LINES


@pytest.mark.parametrize(
    ("module", "found"),
    [
        ("sparkctl.memory.pool", {"sparkctl.recipes.recipe"}),
        ("sparkctl.vllm.phases", {"time"}),
        ("sparkctl.planning.ways", {"random"}),
        ("sparkctl.operations.changes", {"docker"}),
        ("sparkctl.world.sim.engine", {"sparkctl.world.local.store"}),
        ("sparkctl.cli.output", {"sparkctl.world.docker.engine"}),
    ],
)
def test_a_wrong_import_is_found(module: str, found: set[str]) -> None:
    assert wrong_imports(module, found)
