"""Make a strict JSON Schema of the CRD of LeaderWorkerSet (kubernetes-sigs/lws), for the tests of `export`.

    python scripts/read_lws_schema.py CRD.yaml RELEASE

CRD.yaml is config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml of a release of kubernetes-sigs/lws. The
cluster drops a key that the CRD does not list, so the schema refuses it: what was misspelt would be lost there. Texts
are left out, and parts that stand there several times are written once.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET: Final = (
    Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "kubernetes" / "leaderworkerset.schema.json"
)
ORIGIN: Final = "kubernetes-sigs/lws {release}, config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"
NAMED_FROM: Final = 200
"""Characters from which a part that stands there twice is written once."""


def strict(node: Any) -> Any:  # noqa: ANN401  (a part of a schema)
    """Return a part of the CRD without its texts, that takes no key that it does not list."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {}
    for key, value in node.items():
        if key == "properties":
            found[key] = {name: strict(one) for name, one in value.items()}
        elif key not in {"default", "description"} and not key.startswith("x-kubernetes-"):
            found[key] = strict(value)
    if "properties" in found:
        found["additionalProperties"] = False
    return found


def parts_of(node: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield each part of a schema that has a type, as text."""
    if isinstance(node, dict):
        if "type" in node:
            yield json.dumps(node, sort_keys=True)
        node = list(node.values())
    for one in node if isinstance(node, list) else ():
        yield from parts_of(one)


def sharing(schema: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a schema in which what stands there several times is below ``$defs``."""
    seen = Counter(text for text in parts_of(schema) if len(text) >= NAMED_FROM)
    names = {text: f"s{number}" for number, text in enumerate(text for text, often in seen.items() if often > 1)}
    parts: dict[str, Any] = {}

    def shared(node: Any, *, whole: bool = False) -> Any:  # noqa: ANN401
        if isinstance(node, list):
            return [shared(one) for one in node]
        if not isinstance(node, dict):
            return node
        name = None if whole else names.get(json.dumps(node, sort_keys=True))
        if name is None:
            return {key: shared(one) for key, one in node.items()}
        if name not in parts:
            parts[name] = None
            parts[name] = shared(node, whole=True)
        return {"$ref": f"#/$defs/{name}"}

    return {**shared(schema, whole=True), "$defs": parts}


def main(source: str, release: str) -> None:
    """Write the schema of a CRD."""
    crd = yaml.load(Path(source).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    (version,) = [one for one in crd["spec"]["versions"] if one["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    metadata = {"name": {"type": "string"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}}}
    schema["properties"] |= {
        "apiVersion": {"const": "leaderworkerset.x-k8s.io/v1"},
        "kind": {"const": "LeaderWorkerSet"},
        "metadata": {"type": "object", "properties": metadata, "required": ["name"], "additionalProperties": False},
    }
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    about = f"{ORIGIN.format(release=release)}, made strict by scripts/read_lws_schema.py"
    text = json.dumps({"$comment": about, **sharing(schema)}, separators=(",", ":"), sort_keys=True)
    TARGET.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
