"""How a simulated container was created: written into its record, and read again."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from sparkctl.world.engine import Creation
from sparkctl.world.spec import ContainerSpec

if TYPE_CHECKING:
    from sparkctl.world.sim.folders import Record


def order_of(spec: ContainerSpec, name: str, env: tuple[tuple[str, str], ...]) -> str:
    """Return what was ordered as JSON, with the name and the environment that the container got."""
    return json.dumps(asdict(replace(spec, name=name, env=env, env_files=())))


def creation_of(record: Record) -> Creation:
    """Return how a container was created; of one of a simulator that kept no order, what its record has."""
    spec = ContainerSpec(record.image, record.command, env=record.env, labels=record.labels)
    spec = TypeAdapter(ContainerSpec).validate_json(record.order) if record.order else spec
    return Creation(replace(spec, name=record.name), () if spec.entrypoint is None else (spec.entrypoint,))
