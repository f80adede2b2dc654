"""How a container that runs differs from what its recipe says now, as an operator reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.world.engine import Container
    from sparkctl.world.spec import ContainerSpec


def differences(spec: ContainerSpec, running: Container) -> list[str]:
    """Return one line a difference: ``--max-model-len: 16384 runs, 32768 wanted``.

    Values of environment variables are compared and not shown: some are secrets.
    """
    lines = _changes({"image": running.image}, {"image": spec.image})
    lines += _changes(flags(running.command), flags(spec.command))
    runs, wanted = dict(running.env), {key: value for key, value in spec.env if value is not None}
    lines += [f"--env {key}: another value" for key, value in wanted.items() if key in runs and runs[key] != value]
    lines += [f"--env {key}: not set in what runs" for key in wanted if key not in runs]
    lines += _changes(
        {f"mount {target}": source for source, target, _ in running.mounts},
        {f"mount {mount.target}": mount.source or "" for mount in spec.mounts},
    )
    return lines or ["the container's settings (docker run's own flags, or its labels)"]


def flags(words: Sequence[str]) -> dict[str, str]:
    """Return the flags of a ``vllm serve`` command with their values; words before the first flag stand under ''."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            found[name] = [value] if equals else []
        else:
            found[name].append(word)
    return {name: " ".join(values) for name, values in found.items() if name or values}


def _changes(runs: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    lines = []
    for name in [*wanted, *(name for name in runs if name not in wanted)]:
        have, want = runs.get(name), wanted.get(name)
        if have is None:
            lines.append(f"{name}: not in what runs, {want or 'set'} wanted")
        elif want is None:
            lines.append(f"{name}: {have or 'set'} runs, not wanted")
        elif have != want:
            lines.append(f"{name}: {have} runs, {want} wanted")
    return lines
