"""A unit of podman's Quadlet (``NAME.container``), whose keys are those of podman-systemd.unit(5) of podman 5.

Podman's generator makes a ``podman run`` of it; this is the same command in docker's spelling. A key that docker has no
option for stays over, and so does each that nobody knows.
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.launch import Launch, Leftover, Refused, Word
from sparkctl.recipes.exchange.material import unknowns
from sparkctl.recipes.exchange.shell.script import ShellCommand
from sparkctl.recipes.exchange.sources import docker_run, unit_files
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.shell.script import ShellText
    from sparkctl.recipes.exchange.sources.unit_files import UnitLine

FORM: Final = "quadlet unit"
_SUFFIX: Final = ".container"
_SECTION: Final = re.compile(r"^\[Container\][ \t]*$", re.MULTILINE)
_CDI_GPU: Final = "nvidia.com/gpu="
_ONE: Final = {
    "ContainerName": "name",
    "HostName": "hostname",
    "LogDriver": "log-driver",
    "Memory": "memory",
    "PidsLimit": "pids-limit",
    "Pull": "pull",
    "ShmSize": "shm-size",
    "StopSignal": "stop-signal",
    "StopTimeout": "stop-timeout",
    "WorkingDir": "workdir",
}
"""Keys that count once, the last, and docker's option."""
_EACH: Final = {
    "AddHost": "add-host",
    "DNS": "dns",
    "DNSOption": "dns-option",
    "DNSSearch": "dns-search",
    "EnvironmentFile": "env-file",
    "GroupAdd": "group-add",
    "LogOpt": "log-opt",
    "Mount": "mount",
    "NetworkAlias": "network-alias",
    "PublishPort": "publish",
    "Tmpfs": "tmpfs",
    "Ulimit": "ulimit",
    "Volume": "volume",
}
_WORDS: Final = {
    "AddCapability": "cap-add",
    "DropCapability": "cap-drop",
    "Environment": "env",
    "Label": "label",
    "Sysctl": "sysctl",
}
"""Keys whose value is words, each of them an option."""
_SWITCHES: Final = {"NoNewPrivileges": "security-opt=no-new-privileges", "ReadOnly": "read-only", "RunInit": "init"}
_OTHERWISE: Final = {
    "AutoUpdate": "podman would pull newer images by itself: sparkctl pulls what is asked for",
    "Pod": "a service is one container",
    "StartWithPod": "a service is one container",
    "Notify": "sparkctl waits until the server has answered a prompt",
    "Annotation": "annotations are podman's",
    "GlobalArgs": "they are options of podman itself",
    "ReadOnlyTmpfs": "docker mounts no folders of memory by itself",
    "Timezone": "the server's times are those of its image",
}
_HEALTH: Final = "sparkctl asks the server itself whether it is healthy"
_NO_WORD: Final = "docker has no option for it"
_TRUE: Final = frozenset({"1", "yes", "true", "on"})
_SECTIONS: Final = {
    "Install": "the agent of sparkctl starts what a stack says, as long as it has room",
    "Quadlet": "it says how podman's generator reads the file",
}
_ORDER: Final = frozenset({"After", "Before", "BindsTo", "PartOf", "Requires", "Wants"})


def recognises(material: Material) -> bool:
    """Return whether a file is such a unit."""
    suffix = posixpath.splitext(material.file)[1]
    return suffix == _SUFFIX or (suffix in {"", ".txt", ".unit"} and has_unit(material.text))


def has_unit(text: str) -> bool:
    """Return whether a text has the section of a container."""
    return _SECTION.search(text) is not None


def in_document(text: ShellText, material: Material) -> list[Launch]:
    """Return the launch of a unit in a block of a document; none if the block is something else."""
    if not has_unit(text.text):
        return []
    whole = "\n" * (text.first_line - 1) + text.text
    return [launch for launch in read(replace(material, text=whole)) if launch.refused is None]


def read(material: Material) -> list[Launch]:
    """Return the launch of a unit, with each of its keys in it or among what stays over."""
    lines = _counting(list(unit_files.lines(material.text)))
    service = [line for line in lines if line.section == "Service"]
    own = [line for line in lines if line.section == "Container"]
    variables = unit_files.environment(service, material)
    unit = _Unit(replace(material, variables={**material.variables, **variables}))
    for line in own:
        unit.take(line)
    for line in lines:
        if line.section != "Container":
            unit.beside(line)
    unit.leftovers += unit_files.left_of_service(service, material)
    return [unit.launch(own[0].number if own else 1)]


