"""Model facts, host profiles and measured starts, checked: what is wrong with a file, and what has no source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base import document
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.base.validation import validate
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.model.geometry import geometry
from sparkctl.memory.pool import HostProfile
from sparkctl.planning.known_starts import KnownStarts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.base.document import Document

KINDS: Final = {"facts": "model facts", "host": "host profile", "measured": "measured starts"}
_OF_FACTS: Final = frozenset(
    {"config", "config-source", "parameters", "loaded", "checkpoints", "multimodal", "shares-cache", "tensors"}
)
_OF_A_HOST: Final = frozenset({"total", "reserve", "in-use"})
_SOURCED: Final = ("total", "in-use", "host-total")


def kind_of(path: Path) -> str | None:
    """Return which kind of file it is by its keys: facts, host, measured; None: a recipe, a stack, or no YAML."""
    try:
        keys = set(map(str, document.read(path).root.children))
    except InputError:
        return None
    if keys & {"image", "services", "extends", "template", "model"}:
        return None
    if "starts" in keys:
        return "measured"
    return "facts" if keys & _OF_FACTS else "host" if keys & _OF_A_HOST else None


def problems(kind: str, path: Path) -> list[Problem]:
    """Return everything that is wrong or doubtful with model facts, a host's profile, or measured starts."""
    try:
        source = document.read(path)
        if kind == "measured":
            validate(source, KnownStarts)
            return []
        if kind == "host":
            return list(_of_host(source, validate(source, HostProfile)))
        return list(_of_facts(source, validate(source, ModelFacts)))
    except ProblemsError as error:
        return error.problems


def _of_host(source: Document, profile: HostProfile) -> Iterator[Problem]:
    sources = profile.sources
    written = {"total": sources.total, "in-use": sources.in_use, "host-total": sources.host_total}
    for name in _SOURCED:
        if name in source.root.children and not written[name]:
            hint = f"sources: {{{name}: where the figure comes from}}"
            yield Problem(f"{name} has no source", source.node((name,)).key, hint, warning=True)


def _of_facts(source: Document, facts: ModelFacts) -> Iterator[Problem]:
    known = [facts.config, facts.parameters, facts.loaded, facts.checkpoints, facts.tensors, facts.shares_cache]
    if not any(known):
        yield Problem(
            "nothing is known of this model", source.root.place, "write config, loaded, checkpoints or parameters"
        )
        return
    place = source.node(("config",)).key
    if not facts.config:
        if not facts.shares_cache:
            hint = "copy the keys of its config.json: sparkctl facts OWNER/NAME does"
            yield Problem("config is missing: no cache can be counted without it", source.root.place, hint)
        return
    if not facts.config_source:
        hint = "config-source: where the numbers of config come from"
        yield Problem("config has no source", place, hint, warning=True)
    try:
        shape = geometry(facts.config)
    except InputError as error:
        yield Problem(error.message, place, error.hint)
        return
    for text in shape.warnings:
        yield Problem(text, place, warning=True)
    if shape.max_context is None:
        hint = "max_position_embeddings is its usual key"
        yield Problem("config does not say the longest context", place, hint, warning=True)
