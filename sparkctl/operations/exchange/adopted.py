"""Containers that somebody else started and that were adopted: which service each of them is, until it is replaced.

No label can be written on a container that is there. So a file of the operator's state says which containers are
adopted, by their ids, and ``overlaid`` is an engine on which they carry the labels of their services: `ps`, `plan`,
`status` and `up` then meet a service of which little is known, and `up --replace` sets it aside until its successor has
proved itself, as it does for one of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.base.errors import InputError
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.ports import Files, Ports, Report

NAME: Final = "adopted.json"
_MODE: Final = 0o600
_UNKNOWN: Final = "containers that it named are somebody else's again; move it away and adopt them anew"


class AdoptedContainer(NamedTuple):
    """A container that was adopted: the service and the recipe that it is, and where its server listens."""

    service: str
    recipe: str
    url: str
    served_names: tuple[str, ...]

    @property
    def labels(self) -> dict[str, str]:
        """The labels that it would have of these."""
        record = labels.ServiceLabels(
            service=self.service, recipe=self.recipe, url=self.url, served_names=self.served_names
        )
        return {**record.to_labels(), labels.LABEL_ADOPTED: "1"}


class AdoptedFile(NamedTuple):
    """The contents of the file: the adopted containers by id, and which part is unreadable, "" if none is."""

    containers: Mapping[str, AdoptedContainer]
    damage: str = ""


def kept(files: Files, state: Path) -> AdoptedFile:
    """Return the adopted containers; none where the file is not there."""
    path = state / NAME
    content = files.content(path)
    if content is None:
        return AdoptedFile({})
    try:
        value = read_json(content)
    except UnreadableError as error:
        return AdoptedFile({}, f"{path} is damaged: {error.message}: {_UNKNOWN}")
    rows = value.get("containers") if isinstance(value, dict) else None
    if not isinstance(rows, dict):
        return AdoptedFile({}, f"{path} is damaged: it has no map `containers`: {_UNKNOWN}")
    found = {name: _row(row) for name, row in rows.items()}
    lost = [name for name, row in found.items() if row is None]
    damage = f"{path} is damaged at {lost[0]}: {_UNKNOWN}" if lost else ""
    return AdoptedFile({name: row for name, row in found.items() if row is not None}, damage)


def _row(value: object) -> AdoptedContainer | None:
    if not isinstance(value, dict):
        return None
    names = value.get("served_names")
    texts = [value.get(key) for key in ("service", "recipe", "url")]
    if not isinstance(names, list) or not all(isinstance(one, str) and one for one in (*texts, *names)):
        return None
    service, recipe, url = map(str, texts)
    return AdoptedContainer(service, recipe, url, tuple(map(str, names)))


def keep(files: Files, state: Path, container: str, adopted: AdoptedContainer, *, there: Collection[str]) -> None:
    """Record that a container was adopted; of the earlier records, only those whose containers are ``there`` stay.

    Raises:
        InputError: the file cannot be written, or is damaged: what it named would be lost.
    """
    found = kept(files, state)
    if found.damage:
        raise InputError(found.damage, hint=f"mv {state / NAME} {state / NAME}.damaged")
    before = {name: row for name, row in found.containers.items() if name in there and row.service != adopted.service}
    rows = {name: row._asdict() for name, row in {**before, container: adopted}.items()}
    text = json.dumps({"containers": rows}, indent=1)
    files.write(state / NAME, f"{text}\n".encode(), mode=_MODE)


def known(ports: Ports, state: Path, report: Report) -> Ports:
    """Return ports whose engine knows the adopted containers; unreadable parts of their file are reported."""
    found = kept(ports.files, state)
    if found.damage:
        report.warn(found.damage)
    return ports._replace(engine=overlaid(ports.engine, found.containers)) if found.containers else ports


def overlaid(engine: Engine, adopted: Mapping[str, AdoptedContainer]) -> Engine:
    """Return an engine on which adopted containers have the labels of their services; the rest is as it is."""
    return cast("Engine", _OverlaidEngine(engine, adopted)) if adopted else engine


class _OverlaidEngine:
    """The engine below does everything that this class does not do itself."""

    def __init__(self, engine: Engine, adopted: Mapping[str, AdoptedContainer]) -> None:
        self._engine = engine
        self._adopted = adopted

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever the engine has)
        return getattr(self._engine, name)

    def containers(self) -> list[Container]:
        """Return every container of the engine."""
        return [self._labelled(container) for container in self._engine.containers()]

    def container(self, name: str) -> Container | None:
        """Return the container with this name or id, or None."""
        found = self._engine.container(name)
        return None if found is None else self._labelled(found)

    def _labelled(self, container: Container) -> Container:
        adopted = self._adopted.get(container.id)
        if adopted is None or labels.is_ours(container.labels):
            return container
        return container._replace(labels={**container.labels, **adopted.labels})
