"""What a simulated container sees: its mounts and its environment, as docker would make them."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError, InputError
from sparkctl.world.sim.arguments import parse_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.world.sim.folders import Record
    from sparkctl.world.spec import ContainerSpec

CACHE: Final = ".cache/huggingface"


def check(spec: ContainerSpec) -> None:
    """Refuse a bind mount whose source is not there, as docker does; models need not be there.

    Raises:
        EngineError: naming the source.
    """
    models = _model_targets(spec)
    for mount in spec.mounts:
        accepted = mount.kind != "bind" or mount.create_source or mount.target in models
        if accepted or mount.target.endswith(CACHE) or Path(mount.source or "").exists():
            continue
        message = f"there is no {mount.source} on the engine's host to mount"
        raise EngineError(message, hint="create it, or correct the path")


def source_of(record: Record, path: str) -> Path | None:
    """Return the host's file that a mount lays over ``path``, or None: the image's own is seen."""
    wanted = PurePosixPath(path)
    over = [(PurePosixPath(target), source) for source, target, _ in record.mounts]
    nearest = max(
        ((target, source) for target, source in over if wanted.is_relative_to(target)),
        key=lambda found: len(found[0].parts),
        default=None,
    )
    return None if nearest is None else Path(nearest[1]) / wanted.relative_to(nearest[0])


def environment(spec: ContainerSpec, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the container's whole environment: env-files first, then ``--env``, as docker reads them.

    Raises:
        InputError: an env-file that cannot be read.
    """
    env: dict[str, str] = {}
    for name in spec.env_files:
        try:
            lines = Path(name).read_text().splitlines()
        except OSError as error:
            raise InputError(f"cannot read the env-file {name}: {error.strerror}") from None
        for line in lines:
            key, equals, value = line.lstrip().partition("=")
            if key and not key.startswith("#"):
                env |= {key: value} if equals else _taken(key, environ)
    for key, given in spec.env:
        env |= _taken(key, environ) if given is None else {key: given}
    return tuple(env.items())


def _taken(key: str, environ: Mapping[str, str]) -> dict[str, str]:
    return {key: environ[key]} if key in environ else {}


def _model_targets(spec: ContainerSpec) -> set[str]:
    """Return where the server looks for its model and its drafter."""
    flags = parse_arguments(spec.command)
    try:
        draft = json.loads(flags.get("speculative-config", "{}")).get("model", "")
    except (ValueError, AttributeError):
        draft = ""
    return {flags.get("model", ""), draft}
