"""Who changes something, of the modules that decide and those that act: the table of docs/architecture.md names all."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.support.parsed import MODULES, imported, nodes_of, text_of
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable

CHANGES = {
    "bench": {"unpack"},
    "builder": {"build", "discard"},
    "carrier": {"load", "tag"},
    "copies": {"begin", "finish", "link", "push", "remove", "writing"},
    "engine": {"create", "pull", "remove", "rename", "start", "stop"},
    "files": {"create", "make_folder", "remove", "sweep", "write", "write_folder"},
    "host": {"drop_caches"},
    "hub": {"download"},
    "manager": {"ask"},
    "products": {"hand_over", "make", "publish", "remove", "rename"},
    "records": {"add", "add_bounded", "forget"},
    "store": {"add", "add_bounded", "forget"},
    "throwaway": {"sweep", "throwaway"},
}
"""By the word that a port is called by, its methods that change something."""
BY_THEMSELVES = {"operations.guard.alone", "operations.jobs.installer"}
"""Processes of their own, which have no ports: the guard, and what installs libraries in a job's image."""
ADAPTERS = ("sparkctl.world", "sparkctl.operations.guard.alone")


def changed(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the calls that change something: ``engine.stop`` for ``self._ports.engine.stop(...)``, for example."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            port = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_").removeprefix("own_")
            if node.func.attr in CHANGES.get(port, ()):
                found.add(f"{port}.{node.func.attr}")
    return found


def acting() -> dict[str, set[str]]:
    """Return the modules that change something, each with its calls that do."""
    verbs = re.compile(rf"\.({'|'.join(sorted(set().union(*CHANGES.values())))})\(")
    asked = {name: path for name, path in MODULES.items() if not name.startswith(ADAPTERS)}
    found = {name: changed(nodes_of(path)) for name, path in asked.items() if verbs.search(text_of(path))}
    return {name.removeprefix("sparkctl."): calls for name, calls in found.items() if calls}


def told() -> list[str]:
    """Return the modules that the table names; ``.kept`` lies where the row's first lies."""
    page = (REPOSITORY / "docs/architecture.md").read_text()
    table = page.partition("## Who acts")[2].partition("Everything else reads")[0]
    found = []
    for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        names = re.findall(r"`([\w.]+)`", row)
        folder = names[0].rpartition(".")[0]
        found += [folder + name if name.startswith(".") else name for name in names]
    return found


def test_the_table_names_all_who_act_and_each_once() -> None:
    names = told()
    assert len(names) == len(set(names))
    assert not {name: calls for name, calls in acting().items() if name not in names}


def test_who_is_in_the_table_acts_or_calls_one_who_does() -> None:
    names, acts = set(told()), acting()
    assert not {name for name in names if f"sparkctl.{name}" not in MODULES}
    called = {name: imported(nodes_of(MODULES[f"sparkctl.{name}"])) for name in names - acts.keys()}
    idle = {name for name, calls in called.items() if not calls & {f"sparkctl.{one}" for one in names}}
    assert idle == BY_THEMSELVES


def test_a_call_that_changes_something_is_found() -> None:
    text = """
self._ports.engine.stop(container.id, grace_s=3)
world.own_files.write(path, content, mode=0o644)
with throwaway.throwaway(engine, spec, "check", me):
    match.start()
"""
    assert changed(ast.walk(ast.parse(text))) == {"engine.stop", "files.write", "throwaway.throwaway"}
