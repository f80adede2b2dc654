"""The generations of `history` as values: without the values of variables that may be secrets."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from sparkctl.base import document
from sparkctl.base.errors import InputError
from sparkctl.base.shown import HIDDEN, is_plain, may_be_secret
from sparkctl.operations import secrets
from sparkctl.world.docker_run import grammar
from sparkctl.world.labels import PREFIX

if TYPE_CHECKING:
    from sparkctl.operations.stack.generation_changes import ServiceChange
    from sparkctl.operations.stack.history import GenerationDifference, PastApply
    from sparkctl.planning.box.generation import KeptService


def row(one: PastApply) -> dict[str, object]:
    """Return a generation in one line."""
    of = one.generation
    return {
        "generation": of.number,
        "at": of.at,
        "who": of.who,
        "stack": of.stack,
        "file": of.file,
        "outcome": one.outcome,
        "why": one.why,
        "restores": of.restores,
        "removed": list(one.removed),
        "changes": [change(each) for each in one.changes],
    }


def whole(one: PastApply) -> dict[str, object]:
    """Return a generation with all that was resolved."""
    of = one.generation
    host = {"reserve_bytes": of.reserve_bytes, "act_bytes": of.act_bytes, "floor_bytes": of.floor_bytes}
    return {**row(one), "host": host, "services": [_service(each) for each in of.services]}


def difference(one: GenerationDifference) -> dict[str, object]:
    """Return how two generations differ."""
    services = [change(each) for each in one.services]
    return {"old": one.old.number, "new": one.new.number, "host": list(one.host), "services": services}


def change(one: ServiceChange) -> dict[str, object]:
    """Return how a service differs."""
    return {"service": one.service, "kind": one.kind, "lines": list(one.lines)}


def _service(one: KeptService) -> dict[str, object]:
    return {
        "service": one.name,
        "recipe": one.recipe,
        "overrides": overrides(one),
        "declared": asdict(one.declared),
        "text": _values(one.text),
        "words": words(one),
        "digest": one.digest,
        "image": {"reference": one.image, "id": one.image_id or None, "digests": list(one.image_digests)},
        "vllm": one.vllm,
        "model": {"repo": one.model, "revision": one.revision},
        "draft": {"repo": one.draft, "revision": one.draft_revision} if one.draft else None,
        "mods": [asdict(mod) for mod in one.mods],
        "secrets": list(one.secrets),
    }


def overrides(one: KeptService) -> list[str]:
    """Return what was laid over the recipe, without values that may be secrets."""
    return [secrets.shown(each) for each in one.overrides]


def words(one: KeptService) -> list[str]:
    """Return the kept command to be read: without sparkctl's own labels, and without values that may be secrets.

    A command that this sparkctl cannot read is replaced by a message.
    """
    try:
        spec = grammar.parse(one.words)
    except InputError as error:
        return [f"(cannot be read: {error.message})"]
    env = tuple((name, None if value is None else _shown(name, value)) for name, value in spec.env)
    labels = tuple(pair for pair in spec.labels if not pair[0].startswith(PREFIX))
    return grammar.words(replace(spec, env=env, labels=labels))


def _shown(name: str, value: str) -> str:
    return HIDDEN if may_be_secret(name) and not is_plain(value) else value


def _values(text: str) -> object:
    """Return the recipe's values; None where this sparkctl cannot read them."""
    try:
        values = document.load(text, "a kept recipe").value
    except InputError:
        return None
    if isinstance(values, dict) and isinstance(values.get("env"), dict):
        values["env"] = {name: _shown(str(name), str(value)) for name, value in values["env"].items()}
    return values
