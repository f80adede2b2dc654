"""A compose file with what it brings in: files of ``include``, an override file beside it, and ``extends``."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document
from sparkctl.base.document import Node
from sparkctl.base.errors import InputError, Place, ProblemsError
from sparkctl.recipes.exchange.launch import Leftover
from sparkctl.recipes.exchange.sources.compose.merge import merged
from sparkctl.recipes.exchange.sources.compose.variables import Filler, environment_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.recipes.exchange.material import Material

_MOST_FILES: Final = 100
"""Files of ``include`` and ``extends`` of one project. A choice: the largest of the published ones has twenty."""
_OVERRIDES: Final = {
    f"{stem}.{end}": [f"{stem}.override.{one}" for one in ("yml", "yaml")]
    for stem in ("docker-compose", "compose")
    for end in ("yml", "yaml")
}
"""The override files that docker compose takes by itself, by the name of the file."""
_READ_HERE: Final = frozenset({"services", "volumes", "name", "version", "include", "networks"})


class Project(NamedTuple):
    """A compose file together with everything that it includes.

    ``services`` and ``volumes`` are by name, ``wrong`` says why a service cannot be put together; ``values`` are the
    known variables, and ``filler`` fills them in; ``folders`` has the folder of each file that was read, relative to
    that of the first one. ``leftovers`` concern the whole file.
    """

    name: str
    services: Mapping[str, Node]
    volumes: Mapping[str, Node]
    values: Mapping[str, str]
    filler: Filler
    folders: Mapping[str, str]
    wrong: Mapping[str, InputError]
    leftovers: tuple[Leftover, ...] = ()


def place_of(node: Node) -> Place:
    """Return where a value is, without the line itself, which may hold a secret."""
    return node.place._replace(excerpt="")


def project(material: Material) -> Project:
    """Return what the file and its companions say.

    Raises:
        InputError: the file, or one that it needs, is no YAML or no compose file.
    """
    own = material.beside.get(".env", "")
    values = {**environment_file(own, material.variables).values, **material.variables}
    reading = _ProjectReading(material, Filler(values))
    content = reading.content(material.text, material.file)
    for name in _OVERRIDES.get(posixpath.basename(material.file), ()):
        text = material.beside.get(name)
        if text is not None:
            content = merged_files(content, reading.content(text, reading.named(name)))
            break
    reading.take(content, "", (posixpath.basename(material.file),))
    for name in reading.services:
        try:
            reading.extend(name)
        except InputError as error:
            reading.wrong[name] = error
    said = content.children.get("name")
    name = reading.filler.filled(said.text) if said is not None else _of_folder(material)
    return Project(
        name or "compose",
        reading.services,
        reading.volumes,
        values,
        reading.filler,
        reading.folders,
        reading.wrong,
        tuple(reading.leftovers),
    )


def _of_folder(material: Material) -> str:
    """Return docker compose's name for a project without one: its folder's, in small letters, digits, - and _."""
    folder = material.variables.get("PWD", posixpath.dirname(posixpath.normpath(posixpath.join("/", material.file))))
    return re.sub(r"[^a-z0-9_-]+", "", posixpath.basename(folder).lower()).lstrip("-_")


def merged_files(below: Node, above: Node) -> Node:
    """Return a whole file with another one over it: service by service."""
    keys = {**_map(below), **_map(above)}
    for key in ("services", "volumes", "networks"):
        one, other = _map(below).get(key), _map(above).get(key)
        if one is not None and other is not None:
            names = {**_map(one), **_map(other)}
            both = {
                name: merged(_map(one)[name], node) if name in _map(one) else node for name, node in _map(other).items()
            }
            keys[key] = Node({**names, **both}, one.place, one.key)
    return Node(keys, below.place, below.key)


def _map(node: Node | None) -> Mapping[str, Node]:
    return node.content if node is not None and isinstance(node.content, dict) else {}


class _ProjectReading:
    """One reading of a project: what was found so far."""

    def __init__(self, material: Material, filler: Filler) -> None:
        self._material = material
        self.filler = filler
        self.services: dict[str, Node] = {}
        self.volumes: dict[str, Node] = {}
        self.folders: dict[str, str] = {}
        self.wrong: dict[str, InputError] = {}
        self.leftovers: list[Leftover] = []
        self._taken: set[str] = set()
        self._files: dict[str, Mapping[str, Node]] = {}

    def named(self, path: str) -> str:
        """Return the name in messages of a file beside the first one."""
        name = posixpath.normpath(posixpath.join(posixpath.dirname(self._material.file), path))
        self.folders[name] = posixpath.dirname(path)
        return name

    def content(self, text: str, file: str) -> Node:
        """Return a file's content.

        Raises:
            InputError: it is no YAML, or no map.
        """
        read = document.load(text.removeprefix("\ufeff"), file)
        if read.problems:
            raise ProblemsError(list(read.problems))
        if not isinstance(read.root.content, dict):
            raise InputError(f"{read.root.place}: expected a map with services, as docker compose reads it")
        return read.root

    def take(self, content: Node, folder: str, above: tuple[str, ...] = ()) -> None:
        """Take the services of a file, and of those that it includes, ``folder`` from the first one's.

        ``above`` are the files that include this one. A file that two include is taken once.

        Raises:
            InputError: files include each other, or more than so many, or one of them cannot be read.
        """
        if len(self._taken) > _MOST_FILES:
            raise InputError(f"{content.place}: more than {_MOST_FILES} files are included")
        for key, node in _map(content).items():
            if key not in _READ_HERE and not key.startswith("x-"):
                why = "it belongs to docker compose; values of secrets come from sparkctl's own secrets file"
                self.leftovers.append(Leftover(place_of(node)._replace(line=node.key.line), key, why))
        self._include(content, folder, above)
        services = _map(content).get("services")
        if services is not None and services.content is not None and not isinstance(services.content, dict):
            raise InputError(f"{services.place}: expected a map of services by their names")
        self.services.update(_map(services))
        self.volumes.update(_map(_map(content).get("volumes")))

    def _include(self, content: Node, folder: str, above: tuple[str, ...]) -> None:
        for path, node in _included(_map(content).get("include")):
            text = self._beside(posixpath.join(folder, self.filler.filled(path)))
            if text is None:
                why = "the file is not beside the one that is imported"
                self.leftovers.append(Leftover(place_of(node), f"include {path}", why, "import the whole folder"))
                continue
            found = posixpath.normpath(posixpath.join(folder, self.filler.filled(path)))
            if found in above:
                raise InputError(f"{node.place}: include {path} comes back to itself")
            if found not in self._taken:
                self._taken.add(found)
                self.take(self.content(text, self.named(found)), posixpath.dirname(found), (*above, found))

    def _beside(self, path: str) -> str | None:
        return self._material.beside.get(posixpath.normpath(path))

    def extend(self, name: str) -> None:
        """Lay a service over what it extends.

        Raises:
            InputError: there is no such service, or they extend each other.
        """
        node = self.services[name]
        if "extends" in _map(node):
            self.services[name] = self._over(node, name, self.folders.get(node.place.file, ""), self.services, ())

    def _over(
        self, node: Node, name: str, folder: str, services: Mapping[str, Node], above: tuple[tuple[str, str], ...]
    ) -> Node:
        """Return a service over its base. The base of another file is read from that file's own folder."""
        asked = _map(node).get("extends")
        if asked is None:
            return node
        own = Node({key: value for key, value in _map(node).items() if key != "extends"}, node.place, node.key)
        base_name, file = _base(asked)
        path = posixpath.normpath(posixpath.join(folder, self.filler.filled(file))) if file else ""
        if (path, base_name) in above or (not path and base_name == name):
            raise InputError(f"{asked.place}: {base_name} extends itself, round about")
        if len(above) > _MOST_FILES:
            raise InputError(f"{asked.place}: more than {_MOST_FILES} services extend each other")
        if path:
            services, folder = self._services_of(path, asked), posixpath.dirname(path)
        base = services.get(base_name)
        if base is None:
            raise InputError(f"{asked.place}: there is no service {base_name} to extend")
        return merged(self._over(base, base_name, folder, services, (*above, (path, base_name))), own)

    def _services_of(self, path: str, asked: Node) -> Mapping[str, Node]:
        if path not in self._files:
            text = self._beside(path)
            if text is None:
                hint = "import the whole folder, with all its files"
                raise InputError(f"{asked.place}: {path} is not beside the file that is imported", hint=hint)
            self._files[path] = _map(_map(self.content(text, self.named(path))).get("services"))
        return self._files[path]


def _base(asked: Node) -> tuple[str, str]:
    """Return the service that is extended, and its file ("": the same one)."""
    if isinstance(asked.content, dict):
        parts = {key: value.text for key, value in asked.content.items()}
        return parts.get("service", ""), parts.get("file", "")
    return asked.text, ""


def _included(node: Node | None) -> Iterator[tuple[str, Node]]:
    """Yield the paths of ``include``, whose items are a path or a map with one or several."""
    items = node.content if node is not None and isinstance(node.content, tuple) else ()
    for item in items:
        path = _map(item).get("path", item)
        for one in path.content if isinstance(path.content, tuple) else (path,):
            yield one.text, one