def _counting(lines: Sequence[UnitLine]) -> list[UnitLine]:
    """Return the lines that count: one without a value takes back those of its key before it."""
    found: list[UnitLine] = []
    for line in lines:
        if line.value:
            found.append(line)
        else:
            found = [one for one in found if (one.section, one.key) != (line.section, line.key)]
    return found


class _Unit:
    """A launch while it is read."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.options: list[Word] = []
        self.once: dict[str, Word] = {}
        self.image: Word | None = None
        self.command: tuple[Word, ...] = ()
        self.before: tuple[Word, ...] = ()
        self.user: tuple[str, str] = ("", "")
        self.gpus: list[Word] = []
        self.keys: dict[str, object] = {}
        self.leftovers: list[Leftover] = []

    def take(self, line: UnitLine) -> None:
        """Take a key of [Container]."""
        reader = _READERS.get(line.key)
        if reader is not None:
            reader(self, line)
        elif line.key in _ONE:
            self.once[line.key] = self.word(_ONE[line.key], line, self.text(line))
        elif line.key in _EACH:
            value = self.text(line)
            self.options.append(self.word(_EACH[line.key], line, value.removeprefix("-")))
        elif line.key in _WORDS:
            for word in unit_files.words(line, self.material):
                self.options.append(self.word(_WORDS[line.key], line, word.text))
        elif line.key in _SWITCHES:
            if self.text(line).lower() in _TRUE:
                self.options.append(Word(f"--{_SWITCHES[line.key]}", self.material.place(line.number)))
        else:
            why = _HEALTH if line.key.startswith("Health") else _OTHERWISE.get(line.key, _NO_WORD)
            self.leave(line, why)

    def beside(self, line: UnitLine) -> None:
        """Take a key of another section."""
        if (line.section, line.key) == ("Unit", "Description"):
            self.keys["description"] = " ".join(self.text(line).split())
        elif line.section == "Unit" and line.key in _ORDER:
            self.leave(line, "it orders units of systemd", "after: in a stack, where it is another service")
        elif line.section == "Unit":
            self.leave(line, "it is about the unit, and not about its container")
        elif (line.section, line.key) == ("Service", "TimeoutStartSec"):
            self.timeout(line)
        elif line.section in _SECTIONS:
            self.leave(line, _SECTIONS[line.section])
        elif not (line.section == "Service" and line.key in unit_files.ACCOUNTED) and line.section[:2] != "X-":
            self.leave(line, "it is how systemd keeps the process, which is docker's here")

    def timeout(self, line: UnitLine) -> None:
        """Read how long a start may take; a number alone is in seconds."""
        value = line.value.strip()
        if value.isdecimal() and int(value[:9]):
            self.keys["ready"] = {"timeout": f"{int(value[:9])}s"}
        else:
            self.leave(line, "how long a start may take", "ready: {timeout: …} in the recipe")

    def text(self, line: UnitLine) -> str:
        """Return a value as one word."""
        return unit_files.text(line, self.material)

    def word(self, option: str, line: UnitLine, value: str) -> Word:
        """Return an option of docker's with its value."""
        return Word(f"--{option}={value}", self.material.place(line.number))

    def leave(self, line: UnitLine, why: str, needs: str | None = None) -> None:
        """Leave a key over."""
        self.leftovers.append(Leftover(self.material.place(line.number), line.shown, why, needs))

    def launch(self, number: int) -> Launch:
        """Return what was read, as the ``docker run`` that it means."""
        place, name = self.material.place(number), unit_files.name_of(self.material)
        if self.image is None:
            refused = Refused("no image", "the unit has no Image=", place)
            return Launch(name, FORM, place, refused=refused)
        options = [*self.once.values(), *self.options]
        if self.gpus:
            names = [word.text for word in self.gpus]
            which = "all" if "all" in names else f'"device={",".join(names)}"'
            options.append(Word(f"--gpus={which}", self.gpus[0].place))
        if any(self.user):
            options.append(Word(f"--user={':'.join(filter(None, self.user))}", place))
        words = (Word("docker", place), Word("run", place), *options, self.image, *self.before, *self.command)
        found = docker_run.launch(ShellCommand(words, place, ()), self.material)
        if found is None or found.refused is not None:
            why = Refused("no image", "the unit starts no container", place) if found is None else found.refused
            return Launch(name, FORM, place, refused=why)
        left = sorted([*found.leftovers, *self.leftovers], key=lambda one: one.place.line)
        return replace(found, name=found.name or name, form=FORM, keys=self.keys, leftovers=tuple(left))


