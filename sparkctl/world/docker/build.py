"""Building images: a program runs in a container of the base, and what it changed is committed.

The engine's own builder is not used. The one of Docker 20.10 has no mounts, so that wheels would stay in a layer; a
build that is cut off leaves images without a name; and what a build is told (a proxy, an index) stays in the history.
Here all of that is in /tmp, which is a volume of the container, and no part of the image. A commit is whole or
nothing; a container that a kill leaves is known by its labels (``sparkctl.world.throwaway``).
"""

from __future__ import annotations

import io
import tarfile
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from docker.errors import ImageNotFound

from sparkctl.base.units import MIB
from sparkctl.world.builder import BUILD_FOLDER, WHEELS_FOLDER, BuildEnd, BuildMoment, BuiltImage
from sparkctl.world.docker import create
from sparkctl.world.docker.errors import to_its_end
from sparkctl.world.docker.image_files import Bare
from sparkctl.world.docker.log_tail import DockerLogTail, lines_of
from sparkctl.world.docker.pieces import MOST_WRITTEN, log_end
from sparkctl.world.labels import LABEL_PROCESS, LABEL_THROWAWAY
from sparkctl.world.spec import ContainerSpec, Mount
from sparkctl.world.throwaway import throwaway

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from docker import APIClient

    from sparkctl.world.builder import BuildOrder
    from sparkctl.world.docker.errors import Endpoint

PURPOSE: Final = "image"
"""The purpose, in their labels, of the throwaway containers in which images are built."""
COMMIT_S: Final = 3600
"""How long the engine may write an image, which answers at the end alone: a bound of ours, of minutes for some GB."""
_PIDS: Final = 4096
_LAST_LINES: Final = 400
_LOOK_S: Final = 0.2
_ROOT: Final = {"", "0", "root", "0:0", "root:root"}
_ENDED: Final = {"exited", "dead"}
_PROGRAM: Final = "build.py"


def build(client: APIClient, endpoint: Endpoint, order: BuildOrder, process: str) -> Generator[BuildMoment]:
    """Build an image; ``process`` is the one that asks, for the container's label.

    Raises:
        EngineError: the engine refuses.
    """
    with endpoint.asked(f"build the image {order.tag}"):
        base: dict[str, Any] = client.inspect_image(order.base)["Config"] or {}  # type: ignore[no-untyped-call]
        with throwaway(_Kitchen(client), _spec(order, base), PURPOSE, process) as made:
            client.put_archive(made, "/", _packed(order))
            client.start(made)
            for moment in _moments(client, made):
                if moment.end is not None and moment.end.exit_code == 0:
                    yield BuildMoment((*moment.lines, "writing the image"))
                    _commit(client, made, order, base)
                    yield BuildMoment((), moment.end)
                else:
                    yield moment


def built(client: APIClient, label: str) -> list[BuiltImage]:
    """Return the images that have a label.

    Raises:
        docker.errors.DockerException: as the SDK raises.
    """
    found = client.images(filters={"label": label})
    return [
        BuiltImage(one["Id"], tuple(one.get("RepoTags") or ()), int(one.get("Size") or 0), one.get("Labels") or {})
        for one in found
    ]


def discard(client: APIClient, image: str) -> None:
    """Remove a tag, or the image with an id. The image that it was built on stays.

    Raises:
        docker.errors.DockerException: as the SDK raises.
    """
    with suppress(ImageNotFound):
        client.remove_image(image, noprune=True)


class _Kitchen(Bare):
    """Makes the container of a build: its entry point is the program alone, so that the image can go without one."""

    def create(self, spec: ContainerSpec) -> str:
        """Create, without starting, the container and return its id.

        The proxies of docker's own settings are not given to it: its environment becomes the image's.

        Raises:
            docker.errors.DockerException: as the SDK raises.
        """
        arguments = create.arguments(spec, {}) | {"entrypoint": ["python3", f"{BUILD_FOLDER}/{_PROGRAM}"]}
        return str(to_its_end(partial(self._client.create_container, **arguments, use_config_proxy=False))["Id"])


def _spec(order: BuildOrder, base: Mapping[str, Any]) -> ContainerSpec:
    mounts = [Mount("/tmp", kind="volume")]  # noqa: S108  (the container's)
    if order.wheels is not None:
        mounts.append(Mount(WHEELS_FOLDER, str(order.wheels), read_only=True))
    return ContainerSpec(
        image=order.base,
        name=f"sparkctl-build-{uuid4().hex[:12]}",
        labels=tuple(order.labels.items()),
        mounts=tuple(mounts),
        network="" if order.network else "none",
        user="" if _is_root(base) else "0:0",
        memory=order.memory_bytes,
        memory_swap=order.memory_bytes,
        pids_limit=_PIDS,
        cap_drop=("ALL",),
        cap_add=("CHOWN", "DAC_OVERRIDE", "FOWNER"),
        security_opt=("no-new-privileges",),
        log_driver="json-file",
        log_opts=(("max-file", "1"), ("max-size", f"{MOST_WRITTEN // MIB}m")),
    )


def _is_root(base: Mapping[str, Any]) -> bool:
    return str(base.get("User") or "") in _ROOT


def _packed(order: BuildOrder) -> bytes:
    """Return the program and its files as an archive over the container's root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in {**order.files, _PROGRAM: order.program}.items():
            member = tarfile.TarInfo(f"{BUILD_FOLDER.removeprefix('/')}/{name}")
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _moments(client: APIClient, container: str) -> Iterator[BuildMoment]:
    tail = DockerLogTail(client, container)
    try:
        while True:
            state = client.inspect_container(container)["State"]
            lines = tuple(tail.read())
            if state["Status"] in _ENDED:
                last = tuple(lines_of(log_end(client, container, _LAST_LINES)))
                yield BuildMoment(lines, BuildEnd(int(state["ExitCode"]), bool(state.get("OOMKilled")), last))
                return
            yield BuildMoment(lines)
            time.sleep(_LOOK_S)
    finally:
        tail.close()


def _commit(client: APIClient, container: str, order: BuildOrder, base: Mapping[str, Any]) -> None:
    """Make the image: what the container holds, with the settings of the base.

    A commit takes the container's labels over, and can set them anew but not leave them out: they are empty.
    """
    settings = {
        "Labels": {**order.labels, LABEL_THROWAWAY: "", LABEL_PROCESS: ""},
        "Entrypoint": base.get("Entrypoint") or [],
        "Cmd": base.get("Cmd") or [],
        "User": base.get("User") or "",
    }
    name, _, tag = order.tag.rpartition(":")
    with _patient(client):
        to_its_end(partial(client.commit, container, repository=name, tag=tag, message=order.comment, conf=settings))


@contextmanager
def _patient(client: APIClient) -> Iterator[None]:
    """Wait longer for an answer, meanwhile: the SDK's ``commit`` has no timeout of its own."""
    usual = client.timeout
    client.timeout = COMMIT_S
    try:
        yield
    finally:
        client.timeout = usual
