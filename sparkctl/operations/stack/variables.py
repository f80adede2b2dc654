"""Variables that a recipe writes out and whose values may be secrets: a generation keeps their names alone.

A password in an address, or what has the name of a key: ``render`` shows it, for the recipe says it; the store of
generations is another file, and outlives the recipe. When the service is brought back, the value is what runs of it or
its recipe has; by the digest of the kept command it is known whether that is the very one.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.base import document
from sparkctl.base.errors import InputError
from sparkctl.base.shown import HIDDEN, Boundary, is_plain, sounds_secret
from sparkctl.base.yaml_nodes import text_of
from sparkctl.operations import deployed
from sparkctl.recipes.host_side import caches
from sparkctl.world import labels
from sparkctl.world.docker_run import grammar
from sparkctl.world.labels import LABEL_LAID_OVER, LABEL_SPEC, ServiceLabels

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.planning.box.generation import KeptService


def without_values(kept: KeptService, secrets: Collection[str]) -> KeptService:
    """Return a kept service without the values of variables that may be secrets; ``secrets`` are known values."""
    env = grammar.parse(kept.words).env
    values = {name: value for name, value in env if value is not None and _may_be_secret(name, value, secrets)}
    if not values:
        return kept
    hidden = dict.fromkeys(values, HIDDEN)
    overrides = tuple(_hidden(override, values) for override in kept.overrides)
    words = _with_overrides(_with_values(kept.words, values, hidden), overrides)
    return replace(kept, words=words, overrides=overrides, text=_with_env(kept.text, hidden))


def _may_be_secret(name: str, value: str, secrets: Collection[str]) -> bool:
    """Return whether a value is not kept; nothing else of the environment has a part in it, so that all agree."""
    if is_plain(value):
        return False
    return sounds_secret(name) or Boundary(secrets).hidden(value) != value


def _hidden(override: str, values: Mapping[str, str]) -> str:
    """Return PATH=VALUE without its value where it sets one of the variables."""
    path, _, text = override.partition("=")
    first, _, name = path.strip().partition(".")
    if first != "env":
        return override
    if name:
        return f"{path}={HIDDEN}" if name in values else override
    laid = _map(text)
    return (
        override if laid is None else f"{path}={_json({key: HIDDEN if key in values else laid[key] for key in laid})}"
    )


def names(kept: KeptService) -> list[str]:
    """Return the variables whose values are not kept.

    Raises:
        InputError: its words are no command that this sparkctl reads.
    """
    try:
        env = grammar.parse(kept.words).env
    except InputError as error:
        hint = "it is damaged, or another sparkctl kept it: sparkctl apply STACK keeps what the stack declares now"
        message = f"the command that was kept of {kept.name} cannot be read: {error.message}"
        raise InputError(message, hint=hint) from None
    return [name for name, value in env if value == HIDDEN]


def with_values(world: World, kept: KeptService) -> KeptService:
    """Return a kept service with the values of its variables, those with which it ran where these can still be had.

    Where another value stands in their place now, that is taken and told, and the digest is that of the new command.

    Raises:
        InputError: neither what runs nor the recipe has a value.
    """
    wanted = names(kept)
    if not wanted:
        return kept
    found: list[KeptService] = []
    for source in _sources(world, kept):
        if all(name in source for name in wanted):
            filled = _filled(kept, {name: source[name] for name in wanted})
            if filled.digest == kept.digest:
                return filled
            found.append(filled)
    if not found:
        message = f"{kept.name}: the value of {', '.join(wanted)} is not kept, for it may be a secret, and neither what"
        hint = f"write secrets: [{', '.join(wanted)}] in the recipe, and give the values in secrets.env"
        raise InputError(f"{message} runs nor its recipe {kept.recipe} has it now", hint=hint)
    told = f"{kept.name}: the value of {', '.join(wanted)} was not kept, for it may be a secret"
    world.report.warn(f"{told}; it has changed since, and what its recipe or what runs has now is taken")
    return found[-1]


def _sources(world: World, kept: KeptService) -> Iterator[Mapping[str, str]]:
    """Yield where values may come from: what runs, the recipe, and last the stack's service as it is declared now."""
    there = deployed.find(world.engine, kept.name)
    if there is not None:
        yield dict(there.env)
    laid = labels.read(dict(grammar.parse(kept.words).labels)).laid_over
    known = [override for override in kept.overrides if HIDDEN not in override]
    with suppress(InputError):
        yield _texts(world.catalog.recipe(kept.recipe, known).recipe.env)
    if laid is not None and laid.stack:
        with suppress(InputError):
            for member in world.catalog.stack(laid.stack).members:
                if member.service == kept.name:
                    yield _texts(world.catalog.recipe(member.recipe, member.overrides).recipe.env)


