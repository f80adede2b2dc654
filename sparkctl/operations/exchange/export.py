"""A recipe or a stack as the files of another tool, with the verified copies of its mods beside them."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.real_path import real
from sparkctl.base.shown import is_plain, sounds_secret
from sparkctl.mods import on_disk
from sparkctl.operations import secrets
from sparkctl.operations.exchange import all_or_none, export_hosts
from sparkctl.operations.files import render
from sparkctl.operations.hosts import listed
from sparkctl.operations.stack.resolved import declared, declared_routes
from sparkctl.recipes.exchange.exports.exported import (
    CarriedMod,
    ExportedFile,
    ExportedService,
    ExportedSet,
    ExportTarget,
    ServedModel,
)
from sparkctl.recipes.service import model_argument
from sparkctl.recipes.sizing.estimate import estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.mods.placed import MountedMod
    from sparkctl.operations.context import World
    from sparkctl.planning.box.declared import DeclaredService
    from sparkctl.recipes import command
    from sparkctl.recipes.exchange.exports import written
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.service import Service
else:
    command = LazyModule("sparkctl.recipes.command")
    written = LazyModule("sparkctl.recipes.exchange.exports.written")


class ExportedFiles(NamedTuple):
    """The files of an export, what its tool does not do (``lost``), and what is assumed or missing (``notes``)."""

    target: ExportTarget
    files: tuple[ExportedFile, ...]
    lost: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def only(self) -> str:
        """The text of its only file, to be printed.

        Raises:
            InputError: there are several.
        """
        if len(self.files) > 1:
            names = ", ".join(one.name for one in self.files)
            message = f"as {self.target.value} it is {len(self.files)} files: {names}"
            raise InputError(message, hint="--out FOLDER writes them there")
        return text_of(self.files[0])


def target_of(tool: str) -> ExportTarget:
    """Return the tool of a name.

    Raises:
        InputError: there is none of this name.
    """
    try:
        return ExportTarget(tool)
    except ValueError:
        names = ", ".join(one.value for one in ExportTarget)
        raise InputError(f"nothing can be exported for {tool!r}", hint=f"expected one of {names}") from None


def text_of(file: ExportedFile) -> str:
    """Return a file's content as text: what sparkctl wrote, or a mod's file."""
    return file.content if isinstance(file.content, str) else file.content.decode(errors="replace")


def export(
    world: World,
    name: str,
    target: ExportTarget,
    overrides: Sequence[str] = (),
    *,
    strict: bool = False,
    folder: Path | None = None,
    hosts: Sequence[str] = (),
) -> ExportedFiles:
    """Return a recipe, a stack or a service of one as the files of another tool; nothing is written or started.

    ``folder`` is where they are to go: then the verified copies of mods are among them. No value of a secret is in any.
    ``hosts`` of hosts.yaml are those that the one service is bound to, in the order of its ranks.

    Raises:
        InputError: a file that cannot be used, a name that is none; the tool cannot take a word, or two services
            publish one port; or what is or may be the value of a secret stands in a recipe.
        ModError: with ``folder``, a mod's file is not what it has to be.
    """
    exported, services = _exported(world, name, target, overrides, strict=strict, folder=folder)
    if hosts:
        exported = export_hosts.bound(exported, hosts, listed.hosts(world))
    made = written.written(exported, target)
    files = [*made.files, *_copies(exported, target)]
    for service in services:
        _refuse_values(world, service)
        values = {**world.stored_secrets, **world.secret_values(service)[0]}
        hint = "no exported file has the value of a secret"
        secrets.refuse_written(service.name, values, [text_of(one) for one in made.files], hint)
        render.warn_of_words(world, service.words)
    notes = [note for service in services for note in command.notes(service._replace(mods=()) if folder else service)]
    return ExportedFiles(target, tuple(files), made.notes, tuple(dict.fromkeys(notes)))


def _refuse_values(world: World, service: Service) -> None:
    """Refuse variables whose values may be secrets: `render` shows what its recipe says, and a file is passed on."""
    for name, value in service.spec.env:
        if value is None or is_plain(value):
            continue
        if sounds_secret(name) or world.boundary.hidden(value) != value:
            message = f"{service.name}: the value of {name} may be a secret, and no exported file has one"
            raise InputError(
                message, hint=f"write secrets: [{name}] in place of env, and give its value in secrets.env"
            )


def _exported(
    world: World, name: str, target: ExportTarget, overrides: Sequence[str], *, strict: bool, folder: Path | None
) -> tuple[ExportedSet, list[Service]]:
    loader = world.loader(world.disk_models)
    located = loader.located([name], overrides, strict=strict)
    whole = world.catalog.stack(name) if world.catalog.knows_stack(name) else None
    named = {one.member.stack for one in located if one.member.stack} if whole is None else ()
    stacks = {stack: world.catalog.stack(stack) for stack in named} if whole is None else {whole.name: whole}
    services = {one.name: one for one in world.services(loader, located)}
    order = [one.member.service for one in located]
    if whole is not None:
        order = [one for one in whole.order if one in services]
    of_stacks = {stack: declared(loaded) for stack, loaded in stacks.items()}
    carried = folder is not None and target not in written.STARTS_NOTHING
    found = []
    for one in sorted(located, key=lambda one: order.index(one.member.service)):
        said = of_stacks.get(one.member.stack, {}).get(one.member.service)
        service = _service(services[one.member.service], one, said, order, carried=carried)
        stack = stacks[one.member.stack].stack if one.member.stack else None
        if stack is not None and stack.hosts:
            service = export_hosts.placed(service, stack, stack.services[one.member.service], listed.hosts(world))
        found.append(service)
    sets = [word for override in overrides for word in ("--set", secrets.shown(override))]
    asked = shlex.join(["sparkctl", "export", name, "--as", target.value, *sets])
    routes = () if whole is None else declared_routes(whole)
    title = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(name).stem if "/" in name else name).strip("-.") or "exported"
    where = "" if folder is None else str(folder)
    gateway = None if whole is None else whole.stack.gateway
    address = "" if gateway is None else f"{gateway.bind}:{gateway.port}"
    exported = ExportedSet(title, asked, tuple(found), routes, where, name, address)
    return exported, [services[one.name] for one in found]


def _service(
    service: Service, located: Located, said: DeclaredService | None, beside: Sequence[str], *, carried: bool
) -> ExportedService:
    recipe = service.recipe
    model = ServedModel(
        recipe.model.repo,
        recipe.model.revision,
        model_argument(recipe, service.model),
        recipe.limits.context,
        recipe.description,
        recipe.model.chat,
    )
    if said is not None:
        said = _among(said, beside)
    on_host = recipe.container.network == "host"
    scheme = "https" if recipe.encrypted else "http"
    return ExportedService(
        name=service.name,
        recipe=_found_by(located),
        spec=service.spec,
        model=model,
        served_names=(recipe.serve.name, *recipe.serve.aliases),
        url=service.url,
        inside=service.url if on_host else f"{scheme}://127.0.0.1:{recipe.serve.container_port}",
        kind=service.kind,
        secrets=recipe.secrets,
        mods=tuple(_carried(one, service.mods, carried=carried) for one in service.mods),
        ready_s=recipe.ready.timeout,
        claim_bytes=service.footprint.steady_bytes,
        own_key=recipe.serve.own_key,
        declared=said,
        nodes=recipe.nodes,
        worker_bytes=_worker_bytes(service),
    )


def _worker_bytes(service: Service) -> int:
    """Return what a rank takes that is not the head, 0 where one host has the whole model."""
    of = service.resizer
    if service.recipe.nodes == 1:
        return 0
    version = of.loaded.version.memory
    taken = estimate(of.loaded.recipe, of.facts, of.draft, version, of.profile, once=of.once, worker=True)
    return taken.steady_bytes


def _found_by(located: Located) -> str:
    """Return the name that means a service: of a stack with the stack's before it, for a recipe may have the same."""
    member = located.member
    return f"{member.stack}:{member.service}" if member.stack else member.recipe


