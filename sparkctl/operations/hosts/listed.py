"""The hosts that an operator has declared: ``hosts.yaml`` in the folder of ``--recipes``, else with their own files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document, regular_file
from sparkctl.base.errors import InputError, Problem
from sparkctl.base.validation import nearest, validate
from sparkctl.recipes.hosts.declared import FILE, HERE, DeclaredHost, HostsFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.stack import LoadedStack

_SHIPPED: Final = "shipped"


class Hosts(NamedTuple):
    """The declared hosts by name, and the file that they are from; none, and None, where there is no such file."""

    path: Path | None
    hosts: Mapping[str, DeclaredHost]

    def some(self) -> Mapping[str, DeclaredHost]:
        """Return all of them, of which there is at least one.

        Raises:
            InputError: there are none.
        """
        if not self.hosts:
            raise InputError("there are no hosts", hint=f"sparkctl hosts add NAME SSH writes {FILE}")
        return self.hosts

    def named(self, name: str) -> DeclaredHost:
        """Return a host; ``local`` is this machine, whether it is declared or not.

        Raises:
            InputError: there is none of this name.
        """
        if name in self.hosts:
            return self.hosts[name]
        if name == HERE:
            return DeclaredHost(ssh=HERE)
        if not self.hosts:
            hint = f"sparkctl hosts add {name} SSH writes it, where SSH is what `ssh` takes: {name}.local, you@{name}"
            raise InputError(f"no host {name}: there is no {FILE}", hint=hint)
        close = nearest(name, self.hosts)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(self.hosts)}"
        raise InputError(f"no host {name} in {self.path}", hint=hint)


def hosts(world: World) -> Hosts:
    """Return the declared hosts.

    Raises:
        ProblemsError: the file is not as it has to be; each problem at its line.
    """
    for root in world.catalog.roots:
        path = root.path / FILE
        if root.label != _SHIPPED and regular_file.is_there(path):
            return Hosts(path, validate(document.read(path), HostsFile).hosts)
    return Hosts(None, {})


def there(world: World) -> bool:
    """Return whether there is a hosts file, as it has to be or not."""
    return any(root.label != _SHIPPED and regular_file.is_there(root.path / FILE) for root in world.catalog.roots)


def place(world: World) -> Path:
    """Return where the file is, or would be: in the first folder of the operator's that has it, else in the first."""
    found = hosts(world).path
    return found or world.catalog.roots[0].path / FILE


def is_here(world: World, name: str) -> bool:
    """Return whether a host of this name is the machine that sparkctl runs on; one that is not declared is not.

    Raises:
        ProblemsError: the file of hosts is not as it has to be.
    """
    found = hosts(world).hosts.get(name)
    return name == HERE if found is None else found.here


def undeclared(world: World, stack: LoadedStack) -> list[Problem]:
    """Return the hosts that a stack lists and this operator has not declared, each at its line.

    Raises:
        ProblemsError: the file of hosts is not as it has to be.
    """
    known, found = hosts(world), []
    for number, name in enumerate(stack.stack.hosts):
        try:
            known.named(name)
        except InputError as error:
            found.append(Problem(error.message, stack.document.place(("hosts", number)), error.hint))
    return found
