"""How a stored service differs from a later one, or from the declared one: flag by flag. Pure.

Images are compared by what is behind their tags, models by their commits, mods by their md5, secrets by their names.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document
from sparkctl.base.errors import InputError
from sparkctl.base.shown import HIDDEN
from sparkctl.base.units import format_gib
from sparkctl.operations import differences, secrets
from sparkctl.operations.stack import variables
from sparkctl.recipes.host_side import caches
from sparkctl.world import settings
from sparkctl.world.docker_run import grammar
from sparkctl.world.labels import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.planning.box.generation import KeptGeneration, KeptService
    from sparkctl.world.spec import ContainerSpec

_SHORT: Final = 12


ADDED: Final = "added"
REMOVED: Final = "removed"
CHANGED: Final = "changed"


class ServiceChange(NamedTuple):
    """A generation's difference in one service: ``kind`` is ADDED, REMOVED or CHANGED, with a line for each."""

    service: str
    kind: str
    lines: tuple[str, ...] = ()


def changes(old: KeptGeneration | None, new: KeptGeneration) -> list[ServiceChange]:
    """Return which services differ between two generations, in the order of the new one; None: there was none.

    A service whose words this sparkctl cannot read is reported as such.
    """
    found = []
    for service in new.services:
        before = None if old is None else old.service(service.name)
        lines = () if before is None else tuple(_told(before, service))
        if before is None or lines:
            found.append(ServiceChange(service.name, ADDED if before is None else CHANGED, lines))
    gone = [] if old is None else [one.name for one in old.services if new.service(one.name) is None]
    return [*found, *(ServiceChange(name, REMOVED) for name in gone)]


def _told(old: KeptService, new: KeptService) -> list[str]:
    try:
        return compared(old, new)
    except InputError as error:
        return [f"it cannot be compared: {error.message}"]


def host_changes(old: KeptGeneration, new: KeptGeneration) -> list[str]:
    """Return how the stacks differ in what they are and in what they want of the host, one line a difference."""
    lines = _changed({"stack": old.stack, "file": old.file}, {"stack": new.stack, "file": new.file})
    return [*lines, *_changed(_host(old), _host(new)), *gateway_changes(old, new)]


def gateway_changes(old: KeptGeneration, new: KeptGeneration) -> list[str]:
    """Return how the stacks differ in what they want of the gateway, one line a difference."""
    then, now = ({f"gateway.{key}": text for key, text in _gateway(one).items()} for one in (old, new))
    return _changed({**_routes(old), **then}, {**_routes(new), **now})


def _gateway(one: KeptGeneration) -> dict[str, str]:
    said = one.gateway
    if said is None:
        return {}
    return {
        "bind": said.bind,
        "port": str(said.port),
        "wait": f"{said.wait_s:g} s",
        "queue": str(said.queue),
        "comments": str(said.comments).lower(),
        "certificate": said.certificate,
        "certificate-key": said.certificate_key,
        "open": str(said.open).lower(),
    }


def _routes(one: KeptGeneration) -> dict[str, str]:
    return {
        f"routes.{route.name}": f"{route.first}, then {route.then} when {', '.join(route.when)}"
        f" (start: {str(route.start).lower()}, waiting: {route.waiting})"
        for route in one.routes
    }


def _host(one: KeptGeneration) -> dict[str, str]:
    sizes = {"reserve": one.reserve_bytes, "guard.act": one.act_bytes, "guard.floor": one.floor_bytes}
    return {f"host.{name}": "" if size is None else format_gib(size) for name, size in sizes.items()}


def compared(old: KeptService, new: KeptService) -> list[str]:
    """Return one line a difference: ``--max-model-len: 16384 before, 32768 now``; [] where there is none.

    Values of variables are compared and not shown: some are secrets.

    Raises:
        InputError: the words of one of them are no command that this sparkctl reads.
    """
    if old == new:
        return []
    lines = _changed({"recipe": old.recipe}, {"recipe": new.recipe})
    lines += [*_image(old, new), *_changed({"vLLM": old.vllm}, {"vLLM": new.vllm}), *_model(old, new)]
    if old.words != new.words:
        told = _targets(old) | _targets(new) | ({caches.COMPILED} if old.image != new.image else set())
        lines += _command(grammar.parse(old.words), grammar.parse(new.words), told)
    lines += _changed(_mods(old), _mods(new))
    lines += [f"secret {name}: not wanted before" for name in new.secrets if name not in old.secrets]
    lines += [f"secret {name}: not wanted any more" for name in old.secrets if name not in new.secrets]
    lines += _changed(_declared(old), _declared(new))
    if not lines and old.digest != new.digest:
        lines = [f"--env {name}: perhaps another value (it is not kept)" for name in variables.names(new)]
    return lines if lines or old.text == new.text else _recipe(old.text, new.text)


