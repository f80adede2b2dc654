"""The server that checks are asked of, by its recipe, its labels and its command; and what it cannot be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.operations.checks.check import modalities
from sparkctl.recipes.sizing import memory_key
from sparkctl.recipes.sizing.memory_settings import open_inputs
from sparkctl.vllm import kinds
from sparkctl.vllm.kinds import ServerKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.operations.checks.check import Check
    from sparkctl.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True)
class AskedServer:
    """The server that is checked. ``takes`` is what its model reads beside text; ``key`` is never shown.

    ``context`` is in tokens, None where it is not known; ``chat`` False: a base model. ``thinks``: its model thinks
    before it answers. ``certificate`` is the file with the one that it shows, None: any.
    """

    service: str
    url: str
    served_name: str
    context: int | None
    chat: bool
    tools: bool
    takes: frozenset[str]
    key: str | None = field(default=None, repr=False)
    kind: ServerKind = ServerKind.GENERATE
    thinks: bool = False
    certificate: str | None = None


class Reached(NamedTuple):
    """Where a service is reached: its name, address, the operator's key, and the file with its certificate."""

    service: str
    url: str
    key: str | None
    certificate: str | None = None


def subject(recipe: Recipe, facts: ModelFacts | None, at: Reached) -> AskedServer:
    """Return what a recipe says of its server; ``facts`` None: nothing is known of what its model takes."""
    return AskedServer(
        service=at.service,
        url=at.url,
        served_name=recipe.serve.name,
        context=recipe.limits.context,
        chat=recipe.model.chat,
        tools=bool(recipe.args.get("enable-auto-tool-choice")),
        takes=frozenset(open_inputs(recipe, facts)) if facts is not None else frozenset(),
        key=at.key,
        kind=kinds.kind_of(recipe.args, {} if facts is None else facts.config),
        thinks=kinds.thinks(recipe.args),
        certificate=at.certificate,
    )


def stranger(at: Reached, served_name: str, command: Sequence[str]) -> AskedServer:
    """Return the server of a service whose recipe is gone, by its command: what nobody declared is not asked of it."""
    flags = memory_key.serve_flags(command)
    return AskedServer(
        at.service,
        at.url,
        served_name,
        context=None,
        chat=True,
        tools=False,
        takes=frozenset(),
        key=at.key,
        kind=kinds.kind_of(flags, {}),
        thinks=kinds.thinks(flags),
        certificate=at.certificate,
    )


def for_kind(check: Check, server: AskedServer) -> bool:
    """Return whether a check is for this kind of server."""
    return all(request.kind is server.kind for request in check.requests)


def skipped(check: Check, server: AskedServer) -> str | None:
    """Return why a check cannot be asked of a server, or None: it can."""
    if not for_kind(check, server):
        other = next(request.kind for request in check.requests if request.kind is not server.kind)
        return f"it {server.kind.does}, and the check is for one that {other.does}"
    if (
        server.kind is ServerKind.GENERATE
        and not server.chat
        and all(request.completion is None for request in check.requests)
    ):
        return "a base model, and the check has no completion"
    for kind in modalities(check):
        if kind not in server.takes:
            return f"the model takes no {kind}, or the recipe turns it off"
    if any(request.tool for request in check.requests) and not server.tools:
        return "the recipe does not enable tools (enable-auto-tool-choice)"
    # A token is at least one byte: that many certainly fit.
    writes = server.kind is ServerKind.GENERATE
    longest = max((request.max_tokens if writes else 0) + request.bytes for request in check.requests)
    if server.context is not None and longest > server.context:
        return f"needs up to {longest} tokens of context, and the recipe has {server.context}"
    return None
