"""The rooms of the package: who may import whom, and how large a room may be.

Every module is covered: a module that lies in no room of the table fails. Pure rooms may import only what is listed of
the standard library, so that a clock, a socket or a thread cannot come in unseen. A rule is one test, which names every
module that breaks it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PACKAGE = REPOSITORY / "sparkctl"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
_TOP = {
    *("builder", "certificate", "door_ports", "engine", "host", "job_labels", "labels", "partial_folder", "ports"),
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
    "world.door": {"base", *WORLD},
    "world.remote": {"base", *WORLD},
    "world.opening": {"base", "world.docker", "world.door", "world.local", "world.remote", "world.sim", *WORLD},
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
    "functools", "hashlib", "heapq", "html", "importlib", "ipaddress", "itertools", "json", "math",
    "operator", "pathlib", "posixpath", "re", "shlex", "statistics", "string", "struct",
    "textwrap", "traceback", "types", "typing", "unicodedata", "urllib", "warnings",
}  # fmt: skip
"""What of the standard library a pure module may import: no clock, no process, no network, no thread, no randomness."""
ALONE = "sparkctl.operations.guard.alone"
"""The guard's process: it imports nothing of ours beside itself, and of the standard library what is small."""
SMALL = {
    "__future__", "_json", "_signal", "_thread", "ctypes", "fcntl", "gc", "mmap", "os", "select", "stat", "struct",
    "sys", "time",
}  # fmt: skip
FOR_TYPES = {"collections", "typing"}
"""What it may name in types alone; the test of its start sees that it is not imported."""
EFFECTS = {"aiohttp", "click", "docker", "httpx", "huggingface_hub", "psutil", "pynvml", "requests", "rich"}
"""Third parties that reach outside: each belongs to an adapter, or to the command line."""
ALLOWED_EFFECTS = {
    "world.docker": {"docker", "requests"},
    "world.door": {"aiohttp"},
    "world.local": {"httpx", "huggingface_hub", "psutil", "pynvml", "requests"},
    "world.sim": {"psutil"},
    "cli": {"click", "rich"},
}
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
ABOUT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
DOORS = {
    *("clock", "copies", "disk_models", "door", "engine", "fetcher", "files", "host", "hub", "manager", "own_files"),
    *("ports", "streams", "supervisor"),
}
"""Where a World leads to an effect."""
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
def tree_of(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Return those nodes of a file's syntax tree that a rule here is about."""
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ABOUT)]


def functions_of(path: Path) -> list[Function]:
    """Return the functions of a file, methods and inner ones among them."""
    return [node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


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


def at_run_time(tree: ast.Module) -> set[str]:
    """Return our modules that a module imports when it runs, at once or late (``LazyModule``); none for types alone."""
    found: set[str] = set()
    left: list[ast.AST] = list(tree.body)
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            left += node.orelse
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in inner}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            found |= {one.value for one in node.value.args if called == "LazyModule" and isinstance(one, ast.Constant)}
        elif isinstance(node, ast.If):
            left += [*node.body, *node.orelse]
    return found & MODULES.keys()


def circles(imports: Mapping[str, set[str]]) -> list[str]:
    """Return the modules that import each other round about, and those between two such circles."""
    left = without_ends(imports)
    back = {module: {one for one, found in left.items() if module in found} for module in left}
    return sorted(without_ends(back))


