"""A container set aside until its successor has proved itself, and what a killed command left of that.

What runs is renamed, then its successor is created under its name, and only then is it stopped: whatever can go wrong
until then leaves it running. A killed command leaves the containers as they are; their names and labels say what was
meant, so that the next command can put it right. The decision is ``findings``; ``start.aside`` acts on it.

What ran before comes back unless its successor became ready; of trials (the values of a sweep, the product that a job
checks) always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.world.labels import LABEL_KEPT, LABEL_PROCESS, LABEL_SERVICE, LABEL_TRIAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.world.engine import Container

ASIDE: Final = ".aside"
"""What the name of a container ends with that ran when it was set aside: it is started again when it comes back."""
STOPPED: Final = ".aside.stopped"
"""The same of one that did not run: it gets its name back, and no more."""
IDLE: Final = {"created", "exited", "dead"}
"""States of a container that has no process."""


class AsideFinding(NamedTuple):
    """What was found of a service beside the container under its name, and what the next command does about it.

    ``words`` say it. Containers in ``remove`` go; ``back`` gets the service's name, and runs again if it ran before.
    Where there is neither, it is as it has to be for now.
    """

    service: str
    words: str
    remove: tuple[Container, ...] = ()
    back: Container | None = None

    @property
    def left_over(self) -> bool:
        """Whether something is to be done."""
        return bool(self.remove) or self.back is not None

    @property
    def todo(self) -> str:
        """What is to be done, as an operator reads it beforehand; "" where there is nothing."""
        parts = [f"removes {container.name}" for container in self.remove]
        if self.back is not None:
            how = "starts it again" if must_start(self.back) else "gives it its name back"
            parts.append(f"{how} ({self.back.name})")
        return f"the next command that changes something {' and '.join(parts)}" if parts else ""

    def __str__(self) -> str:
        """Return what was found and what is to be done, as an operator reads it."""
        return "; ".join(filter(None, [self.words, self.todo]))


def must_start(aside: Container) -> bool:
    """Return whether a container that was set aside ran then, and does not now."""
    return aside.name.endswith(ASIDE) and aside.state in IDLE


def set_aside_of(service: str, containers: Sequence[Container]) -> list[Container]:
    """Return what is set aside of a service, what ran before first."""
    names = {container.name: container for container in containers}
    found = [names[service + end] for end in (ASIDE, STOPPED) if service + end in names]
    return [container for container in found if container.labels.get(LABEL_SERVICE) == service]


def is_set_aside(container: Container) -> bool:
    """Return whether a container is one that was set aside."""
    service = container.labels.get(LABEL_SERVICE)
    return service is not None and container.name in {service + ASIDE, service + STOPPED}


def findings(
    containers: Sequence[Container], worked_on: Callable[[str], bool], ready: Callable[[Container], bool]
) -> list[AsideFinding]:
    """Return what is set aside, and what killed commands left, by service.

    ``worked_on`` says whether a command that runs works on a service; ``ready`` asks whether a container's server
    answers, and is asked only of a successor that no command waits for any more.
    """
    names = {container.name: container for container in containers}
    services = sorted({one.labels[LABEL_SERVICE] for one in containers if LABEL_SERVICE in one.labels})
    found = [_finding(service, names, worked_on, ready) for service in services]
    return [finding for finding in found if finding is not None]


def _finding(
    service: str,
    names: Mapping[str, Container],
    worked_on: Callable[[str], bool],
    ready: Callable[[Container], bool],
) -> AsideFinding | None:
    aside, now = set_aside_of(service, list(names.values())), names.get(service)
    if worked_on(service):
        return _watched(service, now, aside)
    if now is None:
        return _alone(service, aside) if aside else None
    if now.labels.get(LABEL_SERVICE) != service:
        return _name_taken(service, aside) if aside else None
    back, rest = (aside[0], tuple(aside[1:])) if aside else (None, ())
    if now.state == "created" and LABEL_PROCESS in now.labels:
        return AsideFinding(service, "a killed command had created a container and not started it", (now, *rest), back)
    if LABEL_TRIAL in now.labels:
        return AsideFinding(service, "a killed command left a container that was on trial", (now, *rest), back)
    return _unproved(service, now, aside, ready) if aside else None


def _alone(service: str, aside: Sequence[Container]) -> AsideFinding:
    what = "stopped it and set it aside" if must_start(aside[0]) else "set it aside"
    return AsideFinding(service, f"a killed command had {what}", tuple(aside[1:]), aside[0])


def _name_taken(service: str, aside: Sequence[Container]) -> AsideFinding:
    runs = "runs on" if aside[0].state == "running" else "is set aside"
    words = f"its name has a container that sparkctl did not make; its own {runs} as {aside[0].name}"
    return AsideFinding(service, f"{words}: rename or remove the other one (docker rename, docker rm)")


def _watched(service: str, now: Container | None, aside: Sequence[Container]) -> AsideFinding | None:
    """Say what a command is doing that still runs: nothing of it is left over."""
    trial = now is not None and LABEL_TRIAL in now.labels
    if not aside and not trial:
        return None
    who = worker(now)
    doing = f"{who} tries it, and removes it afterwards" if trial else f"{who} starts its successor"
    if not aside:
        return AsideFinding(service, doing)
    unless = "" if trial else " unless that becomes ready"
    return AsideFinding(service, f"{doing}; what ran before is set aside as {aside[0].name} and comes back{unless}")


def _unproved(
    service: str, now: Container, aside: Sequence[Container], ready: Callable[[Container], bool]
) -> AsideFinding:
    """Say what becomes of a successor that no command waits for: it is asked once more whether it is ready."""
    named = aside[0].name
    if now.state == "running" and ready(now):
        return AsideFinding(service, f"its successor is ready, and {named} is still set aside", tuple(aside))
    if now.state not in IDLE:
        words = f"no command waits for its successor; {named} is set aside until that is ready"
        return AsideFinding(service, f"{words}: sparkctl attach {service} waits for it")
    if LABEL_KEPT in now.labels:
        words = f"its successor failed and was kept (--keep); {named} is set aside"
        return AsideFinding(
            service, f"{words}: sparkctl up {service} starts it anew, sparkctl down {service} removes both"
        )
    return AsideFinding(service, "a killed command had started a successor, which ended", (now, *aside[1:]), aside[0])


def worker(container: Container | None) -> str:
    """Return who made a container, as an operator knows a process: by its number."""
    parts = "" if container is None else container.labels.get(LABEL_PROCESS, "")
    number = parts.split("~")[-2:-1]
    return f"process {number[0]}" if number else "another command"
