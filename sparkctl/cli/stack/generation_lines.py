"""What a person reads of a generation: how services differ, and what was resolved of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.cli.stack import generation_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.stack.generation_changes import ServiceChange
    from sparkctl.planning.box.generation import KeptService


def changed(changes: Sequence[ServiceChange]) -> Iterator[str]:
    """Yield a line for each service that differs, with how it does below it."""
    for change in changes:
        yield f"{change.service}: {change.kind}"
        yield from (f"  {line}" for line in change.lines)


def service(one: KeptService) -> list[tuple[str, str]]:
    """Return what was resolved of a service, each value with its name."""
    lines = [
        ("recipe", one.recipe),
        ("laid over", " ".join(generation_json.overrides(one)) or "nothing"),
        ("starts", f"{one.declared.start}, priority {one.declared.priority}"),
        ("image", one.image),
        ("image id", one.image_id or "not known: it was not here"),
        *(("digest", digest) for digest in one.image_digests),
        ("vLLM", one.vllm),
        ("model", _model(one.model, one.revision)),
        *([("draft", _model(one.draft, one.draft_revision))] if one.draft else []),
        *((f"mod {mod.mod}", f"{mod.target} md5 {mod.md5}") for mod in one.mods),
    ]
    return [*lines, ("secrets", ", ".join(one.secrets))] if one.secrets else lines


def _model(repo: str, revision: str | None) -> str:
    return f"{repo} at {revision}" if revision else repo