# --- keys with a meaning of their own --------------------------------------------------------------------------------


def _image(unit: _Unit, line: UnitLine) -> None:
    value = unit.text(line)
    if value.endswith((".image", ".build")):
        unit.leave(line, "it names another unit, which pulls or builds the image", "--image NAME")
        value = ""
    unit.image = Word(value, unit.material.place(line.number)) if value else None


def _exec(unit: _Unit, line: UnitLine) -> None:
    unit.command = unit_files.words(line, unit.material)


def _entrypoint(unit: _Unit, line: UnitLine) -> None:
    value, place = unit.text(line), unit.material.place(line.number)
    first, rest = value, []
    if value.startswith("["):
        try:
            read = json.loads(value)
        except ValueError:
            read = None
        if not isinstance(read, list) or not all(isinstance(one, str) for one in read):
            unit.leave(line, "expected a list of texts in JSON, or one word")
            return
        first, rest = (read[0], read[1:]) if read else ("", [])
    unit.once[line.key] = unit.word("entrypoint", line, first)
    unit.before = tuple(Word(one, place) for one in rest)


def _device(unit: _Unit, line: UnitLine) -> None:
    value = unit.text(line).removeprefix("-")
    if value.startswith(_CDI_GPU):
        unit.gpus.append(Word(value.removeprefix(_CDI_GPU), unit.material.place(line.number)))
    else:
        unit.options.append(unit.word("device", line, value))


def _network(unit: _Unit, line: UnitLine) -> None:
    value = unit.text(line)
    if value.endswith((".network", ".container")) or value.startswith(("pasta", "slirp4netns")):
        unit.leave(line, "it is a network of podman's", "container: {network: …}, a network of docker's")
    else:
        unit.once[line.key] = unit.word("network", line, value)


def _volume(unit: _Unit, line: UnitLine) -> None:
    value = unit.text(line)
    if value.partition(":")[0].endswith(".volume"):
        unit.leave(line, "it names another unit, which makes the volume", "a folder of this host")
    else:
        unit.options.append(unit.word("volume", line, value))


def _secret(unit: _Unit, line: UnitLine) -> None:
    name, *given = unit.text(line).split(",")
    said: Mapping[str, str] = dict(one.partition("=")[::2] for one in given)
    if said.get("type") == "env":
        unit.options.append(unit.word("env", line, said.get("target") or name))
    else:
        unit.leave(line, "it is a secret in a file of the container", "a variable of the server's, under secrets")


def _user(unit: _Unit, line: UnitLine) -> None:
    value = unit.text(line)
    unit.user = (value, unit.user[1]) if line.key == "User" else (unit.user[0], value)


def _podman(unit: _Unit, line: UnitLine) -> None:
    words = unit_files.words(line, unit.material)
    texts = [word.text for word in words]
    try:
        given, end = grammar.divided(["docker", "run", *texts, "image"])
    except InputError as error:
        unit.leave(line, f"docker does not read it: {error.message}")
        return
    if end != len(texts) + 2 or any(unknowns(text) for text in texts):
        unit.leave(line, "it is no list of options with their values")
        return
    place = unit.material.place(line.number)
    unit.options += [Word(f"--{option.name}={option.text}", place) for option in given]


_READERS: Final[Mapping[str, Callable[[_Unit, UnitLine], None]]] = {
    "AddDevice": _device,
    "Entrypoint": _entrypoint,
    "Exec": _exec,
    "Group": _user,
    "Image": _image,
    "Network": _network,
    "PodmanArgs": _podman,
    "Secret": _secret,
    "User": _user,
    "Volume": _volume,
}
