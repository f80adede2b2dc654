"""The values that a recipe leaves out and that follow from the rest, each with its origin.

A recipe of a model and an image is whole: its name is its file's, its port follows from the name, the template and the
version from the image. Its context follows later, from the model (``fitted``).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final

from sparkctl.base import document
from sparkctl.base.document import Node
from sparkctl.base.errors import Place, Problem
from sparkctl.base.lazy import regex
from sparkctl.recipes import layers
from sparkctl.vllm import flags

if TYPE_CHECKING:
    from sparkctl.base.document import Document, KeyPath

HUB_BASE: Final = "_hub"
"""The recipe that a hub name extends: its image."""
_HUB_NAME: Final = regex(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_TAGGED: Final = regex(r"(?:^|[-_])v?(0\.\d+(?:\.\d+)?(?:(?:rc|\.post|\.dev)\d+)*)")
"""A release of vLLM in an image's tag; the tags of NVIDIA's images are dates, such as 26.08-py3."""
_OPENAI: Final = regex(r"(?:^|/)vllm-openai(?:$|[:@])")
_FIRST_PORT: Final = 8100
_PORTS: Final = 800


def is_hub_name(name: str) -> bool:
    """Return whether a name may be a repository's: owner/name."""
    return _HUB_NAME.fullmatch(name) is not None and not name.endswith((".yaml", ".yml"))


def service_name(repo: str) -> str:
    """Return what a service of a repository is called."""
    return repo.rpartition("/")[2].lower()


def of_hub(repo: str) -> Document:
    """Return the recipe that a hub name stands for."""
    return document.load(f"extends: {HUB_BASE}\nmodel: {json.dumps(repo)}\n", repo)


def spelled_out(source: Document) -> Document:
    """Return a recipe whose ``model: owner/name`` is written as a map."""
    model = source.root.children.get("model")
    if model is None or not isinstance(model.content, str) or not isinstance(source.root.content, dict):
        return source
    whole = model._replace(content={"repo": model}, text="")
    return source._replace(root=source.root._replace(content={**source.root.content, "model": whole}))


def completed(source: Document, name: str) -> tuple[Document, tuple[Problem, ...]]:
    """Return a recipe with what follows from its ``name`` and its image, and what of that is doubtful."""
    source = spelled_out(source)
    image = source.node(("image",))
    written = image.content if isinstance(image.content, str) else ""
    found: list[tuple[KeyPath, object, str]] = [
        (("serve", "name"), name, "the recipe's name"),
        (("serve", "port"), port_of(name), "follows from the recipe's name"),
        (("template",), _template(written), "follows from the image"),
    ]
    tagged = _TAGGED.search(written.rpartition("/")[2].partition("@")[0].partition(":")[2])
    version = tagged[1] if tagged else str(flags.releases()[-1])
    why = "the image's tag" if tagged else "the newest that is known: the image's tag names none"
    doubts: tuple[Problem, ...] = ()
    if written and not tagged and "vllm" not in source.root.children:
        message = f"which vLLM {written} holds is not written, and its tag does not say it: taken as {version}"
        doubts = (Problem(message, image.key, 'write it: vllm: "0.32"', warning=True),)
    found.append((("vllm",), version, why))
    for path, value, place in found:
        source = with_default(source, path, value, place)
    return source, doubts


def with_default(source: Document, path: KeyPath, value: object, why: str) -> Document:
    """Return a recipe with a value at ``path`` unless one is written there; ``why`` stands as its place."""
    node = source.root
    for depth, key in enumerate(path):
        if not isinstance(node.content, dict) and (depth or node.content is not None):
            return source
        child = node.children.get(key)
        if child is None:
            break
        node = child
    else:
        return source
    place = Place(why, 0, 0)
    text = str(value)
    leaf = Node(value if isinstance(value, str | int) else text, place, place, text)
    for key in reversed(path):
        leaf = Node({str(key): leaf}, place, place)
    return source._replace(root=layers.merge(leaf, source.root))


def port_of(name: str) -> int:
    """Return the port of a service that sets none: the same for a name everywhere, and rarely that of another name."""
    return _FIRST_PORT + int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % _PORTS


def _template(image: str) -> str:
    """Return the template for an image: those of vLLM's own have the server as their entrypoint."""
    return "vllm-openai" if _OPENAI.search(image) else "vllm-serve"
