"""The parsers of tool calls and of reasoning for a model, chosen by its type and its chat template. Pure."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.vllm.data import data_files
from sparkctl.vllm.registry.by_release import REASONING, TOOLS, has_parser

if TYPE_CHECKING:
    from packaging.version import Version

_SECTIONS: Final = {TOOLS: "tool", REASONING: "reasoning"}
_ASKS_FOR_TOOLS: Final = re.compile(r"\btools\b")
_THINKS: Final = re.compile(r"think", re.IGNORECASE)
LONGEST: Final = 1_000_000
"""How many characters of a chat template are searched: the longest known has 30,000."""


class KnownParser(NamedTuple):
    """A parser, the model types that it is for, texts in their chat templates, and the source."""

    parser: str
    types: frozenset[str]
    mark: re.Pattern[str] | None
    source: str


class ChosenParser(NamedTuple):
    """The parser for a model (None: none), and why. ``guessed``: its type and its template do not both confirm it."""

    name: str | None
    why: str
    source: str = ""
    guessed: bool = False


def chosen(kind: str, model_type: str, template: str | None, version: Version) -> ChosenParser:
    """Return the parser of a kind (``TOOLS`` or ``REASONING``) for a model served by a release.

    ``template`` is the model's chat template, None if it was not read, "" if the model has none.
    """
    typed = [one for one in _known(kind) if model_type in one.types]
    if template is None:
        return _by_type(kind, typed, model_type, version)
    if not template:
        return ChosenParser(None, "it has no chat template")
    return _by_template(kind, typed, model_type, template[:LONGEST], version)


def _by_type(kind: str, typed: list[KnownParser], model_type: str, version: Version) -> ChosenParser:
    if not typed:
        return ChosenParser(None, f"no parser is known for the model type {model_type}")
    why = f"goes with the model type {model_type}; its chat template was not read"
    return _in(kind, typed[0], version, why, guessed=True)


def _by_template(kind: str, typed: list[KnownParser], model_type: str, template: str, version: Version) -> ChosenParser:
    marked = [one for one in _known(kind) if one.mark is not None and one.mark.search(template)]
    spoken = (_ASKS_FOR_TOOLS if kind == TOOLS else _THINKS).search(template) is not None
    if not spoken and not any(one in marked for one in typed):
        what = "offers no tools" if kind == TOOLS else "speaks of no thoughts"
        return ChosenParser(None, f"its chat template {what}")
    both = next((one for one in typed if one.mark is None or one in marked), None)
    if both is not None:
        why = f"goes with the model type {model_type}"
        return _in(kind, both, version, f"{why}, and its chat template writes so" if both.mark else why, guessed=False)
    if marked:
        return _in(kind, marked[0], version, "its chat template writes so", guessed=True)
    return ChosenParser(None, f"what its chat template writes is not known, nor a parser for {model_type}")


def _in(kind: str, one: KnownParser, version: Version, why: str, *, guessed: bool) -> ChosenParser:
    if not has_parser(kind, one.parser, version):
        return ChosenParser(None, f"{one.parser} {why}, and vLLM {version} has no such parser", one.source)
    return ChosenParser(one.parser, why, one.source, guessed)


@cache
def _known(kind: str) -> tuple[KnownParser, ...]:
    return tuple(
        KnownParser(
            one["parser"],
            frozenset(one["types"]),
            re.compile(one["mark"]) if "mark" in one else None,
            one["source"],
        )
        for one in data_files.values("model-parsers.yaml")[_SECTIONS[kind]]
    )