def _texts(env: Mapping[str, object]) -> dict[str, str]:
    return {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in env.items()}


def _filled(kept: KeptService, values: Mapping[str, str]) -> KeptService:
    text = _with_env(kept.text, values)
    env = _env(text)
    overrides = tuple(_shown_again(override, env) for override in kept.overrides)
    words = _with_overrides(_with_values(kept.words, dict.fromkeys(values, HIDDEN), values), overrides)
    spec = grammar.parse(words)
    digest = caches.digest_of(spec, labels.read(dict(spec.labels)).laid_over)
    words = tuple(f"{LABEL_SPEC}={digest}" if word == f"{LABEL_SPEC}={kept.digest}" else word for word in words)
    return replace(kept, words=words, overrides=overrides, text=text, digest=digest)


def _shown_again(override: str, env: Mapping[str, object]) -> str:
    """Return PATH=VALUE with the values of variables that were not kept."""
    path, _, text = override.partition("=")
    first, _, name = path.strip().partition(".")
    if first != "env" or HIDDEN not in text:
        return override
    if name:
        return f"{path}={_json(env.get(name, HIDDEN))}"
    laid = _map(text) or {}
    return f"{path}={_json({key: env.get(key, one) if one == HIDDEN else one for key, one in laid.items()})}"


def _map(text: str) -> dict[str, object] | None:
    """Return the map that a value of an override is, None where it is none."""
    with suppress(InputError):
        value = document.load(text, "an override").value
        if isinstance(value, dict):
            return {str(key): one for key, one in value.items()}
    return None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _with_values(words: Sequence[str], old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """Return a command with other values of variables; what follows the image stays."""
    spec = grammar.parse(words)
    end = len(words) - len(spec.command) - 1
    pairs = {f"{name}={old[name]}": f"{name}={new[name]}" for name in old}
    options = [next((_end(word, one, pairs[one]) for one in pairs if word.endswith(one)), word) for word in words[:end]]
    return (*options, *words[end:])


def _end(word: str, old: str, new: str) -> str:
    """Return a word with another end where that is all of it, or follows an option: ``--env=A=1``, ``-eA=1``."""
    before = word.removesuffix(old)
    return before + new if before in {"", "--env=", "-e", "-e="} else word


def _with_overrides(words: Sequence[str], overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command whose label says other overrides."""
    laid = labels.read(dict(grammar.parse(words).labels)).laid_over
    if laid is None:
        return tuple(words)
    label = ServiceLabels(laid_over=replace(laid, overrides=overrides)).to_labels().get(LABEL_LAID_OVER)
    return tuple(f"{LABEL_LAID_OVER}={label}" if word.startswith(f"{LABEL_LAID_OVER}=") else word for word in words)


def _env(text: str) -> dict[str, object]:
    value = document.load(text, "a kept recipe").value
    env = value.get("env") if isinstance(value, dict) else None
    return {str(name): one for name, one in env.items()} if isinstance(env, dict) else {}


def _with_env(text: str, values: Mapping[str, str]) -> str:
    """Return a recipe with other values of those variables that it has."""
    value = document.load(text, "a kept recipe").value
    if not isinstance(value, dict) or not isinstance(value.get("env"), dict):
        return text
    env = {name: values.get(str(name), one) for name, one in value["env"].items()}
    return text_of({**value, "env": env})
