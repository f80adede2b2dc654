"""The services of a compose file as one stack: which come after which, and which are started by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.recipes.exchange.sources.compose.reader import compose_file
from sparkctl.recipes.exchange.sources.yaml_files.runner import name_of
from sparkctl.recipes.exchange.stacked import SourceService, SourceStack

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.sources.compose.reader import ComposeFile

_LEAST: Final = 2
"""One service is a recipe, and no stack."""


def stack(material: Material) -> SourceStack:
    """Return the services that run vLLM together; none where there is only one.

    Raises:
        InputError: the file is no YAML, or no compose file.
    """
    found = compose_file(material)
    names = [name for name, launch in found.launches.items() if launch.refused is None]
    services = [_service(name, found) for name in names] if len(names) >= _LEAST else []
    folder = material.file.rpartition("/")[0]
    name = name_of(folder) if folder and not folder.endswith(("..", ".")) else name_of(material.file)
    return SourceStack(name, tuple(services))


def _service(name: str, found: ComposeFile) -> SourceService:
    launch = found.launches[name]
    keys: dict[str, Any] = {} if name in found.started else {"start": "manual"}
    after = [found.launches[one].name for one in found.after[name] if found.launches[one].refused is None]
    if after:
        keys["after"] = after
    return SourceService(launch.place, keys, launch.name)
