"""The rooms of the package: who may import whom, and how large a room may be.

Every module is covered: a module that lies in no room of the table fails. What a room may import of third parties is on
a list of its own. So is what it may import of the standard library, but for the adapters: no clock, no socket and no
thread comes into a pure room unseen. What a module imports late, by its name, counts as well. A rule is one test, which
names every module that breaks it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.support.parsed import MODULES, PACKAGE, imported, nodes_of, text_of, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

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
    "sparkctl.world": set(),
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
PLAIN = {
    "__future__", "ast", "base64", "bisect", "collections", "collections.abc", "contextlib", "dataclasses", "decimal",
    "difflib", "enum", "fnmatch", "functools", "hashlib", "heapq", "html", "importlib.resources", "ipaddress",
    "itertools", "json", "json.decoder", "math", "operator", "pathlib", "posixpath", "re", "shlex", "string", "types",
    "typing", "urllib.parse",
}  # fmt: skip
"""What a pure module may import of the standard library: no clock, process, network, thread or randomness."""
STANDARD: dict[str, set[str]] = {
    "sparkctl": {"importlib"},
    "cli": {
        "atexit", "datetime", "gc", "importlib", "importlib.metadata", "io", "os", "select", "signal", "sys",
        "textwrap", "traceback", "unicodedata",
    },
    "mods": {"io", "os", "stat", "tarfile"},
    "operations": {
        "asyncio", "codecs", "concurrent.futures", "copy", "datetime", "hmac", "importlib.metadata", "io", "os",
        "platform", "pwd", "queue", "random", "secrets", "select", "stat", "statistics", "struct", "subprocess",
        "sys", "threading", "time", "traceback", "uuid", "warnings", "wave", "zlib",
    },
}  # fmt: skip
"""What the modules of other rooms may import beside that; the adapters (``world.…``) may import all of it."""
THEIRS = {
    "sparkctl.base.lazy": {"importlib"},
    "sparkctl.planning.measured": {"datetime"},
    "sparkctl.recipes.template": {"traceback"},
    "sparkctl.vllm.boot_log": {"datetime", "warnings"},
    "sparkctl.operations.gateway.loop": {"gc"},
    "sparkctl.operations.jobs.installer": {"importlib.util"},
}
"""What single modules may import beside that: the date of a time that they are given, the line of a template."""
ADAPTERS = {"world.docker", "world.door", "world.local", "world.opening", "world.remote", "world.sim"}
THIRD = {
    "base": {"pydantic", "pydantic_core", "yaml"},
    "cli": {"click", "rich"},
    "memory": {"packaging", "pydantic"},
    "mods": {"packaging", "pydantic", "yaml"},
    "operations": {
        "jinja2", "jsonschema", "packaging", "platformdirs", "prometheus_client", "pydantic", "referencing", "yaml",
    },
    "planning": {"packaging", "pydantic"},
    "recipes": {"jinja2", "jsonschema", "packaging", "pydantic", "referencing"},
    "vllm": {"h11", "packaging", "prometheus_client", "pydantic"},
    "world.docker": {"docker", "pydantic", "requests", "urllib3"},
    "world.door": {"aiohttp"},
    "world.labels": {"pydantic"},
    "world.local": {"h11", "httpx", "huggingface_hub", "psutil", "pynvml"},
    "world.sim": {"pydantic", "yaml"},
}  # fmt: skip
"""What a room may import of third parties; a room that is not named, nothing."""
ALONE = "sparkctl.operations.guard.alone"
"""The guard's process: it imports nothing of ours beside itself, and of the standard library what is small."""
SMALL = {
    "__future__", "_json", "_signal", "_thread", "ctypes", "fcntl", "gc", "mmap", "os", "select", "stat", "struct",
    "sys", "time",
}  # fmt: skip
FOR_TYPES = {"collections.abc", "typing"}
"""What it may name in types alone; the test of its start sees that it is not imported."""
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
ABOUT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Call)
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
def nodes(path: Path) -> list[ast.AST]:
    """Return those nodes of a file's syntax tree that a rule here is about."""
    return [node for node in nodes_of(path) if isinstance(node, ABOUT)]


