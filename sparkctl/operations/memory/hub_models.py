"""What the hub says of a model that is not on this host: asked once for each revision, and kept in the state folder."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.bounded import JsonBounds, read_json
from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import MIB
from sparkctl.memory.weights import checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.operations.context import World
    from sparkctl.world import ports
    from sparkctl.world.ports import HubModel
else:
    ports = LazyModule("sparkctl.world.ports")

_BOUNDS: Final = JsonBounds(size=128 * MIB, parts=8_000_000)
"""DeepSeek R1's 4-bit weights, the most known, are 190,000 tensors: 1.5 million values in 20 MB."""
_TENSOR: Final = 4
_LONGEST: Final = 200
"""Characters of a file's name that are kept of a repository and its revision."""


class HubAnswer(NamedTuple):
    """What a repository says of its model, and at which commit."""

    commit: str
    facts: ModelFacts


def facts(world: World, repo: str, revision: str | None) -> ModelFacts:
    """Return what is known of a repository: what the hub said of this revision before, else what it says now.

    Raises:
        InputError: it was not asked before, and refuses or does not answer now.
    """
    found = known(world, repo, revision)
    return found.facts if found is not None else asked(world, repo, revision).facts


def kept(world: World, repo: str, revision: str | None) -> ModelFacts:
    """Return what the hub said of a revision before; nobody is asked.

    Raises:
        InputError: it was not asked.
    """
    found = known(world, repo, revision)
    if found is None:
        message = f"nothing is known of {repo} to plan with: the hub was not asked yet"
        raise InputError(message, hint=f"sparkctl facts {repo}")
    return found.facts


def known(world: World, repo: str, revision: str | None) -> HubAnswer | None:
    """Return what the hub said of a revision before; None where it was not asked, or what is kept is damaged."""
    content = world.files.content(_file(world, repo, revision))
    if content is None:
        return None
    try:
        model = decoded(content)
        return None if model is None else _described(repo, model)
    except InputError:
        return None


def asked(world: World, repo: str, revision: str | None) -> HubAnswer:
    """Ask the hub, and keep what it says.

    Raises:
        InputError: it refuses or does not answer, or what it says is not what it claims.
    """
    world.report.say(f"reading config.json and the safetensors headers of {repo} on the hub")
    model = world.hub.described(repo, revision)
    described = _described(repo, model)
    try:
        world.files.write(_file(world, repo, revision), _text(model), mode=0o600)
    except InputError as error:
        world.report.warn(f"what the hub says of {repo} cannot be kept for the next time: {error.message}")
    return described


def _described(repo: str, model: HubModel) -> HubAnswer:
    return HubAnswer(model.commit, checkpoint.facts_of_hub(repo, model.commit, model.config, model.tensors))


def _file(world: World, repo: str, revision: str | None) -> Path:
    name = f"{repo}@{revision or 'main'}".replace("/", "--")[:_LONGEST]
    return world.operator.state / "hub" / f"{name}.json"


def _text(model: HubModel) -> bytes:
    config = base64.b64encode(model.config).decode()
    return json.dumps({"commit": model.commit, "config": config, "tensors": model.tensors}).encode()


def decoded(content: bytes) -> HubModel | None:
    """Return what was kept, None where it is damaged.

    Raises:
        InputError: it is no JSON, or beyond the bounds.
    """
    value = read_json(content, _BOUNDS)
    fields = value if isinstance(value, dict) else {}
    commit, config, tensors = fields.get("commit"), fields.get("config"), fields.get("tensors")
    if not isinstance(commit, str) or not isinstance(config, str) or not isinstance(tensors, list):
        return None
    rows = []
    for one in tensors:
        if not (isinstance(one, list) and len(one) == _TENSOR and isinstance(one[2], list)):
            return None
        name, dtype, shape, size = one
        whole = isinstance(size, int) and all(isinstance(number, int) for number in shape)
        if not (isinstance(name, str) and isinstance(dtype, str) and whole):
            return None
        rows.append((name, dtype, tuple(shape), size))
    try:
        return ports.HubModel(commit, base64.b64decode(config, validate=True), tuple(rows))
    except ValueError:
        return None
