"""What is known to go wrong, or to surprise, on a GB10, and for which servers it holds. The data has its sources."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkctl.vllm import releases
from sparkctl.vllm.data import data_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.vllm.known.planned import PlannedServer


class Pain(NamedTuple):
    """One known problem. ``kind`` is flag, variable, docker, or release if it concerns the vLLM itself.

    ``says`` is a sentence, ``todo`` what helps ("" if nothing is known), ``source`` a public source. The other fields
    say which servers it concerns; an empty field matches all. The model type gemma4 also stands for gemma4_text.
    """

    id: str
    kind: str
    name: str
    says: str
    source: str
    todo: str = ""
    value: str = ""
    versions: str = ""
    models: tuple[str, ...] = ()
    image: str = ""
    unless_image: str = ""
    beside: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def holds(self, server: PlannedServer) -> bool:
        """Return whether a server is to expect this problem."""
        return (
            self._has_value(server)
            and (not self.versions or releases.within(server.version, self.versions))
            and (not self.models or any(f"{server.model_type}_".startswith(f"{model}_") for model in self.models))
            and self.image in server.image
            and not (self.unless_image and self.unless_image in server.image)
            and all(flag in server.flags for flag in self.beside)
            and not any(flag in server.flags for flag in self.without)
        )

    def _has_value(self, server: PlannedServer) -> bool:
        if self.kind == "release":
            return True
        if self.kind == "docker":
            found = server.options.get(self.name, ())
        else:
            given = server.flags if self.kind == "flag" else server.variables
            found = (given[self.name],) if self.name in given else ()
        return any(map(self.fits, found))

    def fits(self, value: str) -> bool:
        """Return whether the problem concerns this value."""
        return not self.value or re.fullmatch(self.value, value) is not None


@cache
def every() -> tuple[Pain, ...]:
    """Return all that is known."""
    return tuple(_pain(entry) for entry in data_files.values("known-pains.yaml"))


def of(server: PlannedServer) -> tuple[Pain, ...]:
    """Return what is to be expected of a server, in the order of the data."""
    return tuple(pain for pain in every() if pain.holds(server))


def about(kind: str, name: str) -> tuple[Pain, ...]:
    """Return all that is known of a flag, a variable or an option, whichever servers it holds for."""
    return tuple(pain for pain in every() if (pain.kind, pain.name) == (kind, name))


def _pain(entry: Mapping[str, Any]) -> Pain:
    """Return an entry of the data; a test checks that each has what it needs."""
    fields: dict[str, Any] = {
        key.replace("-", "_"): tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    kind = next((one for one in ("flag", "variable", "docker") if one in fields), "release")
    return Pain(kind=kind, name=fields.pop(kind, ""), **fields)
