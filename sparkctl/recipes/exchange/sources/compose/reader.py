"""The reader of compose files: launches for what runs vLLM, and the stack that they are together."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.launch import Launch, Leftover, Refused
from sparkctl.recipes.exchange.sources.compose.files import project
from sparkctl.recipes.exchange.sources.compose.service import FORM, launch_of
from sparkctl.recipes.exchange.sources.compose.told import entries, items
from sparkctl.recipes.exchange.stacked import SourceService, SourceStack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Node
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.shell.script import ShellText

_SERVICES: Final = re.compile(r"^(?:services|\"services\"|'services')[ \t]*:", re.MULTILINE)
_A_SERVICE: Final = re.compile(
    r"(?:^[ \t]+|[{,][ \t]*)[\"']?(?:image|build|extends|command)[\"']?[ \t]*:", re.MULTILINE
)
PROFILES: Final = "COMPOSE_PROFILES"
"""The variable by which docker compose, and ``--var``, name profiles: names with commas between them, or ``*``."""


class ComposeFile(NamedTuple):
    """What a compose file is: a launch for each service that runs vLLM, and what concerns no service.

    ``after`` says for each of these which others of them come before it; ``started`` are those that
    ``docker compose up`` starts, with the profiles that are chosen.
    """

    name: str
    launches: Mapping[str, Launch]
    after: Mapping[str, tuple[str, ...]]
    started: tuple[str, ...]
    leftovers: tuple[Leftover, ...]


def recognises(material: Material) -> bool:
    """Return whether a file is a compose file: by its services, whatever it is called."""
    if not material.file.endswith((".yml", ".yaml")) and "services" not in material.text[:4096]:
        return False
    return has_services(material.text)


def has_services(text: str) -> bool:
    """Return whether a text has the services of a compose file."""
    return _SERVICES.search(text) is not None and _A_SERVICE.search(text) is not None


def read(material: Material) -> list[Launch]:
    """Return a launch for each service that runs vLLM; the first good one has what concerns the whole file.

    Raises:
        InputError: the file is no YAML, or no compose file.
    """
    found = compose_file(material)
    launches = list(found.launches.values())
    first = next((place for place, launch in enumerate(launches) if launch.refused is None), 0)
    return [_with(launch, found.leftovers) if place == first else launch for place, launch in enumerate(launches)]


def in_document(block: ShellText, material: Material) -> list[Launch]:
    """Return the launches of a block of code in a document, none where it is no compose file."""
    if not has_services(block.text):
        return []
    above = "\n" * (block.first_line - 1)  # so that its lines are those of the document
    try:
        return read(replace(material, text=above + block.text))
    except InputError as error:
        place = material.place(block.first_line)
        return [Launch("", FORM, place, refused=Refused("unreadable block", error.message.split("\n")[0], place))]


def compose_file(material: Material) -> ComposeFile:
    """Return all of a compose file.

    Raises:
        InputError: as for ``read``.
    """
    whole = project(material)
    launches: dict[str, Launch] = {}
    leftovers = list(whole.leftovers)
    for name, service in whole.services.items():
        found = launch_of(name, service, whole, material)
        if isinstance(found, Leftover):
            leftovers.append(found)
        else:
            launches[name] = found
    chosen = frozenset(filter(None, material.variables.get(PROFILES, "").split(",")))
    after: dict[str, tuple[str, ...]] = {}
    for name, launch in launches.items():
        before = _before(whole.services[name])
        after[name] = tuple(one for one in before if one in launches)
        others = [one for one in before if one not in launches]
        if others:
            why = "sparkctl starts servers of vLLM alone, and waits for no others"
            launches[name] = _with(launch, (Leftover(launch.place, f"depends_on: {', '.join(others)}", why),))
    started = tuple(name for name in launches if _starts(whole.services[name], chosen))
    return ComposeFile(whole.name, launches, after, started, tuple(leftovers))


def stack(material: Material) -> SourceStack:
    """Return the services of a compose file that start together, each after those that it waits for.

    Raises:
        InputError: as for ``read``.
    """
    found = compose_file(material)
    names = {service: launch.name for service, launch in found.launches.items()}
    services = tuple(
        SourceService(launch.place, _of_stack(launch, [names[one] for one in found.after[service]]), launch=launch.name)
        for service, launch in found.launches.items()
        if service in found.started and launch.refused is None
    )
    left = [name for name in found.launches if name not in found.started]
    note = f"not in the stack, as their profiles are not chosen (--var {PROFILES}=NAME): {', '.join(left)}"
    return SourceStack(found.name, services, notes=(note,) if left else ())


def _of_stack(launch: Launch, after: list[str]) -> dict[str, Any]:
    """Return a stack's keys of a service: who comes before it; and that docker does not start it again there."""
    words = [word.text for word in launch.options]
    restarts = "--restart" in words and words[words.index("--restart") + 1] != "no"
    keys: dict[str, Any] = {"after": after} if after else {}
    return {**keys, "set": {"container.restart": "no"}} if restarts else keys


def _before(service: Node) -> list[str]:
    node = entries(service).get("depends_on")
    if node is None:
        return []
    return list(entries(node)) or [one.text for one in items(node)]


def _starts(service: Node, chosen: frozenset[str]) -> bool:
    node = entries(service).get("profiles")
    own = {one.text for one in items(node)} if node is not None else set()
    return not own or "*" in chosen or bool(own & chosen)


def _with(launch: Launch, leftovers: tuple[Leftover, ...]) -> Launch:
    return replace(launch, leftovers=(*launch.leftovers, *leftovers))
