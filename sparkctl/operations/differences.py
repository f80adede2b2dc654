"""How a container that runs differs from what is wanted of it now, as an operator reads it. Pure.

Two kinds: its recipe says something else now, which its command shows; or what its recipe only names is another by now,
the image behind the tag and the values of the secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.operations import secrets
from sparkctl.recipes.host_side import caches
from sparkctl.world import labels, settings
from sparkctl.world.labels import LABEL_ADOPTED, PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container, Image
    from sparkctl.world.labels import ServiceLabels
    from sparkctl.world.spec import ContainerSpec

_SHORT_ID: Final = 12


def differences(service: Service, running: Container, image: Image | None, values: Mapping[str, str]) -> list[str]:
    """Return one line for each difference: ``--max-model-len: 16384 runs, 32768 wanted``; [] if there is none.

    ``image`` is what the engine has behind the tag now, None: nothing; ``values`` are those of the service's secrets.
    """
    record = labels.read(running.labels)
    found = [] if record.digest == service.digest else of_command(service.spec, running)
    if LABEL_ADOPTED in running.labels:
        found = [*record.damaged, *found]
    elif record.digest is None:
        found = ["its labels do not say as what it was started", *record.damaged, *found]
    elif record.recipe not in {None, service.record.recipe}:
        found = [f"recipe: {record.recipe} runs, {service.record.recipe} wanted", *found]
    told = any(line.startswith("--publish") for line in found)
    if record.url not in {None, service.url} and not told:
        found.append(f"url: {record.url} runs, {service.url} wanted")
    if record.digest not in {None, service.digest} and not found:
        found = ["the container's settings (docker run's own flags, or its labels)"]
    if found and LABEL_ADOPTED not in running.labels:
        found += _laid_over(record, service.record)
    if running.image == service.spec.image:
        found += of_image(running, image)
    recorded = record.secrets.digests if record.secrets is not None else {}
    removed = [f"secret {name}: not wanted any more" for name in recorded if name not in service.recipe.secrets]
    return [*found, *of_secrets(running, values), *removed]


def _laid_over(then: ServiceLabels, now: ServiceLabels) -> list[str]:
    """Return what was laid over a recipe at a service's start, where that is not what is laid over it now."""
    if then.laid_over is None:
        return ["what was laid over its recipe at its start is not known"]
    overrides = then.laid_over.overrides
    if now.laid_over is not None and overrides == now.laid_over.overrides:
        return []
    return [f"laid over its recipe at its start: {' '.join(map(secrets.shown, overrides)) or 'nothing'}"]


def of_command(spec: ContainerSpec, running: Container) -> list[str]:
    """Return how the image, the flags, the variables and the mounts differ.

    Values of environment variables are compared and not shown: some are secrets.
    """
    lines = _changes({"image": running.image}, {"image": spec.image})
    lines += _changes(flags(running.command), flags(spec.command))
    runs, wanted = dict(running.env), {key: value for key, value in spec.env if value is not None}
    lines += [f"--env {key}: another value" for key, value in wanted.items() if key in runs and runs[key] != value]
    lines += [f"--env {key}: not set in what runs" for key in wanted if key not in runs]
    lines += _changes(
        {f"mount {target}": caches.told(target, source) for source, target, _ in running.mounts},
        {f"mount {mount.target}": caches.told(mount.target, mount.source or "") for mount in spec.mounts},
    )
    return [*lines, *_of_options(spec, running), *_of_labels(spec, running)]


def _of_options(spec: ContainerSpec, running: Container) -> list[str]:
    """Return how docker run's own options differ: ports, restart, limits, devices."""
    if running.settings is None:
        return []
    wanted = settings.of_spec(spec)
    left = {name for name in settings.OF_THE_IMAGE if name not in wanted}
    return _changes({name: value for name, value in running.settings.items() if name not in left}, wanted)


def _of_labels(spec: ContainerSpec, running: Container) -> list[str]:
    """Return how the labels differ that are not sparkctl's own; a container has those of its image too."""
    wanted = {f"--label {name}": value for name, value in spec.labels if not name.startswith(PREFIX)}
    runs = {f"--label {name}": value for name, value in running.labels.items()}
    return _changes({name: value for name, value in runs.items() if name in wanted}, wanted)


def of_image(running: Container, image: Image | None) -> list[str]:
    """Return that the tag of a container's image names another image now: it was pulled, built or tagged again."""
    # The engine's name for the image is compared with its name at the start: a container's own word may differ.
    ran = labels.read(running.labels).image_id or running.image_id
    if image is None or image.id == ran:
        return []
    ids = f"{_short(ran)} runs, {_short(image.id)} is there now"
    return [f"changed: the image behind this tag ({running.image}): {ids}"]


def of_secrets(running: Container, values: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that have another value now, or that the container was started without.

    By the digests in its labels; a container that was made from a pasted command has none, and its environment says it.
    """
    recorded = labels.read(running.labels).secrets
    if recorded is not None:
        names = secrets.changed(recorded, values)
    else:
        held = dict(running.env)
        names = [name for name, value in values.items() if held.get(name) != value]
    return [f"changed: secret {name}" for name in names]


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:_SHORT_ID]


def flags(words: Sequence[str]) -> dict[str, str]:
    """Return the flags of a ``vllm serve`` command with their values; words before the first flag stand under ''."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            found[name] = [value] if equals else []
        else:
            found[name].append(word)
    return {name: " ".join(values) for name, values in found.items() if name or values}


def _changes(runs: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    lines = []
    for name in [*wanted, *(name for name in runs if name not in wanted)]:
        have, want = runs.get(name), wanted.get(name)
        if have is None:
            lines.append(f"{name}: not in what runs, {want or 'set'} wanted")
        elif want is None:
            lines.append(f"{name}: {have or 'set'} runs, not wanted")
        elif have != want:
            lines.append(f"{name}: {have} runs, {want} wanted")
    return lines