def without_ends(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return what is left when those that import nothing are taken away, as often as there are any."""
    left = {module: found - {module} for module, found in imports.items()}
    while ends := {module for module, found in left.items() if not found}:
        left = {module: found - ends for module, found in left.items() if module not in ends}
    return left


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
    if module.startswith(ALONE):
        ours = {name for name in found if name in MODULES and not name.startswith(ALONE)}
        wrong += [f"{name}, beside the guard's process" for name in ours | outside - SMALL - FOR_TYPES]
    return sorted(wrong)


def late_imports(functions: list[Function]) -> list[str]:
    """Return the functions that import, each with the line."""
    return [
        f"{function.name} imports at line {node.lineno}"
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def too_long(text: str, functions: list[Function]) -> list[str]:
    """Return what of a module is longer than it may be: itself, a function, a signature."""
    lines = text.count("\n")
    wrong = [f"{lines} lines"] if lines > LINES else []
    for function in functions:
        if (function.end_lineno or 0) - function.lineno >= STATEMENTS:
            wrong.append(f"{function.name} is long")
        given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        if len([one for one in given if one.arg not in {"self", "cls"}]) > PARAMETERS:
            wrong.append(f"{function.name} has many parameters")
    return wrong


def reached_doors(tree: ast.Module) -> list[str]:
    """Return the doors of a world that a module uses itself."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in DOORS:
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
            found += [f"world.{node.attr}"] if name == "world" else []
    return found


def test_a_module_imports_only_from_the_rooms_below_it() -> None:
    checked = sorted(set(MODULES) - {"sparkctl.cli", "sparkctl.world"})
    wrong = [f"{module}: {one}" for module in checked for one in wrong_imports(module, imported(MODULES[module]))]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_round_about() -> None:
    assert circles({module: at_run_time(tree_of(path)) for module, path in MODULES.items()}) == []


def test_imports_stand_at_the_top() -> None:
    late = [f"{module}: {one}" for module, path in MODULES.items() for one in late_imports(functions_of(path))]
    assert not late, "\n".join(late)


def test_the_door_imports_nothing_heavy() -> None:
    outside = {name.split(".")[0] for name in imported(MODULES["sparkctl.cli"])}
    assert outside <= {"__future__", "atexit", "click", "gc", "importlib", "io", "sparkctl", "sys", "typing"}


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


def test_a_module_a_function_and_a_signature_are_short() -> None:
    texts = {module: (path.read_text(), functions_of(path)) for module, path in MODULES.items()}
    wrong = [f"{module}: {one}" for module, text in texts.items() for one in too_long(*text)]
    assert not wrong, "\n".join(wrong)


def test_a_command_parses_calls_and_prints() -> None:
    """A use case that grows in a command module is one that no program can call."""
    commands = [path for module, path in MODULES.items() if re.match(r"sparkctl\.cli\.\w+\.\w", module)]
    assert len(commands) > FEW
    lines = {str(path): path.read_text().count("\n") for path in commands}
    assert not {path: number for path, number in lines.items() if number > COMMAND_LINES}


def test_a_command_reaches_no_door_of_the_world() -> None:
    """What writes a file or asks the engine is a use case: the command calls it, and only what is called acts."""
    commands = {module: path for module, path in MODULES.items() if module.startswith("sparkctl.cli")}
    wrong = [f"{module}: {one}" for module, path in commands.items() for one in reached_doors(tree_of(path))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("session.world.files.write(path, text)", ["world.files"]),
        ("world.engine", ["world.engine"]),
        ("ctx.obj.world.ports.clock", ["world.ports"]),
        ("down(session.world, names); out.engine", []),
    ],
)
def test_a_door_that_is_reached_is_found(text: str, found: list[str]) -> None:
    assert reached_doors(ast.parse(text)) == found


@pytest.mark.parametrize(
    ("module", "found"),
    [
        ("sparkctl.memory.pool", {"sparkctl.recipes.recipe"}),
        ("sparkctl.vllm.phases", {"time"}),
        ("sparkctl.planning.ways", {"random"}),
        ("sparkctl.operations.changes", {"docker"}),
        ("sparkctl.world.sim.engine", {"sparkctl.world.local.store"}),
        ("sparkctl.operations.deployed", {"aiohttp"}),
        ("sparkctl.cli.output", {"sparkctl.world.docker.engine"}),
        (f"{ALONE}.lines", {"sparkctl.base.units"}),
        (f"{ALONE}.lines", {"json"}),
    ],
)
def test_a_wrong_import_is_found(module: str, found: set[str]) -> None:
    assert wrong_imports(module, found)


def test_a_circle_of_imports_is_found_and_one_of_types_is_none() -> None:
    found = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"c"}, "e": set()}
    assert circles(found) == ["b", "c"]
    assert circles({**found, "c": set()}) == []
    text = """
from sparkctl.operations import deployed
if TYPE_CHECKING:
    from sparkctl.operations import changes
else:
    models = LazyModule("sparkctl.operations.models")
"""
    assert at_run_time(ast.parse(text)) == {"sparkctl.operations.deployed", "sparkctl.operations.models"}


def test_a_late_import_and_what_is_long_are_found() -> None:
    body = "    pass\n" * STATEMENTS
    text = f"def late():\n    import os\n\n\ndef long({', '.join('abcdefgh')}):\n{body}"
    functions = [node for node in ast.parse(text).body if isinstance(node, Function)]
    assert late_imports(functions) == ["late imports at line 2"]
    assert too_long(text, functions) == ["long is long", "long has many parameters"]
    assert too_long("pass\n" * (LINES + 1), []) == [f"{LINES + 1} lines"]
