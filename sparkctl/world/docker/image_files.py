"""Files of running containers and of images, read without a program of ours in either."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from docker.errors import APIError, NotFound

from sparkctl.base.errors import EngineError
from sparkctl.base.units import MIB
from sparkctl.world.docker import create
from sparkctl.world.docker.errors import to_its_end, within
from sparkctl.world.docker.pieces import MOST_FILE, MOST_WRITTEN, closed, joined, only_file, two
from sparkctl.world.spec import ContainerSpec
from sparkctl.world.throwaway import throwaway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from docker import APIClient

    from sparkctl.world.engine import Container

READER: Final = "reader"
"""The purpose, in their labels, of the throwaway containers in which an image's files are read."""
_NO_SUCH_PROGRAM: Final = (126, 127)  # as a shell counts: it cannot be run, there is none
_GONE: Final = ("No such file or directory", "Not a directory")
_FOLDER: Final = 1 << 31  # os.ModeDir of Go, in the mode that the engine reports
_MOST_LINKS: Final = 40  # as Linux follows
_PYTHON: Final = """import sys
try:
    sys.stdout.buffer.write(open(sys.argv[1], "rb").read())
except OSError as error:
    sys.exit(error.strerror)
"""


def read_in_container(client: APIClient, container: Container, path: str) -> bytes | None:
    """Return a file as a process in the running container sees it, or None if there is none.

    A process of the container reads it, because ``get_archive`` looks at the layers and the mounts' present sources.

    Raises:
        EngineError: it cannot be read, or the image has neither ``cat`` nor ``python3`` to read it with.
    """
    for words in (["cat", "--", path], ["python3", "-c", _PYTHON, path]):
        code, output, errors = execute(client, container.id, words)
        if code == 0:
            return output
        if code not in _NO_SUCH_PROGRAM:
            break
    else:
        message = f"cannot read {path} in the container {container.name}: its image has neither cat nor python3"
        raise EngineError(message, hint="use an image that has one of them, or run without mods")
    reason = errors.decode(errors="replace").strip()
    if reason.endswith(_GONE):
        return None
    raise EngineError(f"cannot read {path} in the container {container.name}: {reason}")


class Bare:
    """Makes and removes containers within a call that has its own words for what fails."""

    def __init__(self, client: APIClient) -> None:
        self._client = client

    def create(self, spec: ContainerSpec) -> str:
        """Create, without starting, the container and return its id.

        Raises:
            docker.errors.DockerException: as the SDK raises.
        """
        arguments = create.arguments(spec, {})
        return str(to_its_end(partial(self._client.create_container, **arguments, use_config_proxy=False))["Id"])

    def remove(self, container: str) -> None:
        """Remove a container by its name or id. One that is gone already is no error."""
        with suppress(NotFound):
            self._client.remove_container(container, v=True, force=True)


def reader(reference: str, *, entrypoint: str | None = None, command: tuple[str, ...] = ("true",)) -> ContainerSpec:
    """Return a container to look into an image with: without a network, and without a GPU."""
    return ContainerSpec(
        image=reference,
        name=f"sparkctl-reader-{uuid4().hex[:12]}",
        entrypoint=entrypoint,
        command=command,
        network="none",
        env=(("NVIDIA_VISIBLE_DEVICES", "void"),),
        log_driver="json-file",  # an image that prints without an end fills no disk
        log_opts=(("max-file", "1"), ("max-size", f"{MOST_WRITTEN // MIB}m")),
    )


def read_in_image(client: APIClient, reference: str, paths: Sequence[str], process: str) -> dict[str, bytes | None]:
    """Return files of an image, None for one that is not there, from a container that is created and never started.

    ``process`` is the one that asks, for the container's label.

    Raises:
        EngineError: one is a folder.
        docker.errors.DockerException: as the SDK raises.
    """
    with throwaway(Bare(client), reader(reference), READER, process) as made:
        return {path: _archived(client, made, path) for path in paths}


def _archived(client: APIClient, container: str, path: str) -> bytes | None:
    for _ in range(_MOST_LINKS):
        try:
            stat, archive = within(client.timeout, partial(_archive, client, container, path))
        except APIError as error:
            if error.status_code == HTTPStatus.NOT_FOUND or "not a directory" in str(error.explanation):
                return None
            raise
        if not stat["linkTarget"]:
            return only_file(archive, MOST_FILE, f"{path} of the image")
        path = stat["linkTarget"]  # as the engine resolves it within the image's root
    return None


def _archive(client: APIClient, container: str, path: str) -> tuple[dict[str, Any], bytes]:
    """Return what the engine says of a path, and the path as a tar archive."""
    pieces, stat = client.get_archive(container, path)
    if stat["mode"] & _FOLDER:
        pieces.close()
        raise EngineError(f"cannot read {path} in the image: it is a folder")
    try:
        return stat, joined(pieces, MOST_FILE, f"{path} of the image")
    finally:
        pieces.close()


def execute(client: APIClient, container: str, words: list[str]) -> tuple[int, bytes, bytes]:
    """Run a program, which only reads, in a running container; return its exit code and what it wrote to both outputs.

    One that wrote neither what it found nor why it failed is run once more: on a busy machine an engine can lose the
    output of a program that ends at once (moby/moby#27289, seen on 26.1 too).
    """
    code, output, errors = _executed(client, container, words)
    said = (errors or code in _NO_SUCH_PROGRAM) if code else output
    return (code, output, errors) if said else _executed(client, container, words)


def _executed(client: APIClient, container: str, words: list[str]) -> tuple[int, bytes, bytes]:
    created = client.exec_create(container, words, environment={"LC_ALL": "C"})

    def written() -> tuple[bytes, bytes]:
        pieces = client.exec_start(created["Id"], stream=True, demux=True)
        with closed(pieces):
            return two(pieces, MOST_FILE, f"what {words[0]} wrote in the container {container}")

    try:
        output, errors = within(client.timeout, written)
    except APIError as error:
        if "executable file not found" not in str(error.explanation):
            raise
        return _NO_SUCH_PROGRAM[-1], b"", b""
    return int(client.exec_inspect(created["Id"])["ExitCode"]), output, errors