def functions_of(path: Path) -> list[Function]:
    """Return the functions of a file, methods and inner ones among them."""
    return [node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


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
    wrong += [f"{name}, which is no module" for name in found - MODULES.keys() if name.startswith("sparkctl.")]
    outside = {name for name in found if name.partition(".")[0] != "sparkctl"}
    standard = {name for name in outside if name.partition(".")[0] in sys.stdlib_module_names}
    may = THIRD.get(room, set())
    wrong += [f"{name}, of third parties" for name in outside - standard if name.partition(".")[0] not in may]
    if module.startswith(ALONE):
        ours = {name for name in found if name in MODULES and not name.startswith(ALONE)}
        wrong += [f"{name}, beside the guard's process" for name in ours | outside - SMALL - FOR_TYPES]
    elif room not in ADAPTERS:
        may = PLAIN | STANDARD.get(room, set()) | THEIRS.get(module, set())
        wrong += [f"{name}, which is not on the list of {room}" for name in standard - may]
    return sorted(wrong)


def late_imports(nodes: Iterable[ast.AST]) -> list[str]:
    """Return the functions that import, each with the line."""
    nodes = list(nodes)
    lines = [node.lineno for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return [
        f"{function.name} imports at line {line}"
        for function in nodes
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for line in lines
        if function.lineno <= line <= (function.end_lineno or 0)
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
    found = {module: imported(nodes(path)) for module, path in sorted(MODULES.items())}
    wrong = [f"{module}: {one}" for module, names in found.items() for one in wrong_imports(module, names)]
    assert not wrong, "\n".join(wrong)


def test_who_reads_a_date_asks_no_clock() -> None:
    """A date of a time that is given is pure; what time it is now is not."""
    asked = [
        f"{module}:{node.lineno}"
        for module, names in THEIRS.items()
        if "datetime" in names
        for node in nodes(MODULES[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"now", "today", "utcnow"}
    ]
    assert asked == []


def test_no_modules_import_each_other_round_about() -> None:
    assert circles({module: at_run_time(tree_of(path)) for module, path in MODULES.items()}) == []


def test_imports_stand_at_the_top() -> None:
    late = [f"{module}: {one}" for module, path in MODULES.items() for one in late_imports(nodes(path))]
    assert not late, "\n".join(late)


def test_the_door_imports_nothing_heavy() -> None:
    outside = {name.split(".")[0] for name in imported(nodes(MODULES["sparkctl.cli"]))}
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
    texts = {module: (text_of(path), functions_of(path)) for module, path in MODULES.items()}
    wrong = [f"{module}: {one}" for module, text in texts.items() for one in too_long(*text)]
    assert not wrong, "\n".join(wrong)


def test_a_command_parses_calls_and_prints() -> None:
    """A use case that grows in a command module is one that no program can call."""
    commands = [path for module, path in MODULES.items() if re.match(r"sparkctl\.cli\.\w+\.\w", module)]
    assert len(commands) > FEW
    lines = {str(path): text_of(path).count("\n") for path in commands}
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
        ("sparkctl.planning.plan", {"paramiko"}),
        ("sparkctl.planning.plan", {"h11"}),
        ("sparkctl.planning.plan", {"jinja2"}),
        ("sparkctl.planning.plan", {"datetime"}),
        ("sparkctl.planning.plan", {"importlib"}),
        ("sparkctl.memory.pool", {"urllib.request"}),
        ("sparkctl.memory.pool", {"socketio"}),
        ("sparkctl.mods.fetch", {"sqlite3"}),
        ("sparkctl.mods.fetch", {"subprocess"}),
        ("sparkctl.world", {"sparkctl.base.units"}),
        ("sparkctl.world", {"os"}),
        ("sparkctl.cli", {"docker"}),
        ("sparkctl.cli", {"sparkctl.world.local.store"}),
        ("sparkctl.base.units", {"sparkctl.no_such_module"}),
        ("sparkctl.base.units", {".yaml_reader"}),
        ("sparkctl.operations.changes", {"docker"}),
        ("sparkctl.operations.changes", {"socket"}),
        ("sparkctl.world.sim.engine", {"sparkctl.world.local.store"}),
        ("sparkctl.operations.deployed", {"aiohttp"}),
        ("sparkctl.cli.output", {"sparkctl.world.docker.engine"}),
        (f"{ALONE}.lines", {"sparkctl.base.units"}),
        (f"{ALONE}.lines", {"json"}),
    ],
)
def test_a_wrong_import_is_found(module: str, found: set[str]) -> None:
    assert wrong_imports(module, found)


def test_every_way_to_import_is_seen() -> None:
    text = """
import os.path
from urllib import request
from sparkctl.world import labels
from . import units
late = LazyModule("paramiko")
at_once = importlib.import_module("socketio")
"""
    found = {"os.path", "urllib.request", "sparkctl.world.labels", ".", "paramiko", "socketio"}
    assert imported(ast.walk(ast.parse(text))) == found


def test_the_lists_name_only_what_is_imported() -> None:
    """What nobody imports any more leaves its list, or the list would forbid less with the time."""
    used = defaultdict(set)
    for module, path in MODULES.items():
        used[room_of(module)] |= imported(nodes(path))
        used[module] |= imported(nodes(path))
    first = {room: {name.partition(".")[0] for name in names} for room, names in used.items()}
    listed = {**STANDARD, **THEIRS}
    assert not {room: names - first[room] for room, names in THIRD.items() if names - first[room]}
    assert not {place: names - used[place] for place, names in listed.items() if names - used[place]}
    assert set().union(*used.values()) >= PLAIN


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
    tree = ast.parse(text)
    functions = [node for node in tree.body if isinstance(node, Function)]
    assert late_imports(ast.walk(tree)) == ["late imports at line 2"]
    assert too_long(text, functions) == ["long is long", "long has many parameters"]
    assert too_long("pass\n" * (LINES + 1), []) == [f"{LINES + 1} lines"]
