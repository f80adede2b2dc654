"""A simulated container's view: its mounts and its environment as docker would make them, and its order."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.base.lazy import LazyModule
from sparkctl.world.sim.flags import parse_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pydantic

    from sparkctl.world import engine as engines
    from sparkctl.world import spec as specs
    from sparkctl.world.engine import Creation
    from sparkctl.world.sim.folders import Record
    from sparkctl.world.spec import ContainerSpec
else:
    engines = LazyModule("sparkctl.world.engine")
    pydantic = LazyModule("pydantic")
    specs = LazyModule("sparkctl.world.spec")

CACHE: Final = "huggingface"


def needed(spec: ContainerSpec) -> tuple[str, ...]:
    """Return the sources of bind mounts that have to be there, as for docker; models need not be there."""
    models = _model_targets(spec)
    return tuple(
        mount.source or ""
        for mount in spec.mounts
        if mount.kind == "bind" and not (mount.create_source or mount.target in models or CACHE in mount.target)
    )


def check(sources: Iterable[str]) -> None:
    """Refuse mounts whose source is not there.

    Raises:
        EngineError: naming the source.
    """
    for source in sources:
        if not Path(source).exists():
            message = f"there is no {source} on the engine's host to mount"
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


def certificate(record: Record) -> dict[str, str]:
    """Return where the server finds the certificate and the key that its flags name, for its environment."""
    flags = parse_arguments(record.command)
    found = [source_of(record, flags[name]) for name in ("ssl-certfile", "ssl-keyfile") if name in flags]
    return {"SPARKCTL_SIM_TLS": json.dumps([str(path) for path in found])} if found and None not in found else {}


def environment(spec: ContainerSpec, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the container's whole environment.

    Raises:
        InputError: an env-file that cannot be used.
    """
    given = specs.variables(spec, environ, specs.env_file)
    pairs = (variable.partition("=") for variable in given if "=" in variable)
    return tuple({name: value for name, _, value in pairs}.items())


def _model_targets(spec: ContainerSpec) -> set[str]:
    """Return where the server looks for its model and its drafter."""
    flags = parse_arguments(spec.command)
    try:
        draft = json.loads(flags.get("speculative-config", "{}")).get("model", "")
    except (ValueError, AttributeError):
        draft = ""
    return {flags.get("model", ""), draft}


def order_of(spec: ContainerSpec, name: str, env: tuple[tuple[str, str], ...]) -> str:
    """Return what was ordered as JSON, with the name and the environment that the container got."""
    return json.dumps(asdict(replace(spec, name=name, env=env, env_files=())))


def creation_of(record: Record) -> Creation:
    """Return how a container was created; for a record of a simulator that kept no order, from its other fields."""
    spec = specs.ContainerSpec(record.image, record.command, env=record.env, labels=record.labels)
    spec = pydantic.TypeAdapter(specs.ContainerSpec).validate_json(record.order) if record.order else spec
    return engines.Creation(replace(spec, name=record.name), () if spec.entrypoint is None else (spec.entrypoint,))
