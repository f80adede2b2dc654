"""The directions of the imports: decisions know no effects, adapters know no decisions, and nothing knows the CLI."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sparkctl"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
EFFECTS = {"click", "docker", "httpx", "huggingface_hub", "psutil", "pynvml", "requests", "rich", "socket"}
EFFECTS |= {"subprocess", "time", "urllib", "threading"}
VALUES = {"urllib.parse"}
"""What of those is pure."""
BELOW = {
    "sparkctl.errors": set(),
    "sparkctl.units": {"errors"},
    "sparkctl.document": {"errors"},
    "sparkctl.container": set(),
    "sparkctl.ports": {"benching", "container", "measurements", "streams"},
    "sparkctl.streams": set(),
    "sparkctl.benching": {"streams"},
    "sparkctl.roofline": {"memory"},
    "sparkctl.diagnosis": {"ports"},
    "sparkctl.sandbox": {"errors", "spelling"},
    "sparkctl.render": {"errors", "sandbox", "spelling"},
    "sparkctl.parts": {"errors", "units"},
    "sparkctl.grammar": {"container", "errors", "grammar_options", "grammar_resources", "grammar_values", "spelling"},
    "sparkctl.metrics": set(),
    "sparkctl.acceptance": {"metrics"},
    "sparkctl.phases": set(),
    "sparkctl.readiness": {"acceptance", "metrics", "phases", "ports", "units"},
    "sparkctl.admission": {"memory"},
    "sparkctl.refusal": {"admission", "memory", "units"},
    "sparkctl.levers": {"admission"},
    "sparkctl.ways": {"admission", "levers", "memory", "units"},
    "sparkctl.plan": {"admission", "memory", "refusal", "units", "ways"},
}
"""What the lowest rooms may import of ours; the others follow from the rules below."""


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, those for types among them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module.startswith("sparkctl")}
    return found


def is_core(module: str) -> bool:
    return not module.startswith(("sparkctl.cli", "sparkctl.adapters", "sparkctl.__main__"))


@pytest.mark.parametrize("module", sorted(filter(is_core, MODULES)))
def test_the_core_imports_no_effects(module: str) -> None:
    found = imports(MODULES[module])
    assert not {name.split(".")[0] for name in found - VALUES} & EFFECTS
    assert not {name for name in found if name.startswith(("sparkctl.adapters", "sparkctl.cli"))}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("sparkctl.adapters")))
def test_adapters_import_no_decisions(module: str) -> None:
    decisions = (
        "sparkctl.memory",
        "sparkctl.admission",
        "sparkctl.plan",
        "sparkctl.controller",
        "sparkctl.starting",
        "sparkctl.cli",
    )
    assert not {name for name in imports(MODULES[module]) if name.startswith(decisions)}


@pytest.mark.parametrize("module", sorted(BELOW))
def test_the_lowest_rooms_import_only_what_lies_below_them(module: str) -> None:
    ours = {name.split(".")[1] for name in imports(MODULES[module]) if name.startswith("sparkctl.")}
    assert ours <= BELOW[module]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_stand_at_the_top(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not inner, f"{node.name} imports at line {inner[0].lineno}"


def test_the_door_imports_nothing_heavy() -> None:
    outside = {name.split(".")[0] for name in imports(MODULES["sparkctl.cli"])}
    assert outside <= {"__future__", "click", "importlib", "os", "sparkctl", "sys", "typing"}