def _image(old: KeptService, new: KeptService) -> list[str]:
    """Return how the images differ: by their ids if both are known, and by their names if those differ."""
    named = _changed({"image": old.image}, {"image": new.image})
    known = old.image_id and new.image_id
    same = old.image_id == new.image_id or bool(set(old.image_digests) & set(new.image_digests))
    if not known or same:
        return [f"{line} (the same image)" for line in named] if known else named
    ids = f"{_short(old.image_id)} before, {_short(new.image_id)} now"
    return [*named, f"image id: {ids}"] if named else [f"image behind the tag ({new.image}): {ids}"]


def _model(old: KeptService, new: KeptService) -> list[str]:
    lines = _changed({"model": old.model, "draft": old.draft}, {"model": new.model, "draft": new.draft})
    then, now = _commits(old), _commits(new)
    both = [repo for repo in now if then.get(repo) and now[repo]]
    return [*lines, *_changed({repo: then[repo] for repo in both}, {repo: now[repo] for repo in both})]


def _commits(one: KeptService) -> dict[str, str]:
    """Return the commits of a service's models, "" where one is not known."""
    found = {f"revision of {one.model}": one.revision or ""}
    return found | ({f"revision of {one.draft}": one.draft_revision or ""} if one.draft else {})


def _command(old: ContainerSpec, new: ContainerSpec, told: set[str]) -> Iterator[str]:
    """Yield how the flags, the variables, the mounts, docker's options and other labels differ.

    ``told`` are the targets of mounts that are reported elsewhere: mods by their md5, and the folder of compiled files,
    which follows from the image.
    """
    yield from _changed(differences.flags(old.command), differences.flags(new.command))
    then, now = dict(old.env), dict(new.env)
    for name in dict.fromkeys([*now, *then]):
        if name not in then:
            yield f"--env {name}: not set before"
        elif name not in now:
            yield f"--env {name}: not set any more"
        elif then[name] != now[name] and HIDDEN not in {then[name], now[name]}:
            yield f"--env {name}: another value"
    yield from _changed(_mounts(old, told), _mounts(new, told))
    yield from _changed(_options(old), _options(new))


def _mounts(spec: ContainerSpec, told: set[str]) -> dict[str, str]:
    given = [mount for mount in spec.mounts if mount.target not in told]
    return {f"mount {mount.target}": caches.told(mount.target, mount.source or "") for mount in given}


def _options(spec: ContainerSpec) -> dict[str, str]:
    own = {f"--label {name}": value for name, value in spec.labels if not name.startswith(PREFIX)}
    return {**settings.of_spec(spec), **own, "--entrypoint": spec.entrypoint or ""}


def _targets(one: KeptService) -> set[str]:
    return {mod.target for mod in one.mods}


def _mods(one: KeptService) -> dict[str, str]:
    return {f"mod {mod.mod} {mod.target}": f"md5 {mod.md5}" for mod in one.mods}


def _declared(one: KeptService) -> dict[str, str]:
    """Return what the stack says beside the recipe, in the words of its file."""
    said, bounds = one.declared, one.declared.restarts
    return {
        "start": str(said.start),
        "priority": str(said.priority),
        "keep": str(said.keep).lower(),
        "after": ", ".join(said.after),
        "idle": "" if said.idle_s is None else f"{said.idle_s:g} s",
        "stays": f"{said.stays_s:g} s",
        "restart.first": f"{bounds.first_s:g} s",
        "restart.most": f"{bounds.most_s:g} s",
        "restart.attempts": str(bounds.attempts),
        "restart.within": f"{bounds.within_s:g} s",
        "names": ", ".join(said.names),
        "defaults": json.dumps(dict(said.defaults), sort_keys=True) if said.defaults else "",
        "force": json.dumps(dict(said.force), sort_keys=True) if said.force else "",
    }


def _recipe(old: str, new: str) -> list[str]:
    """Return how recipes with the same command differ: for instance in what is required of a ready service."""
    try:
        then, now = _values(old), _values(new)
    except InputError:
        return ["the text of the recipe"]
    return _changed(then, now) or ["the text of the recipe"]


def _values(text: str) -> dict[str, str]:
    found = {}
    for path, node in document.load(text, "a kept recipe").root.walk():
        key = ".".join(map(str, path))
        found[key] = secrets.shown(f"{key}={node.text or node.content}").partition("=")[2]
    return found


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:_SHORT]


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return how named values differ; "" stands for a missing value."""
    lines = []
    for name in dict.fromkeys([*new, *old]):
        then, now = old.get(name), new.get(name)
        if (then or "") == (now or "") and (then is None) == (now is None):
            continue
        lines.append(f"{name}: {_said(then, old, name)} before, {_said(now, new, name)} now")
    return lines


def _said(value: str | None, of: Mapping[str, str], name: str) -> str:
    return value or ("set" if name.startswith("--") and name in of else "none")