def _among(said: DeclaredService, beside: Sequence[str]) -> DeclaredService:
    """Return what a stack says of a service, without those before it that are not exported."""
    return (
        said
        if set(said.after) <= set(beside)
        else replace(said, after=tuple(one for one in said.after if one in beside))
    )


def _carried(mod: MountedMod, every: Sequence[MountedMod], *, carried: bool) -> CarriedMod:
    if not carried:
        return CarriedMod(mod.mod, mod.target, str(mod.source))
    name = _beside(mod)
    if len([one for one in every if _beside(one) == name]) > 1:
        name = f"{mod.md5[:8]}-{name}"
    return CarriedMod(mod.mod, mod.target, str(mod.source), name, on_disk.verified(mod))


def _beside(mod: MountedMod) -> str:
    """Return the name of a copy: what a ConfigMap takes for a key is a name of a file, too."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{mod.mod}-{Path(mod.name).name}")


def _copies(exported: ExportedSet, target: ExportTarget) -> list[ExportedFile]:
    """Return the copies of mods' files that go along; a ConfigMap has them in it."""
    if target is ExportTarget.KUBERNETES:
        return []
    every = [mod for service in exported.services for mod in service.mods]
    found = {mod.file: mod.content for mod in every if mod.content is not None}
    return [ExportedFile(name, content) for name, content in found.items()]


def write(world: World, exported: ExportedFiles, folder: Path, *, over: bool) -> list[Path]:
    """Write an export's files into a folder, all or none, and return their paths.

    ``over``: in the place of files of the same names; other files of the folder are left alone.

    Raises:
        InputError: one of them is there already, there is no permission, or the disk is full; then nothing is changed.
    """
    contents = {one.name: _bytes(one) for one in exported.files}
    if not os.path.lexists(folder):
        world.files.write_folder(folder, contents, replace=False)
        return [folder / name for name in contents]
    if not folder.is_dir():
        raise InputError(f"{folder} is there already, and no folder", hint="name another one: --out FOLDER")
    there = [name for name in contents if os.path.lexists(folder / name)]
    if there and not over:
        message = f"{folder} has {', '.join(there)} already"
        raise InputError(message, hint="--replace writes over them, or name another folder")
    return all_or_none.write(world.files, {folder / name: content for name, content in contents.items()})


def _bytes(file: ExportedFile) -> bytes:
    return file.content.encode() if isinstance(file.content, str) else file.content


def absolute(folder: str) -> Path:
    """Return the folder that an operator named, as other tools find it from anywhere."""
    return real(Path(folder))
