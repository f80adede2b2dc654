"""The Docker Engine, by the SDK for Python."""

from __future__ import annotations

import math
import os
import platform
import socket
import time
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

from docker import APIClient
from docker.context import ContextAPI
from docker.errors import APIError, ImageNotFound, NotFound
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from sparkctl.base.errors import EngineError
from sparkctl.world.docker import build, carry, create, image_files, pull, python, workbench
from sparkctl.world.docker.creation import creation_of
from sparkctl.world.docker.errors import Endpoint, to_its_end
from sparkctl.world.docker.inspected import HostFacts, container_of, image_of, info_of, offered_of
from sparkctl.world.docker.log_tail import DockerLogTail, lines_of
from sparkctl.world.docker.pieces import MOST_LINES, log_end

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sparkctl.world.builder import BuildMoment, BuildOrder, BuiltImage
    from sparkctl.world.engine import (
        Container,
        Creation,
        EngineInfo,
        Image,
        ImportedFile,
        LogTail,
        OfferedImage,
        Package,
        PullProgress,
    )
    from sparkctl.world.spec import ContainerSpec
    from sparkctl.world.workbench import PathChange, PathEntry

# Docker 20.10, the oldest that the tests run on; GPU requests came one version earlier.
OLDEST_API: Final = (1, 41)
_SHORTEST_ID: Final = 12
_KNOWN_S: Final = 5.0
_ENDING_S: Final = 1
"""So long after it has ended, in seconds, an engine may not know of it at most: a choice."""
"""For so long an engine is who it was when it was last asked: one `up` wants to know it sixteen times."""
_BEING_REMOVED: Final = "dead or marked for removal"
"""The engine's message, with status 409, about the log of a container that is being removed."""


def connect(
    *,
    timeout_s: float = 60.0,
    environment: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
    process: str = "",
    host: HostFacts | None = None,
    called: str = "",
) -> DockerEngine:
    """Return the engine at DOCKER_HOST, or else of docker's active context, or else at the local socket.

    ``timeout_s`` is how long one call may take; ``environment`` is the operator's (None: this process's own);
    ``tell`` is told what each call is about to do; ``process`` is this one, for the labels of throwaway containers;
    ``host`` is the machine whose memory and files are asked, where that is not this one, and ``called`` its name.

    Raises:
        EngineError: there is none, it may not be used, or it is too old.
    """
    variables = os.environ if environment is None else environment
    found = _where(variables)
    endpoint = Endpoint(str(found.get("base_url") or "unix:///var/run/docker.sock"), timeout_s, tell, called)
    with endpoint.asked("connect to the engine"):
        _knock(endpoint)
        # The stub has whole seconds; requests, which gets it, has not.
        client = APIClient(**found, timeout=timeout_s, use_ssh_client=True)  # type: ignore[arg-type]
    if _api_of(client) < OLDEST_API:
        client.close()
        message = f"the Docker engine at {endpoint.address} is too old: its API is {client.api_version}"
        raise EngineError(message, hint="update Docker Engine to 20.10 or newer")
    return DockerEngine(client, endpoint, variables, process, host)


def _this_host() -> HostFacts:
    # The kernel's MemTotal, which is what an engine reports about its host.
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return HostFacts(platform.node(), platform.release(), total)


def _api_of(client: APIClient) -> tuple[int, ...]:
    """Return the version of the API that is spoken with the engine."""
    return tuple(int(part) for part in client.api_version.split("."))


def _where(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the address, and the TLS settings if there are any, as the docker command line finds them."""
    with Endpoint("", 0).asked("use the address in DOCKER_HOST"):
        found: dict[str, Any] = dict(kwargs_from_env(dict(environment)))
    if "base_url" in found:
        return found
    with Endpoint("", 0).asked("read docker's contexts"):
        name = environment.get("DOCKER_CONTEXT")
        if ContextAPI.get_context(name) is None:
            message = f"there is no docker context {name}" if name else "docker's active context does not exist"
            raise EngineError(message, hint="docker context ls shows those that there are")
        return {**ContextAPI.kwargs_from_context(name), **found}


def _knock(endpoint: Endpoint) -> None:
    """Try a socket before the SDK does, which leaves its own unclosed when it cannot connect."""
    if endpoint.socket is not None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(endpoint.timeout_s)
            door.connect(str(endpoint.socket))


class DockerEngine:
    """An Engine, a Workbench and a Builder over one connection. A context manager: leaving it disconnects."""

    def __init__(
        self,
        client: APIClient,
        endpoint: Endpoint,
        environment: Mapping[str, str],
        process: str = "",
        host: HostFacts | None = None,
    ) -> None:
        self._client = client
        self._process = process
        self._endpoint = endpoint
        self._asked = endpoint.asked
        self._environment = environment
        self._known: tuple[float, EngineInfo] | None = None
        self._host = host or _this_host()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def socket(self) -> Path | None:
        """The socket on this host that leads to the engine, None where another way does."""
        return self._endpoint.socket

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def info(self) -> EngineInfo:
        """Return who the engine is, or was a moment ago."""
        now = time.monotonic()
        if self._known is None or now - self._known[0] >= _KNOWN_S:
            self._known = now, self._info()
        return self._known[1]

    def _info(self) -> EngineInfo:
        with self._asked("ask the engine about itself"):
            described = self._client.info()
        return info_of(described, self._endpoint.address, self._host, _api_of(self._client))

    def containers(self) -> list[Container]:
        """Return every container of the engine, running or not, sparkctl's or not."""
        with self._asked("list the containers"):
            ids = [str(each["Id"]) for each in self._client.containers(all=True)]
        found = (self.container(each) for each in ids)
        return [container for container in found if container is not None]

    def container(self, name: str) -> Container | None:
        """Return the container with this name or id, or None."""
        inspected = self._inspected(name)
        return None if inspected is None else container_of(inspected)

    def _inspected(self, name: str) -> dict[str, Any] | None:
        with self._asked(f"inspect the container {name}"):
            try:
                inspected: dict[str, Any] = self._client.inspect_container(name)
            except NotFound:
                return None
        # The engine takes the beginning of an id for a name that it does not know: "e4b" may be somebody else's.
        theirs = inspected["Name"] == f"/{name}" or (len(name) >= _SHORTEST_ID and inspected["Id"].startswith(name))
        return inspected if theirs else None

    def creation(self, name: str) -> Creation | None:
        """Return how the container with this name or id was created, or None if there is no such container."""
        inspected = self._inspected(name)
        if inspected is None:
            return None
        with self._asked(f"inspect the image of the container {name}"):
            try:
                image = self._client.inspect_image(inspected["Image"])  # type: ignore[no-untyped-call]  # the stub's
            except ImageNotFound:
                image = {}
        return creation_of(inspected, image, self.info().default_runtime)

    def image(self, reference: str) -> Image | None:
        """Return the image, or None when the engine does not have it."""
        with self._asked(f"inspect the image {reference}"):
            try:
                return image_of(self._client.inspect_image(reference))  # type: ignore[no-untyped-call]  # the stub's
            except ImageNotFound:
                return None

    def offered(self, reference: str) -> OfferedImage:
        """Return what the registry has behind a name now; nothing is fetched."""
        with self._asked(f"ask the registry for the image {reference}", pull.RULES):
            return offered_of(self._client.inspect_distribution(reference))  # type: ignore[no-untyped-call]  # the stub's

    def pull(self, reference: str) -> Iterator[PullProgress]:
        """Fetch an image; the iteration ends when it is there."""
        yield from pull.pull(self._client, self._endpoint, reference)
        if self.image(reference) is None:
            raise EngineError(f"cannot fetch the image {reference}: the engine stopped before it had it")

    def create(self, spec: ContainerSpec) -> str:
        """Create, without starting, the container and return its id."""
        arguments = create.arguments(spec, self._environment)
        with self._asked(f"create the container {spec.name or 'of ' + spec.image}"):
            return str(to_its_end(partial(self._client.create_container, **arguments))["Id"])

    def start(self, container: str) -> None:
        """Start a container that was created."""
        found = self._found(container)
        with self._asked(f"start the container {found.name}"):
            self._client.start(found.id)

    def stop(self, container: str, *, grace_s: float) -> None:
        """Ask a container to end, and kill it after ``grace_s`` seconds. One that is gone already is no error."""
        found = self.container(container)
        if found is None:
            return
        with self._asked(f"stop the container {found.name}"), suppress(NotFound):
            self._client.stop(found.id, timeout=math.ceil(grace_s))

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        found = self._found(container)
        with self._asked(f"rename the container {found.name} to {name}"):
            self._client.rename(found.id, name)

    def remove(self, container: str) -> None:
        """Remove a container and its unnamed volumes, killing it if it runs. One that is gone already is no error."""
        found = self.container(container)
        if found is None:
            return
        with self._asked(f"remove the container {found.name}"), suppress(NotFound):
            try:
                self._client.remove_container(found.id, v=True, force=True)
            except APIError as error:
                if "already in progress" not in str(error.explanation):
                    raise
                self._client.wait(found.id, timeout=math.ceil(self._endpoint.timeout_s), condition="removed")

    def logs(self, container: str, *, tail: int | None = None) -> list[str]:
        """Return the last ``tail`` lines of the log (None: all); [] of a container that is not there any more.

        Of a log of more than 64 MiB or 400,000 lines, its end.
        """
        found = self.container(container)
        if found is None:
            return []
        with self._asked(f"read the log of the container {found.name}"):
            try:
                return lines_of(log_end(self._client, found.id, MOST_LINES if tail is None else min(tail, MOST_LINES)))
            except APIError as error:
                if error.status_code == HTTPStatus.NOT_FOUND or _BEING_REMOVED in str(error.explanation):
                    return []
                raise

    def follow(self, container: str) -> LogTail:
        """Return a reader of the log that does not wait."""
        return DockerLogTail(self._client, self._found(container).id)

    def processes(self, container: str) -> tuple[int, ...]:
        """Return the process ids, as the host counts them, of a running container; () when it does not run."""
        found = self.container(container)
        if found is None or found.state not in ("running", "paused"):
            return ()
        with self._asked(f"list the processes of the container {found.name}"):
            try:
                table = self._client.top(found.id, ps_args="-eo pid")
            except APIError as error:
                if error.status_code not in (404, 409) and not self._ends(found.id):
                    raise
                return ()  # it has ended since
        column = table["Titles"].index("PID")
        return tuple(int(row[column]) for row in table["Processes"] or ())

    def _ends(self, container: str) -> bool:
        """Return whether a container ends at this moment.

        An engine may answer 500 ("ttrpc: closed") before it knows itself that the container has ended (Docker 26.1).
        """
        try:
            self._client.wait(container, timeout=_ENDING_S)
        except NotFound:
            return True
        except RequestException:
            return False
        return True

    def read_file(self, container: str, path: str) -> bytes | None:
        """Return a file as a process in the running container sees it, or None if there is none."""
        found = self._found(container)
        with self._asked(f"read {path} in the container {found.name}"):
            return image_files.read_in_container(self._client, found, path)

    def read_image_files(self, reference: str, paths: Sequence[str]) -> Mapping[str, bytes | None]:
        """Return files of an image without running it, None for one that is not there. Symbolic links are followed."""
        with self._asked(f"read {paths[0] if len(paths) == 1 else f'{len(paths)} files'} in the image {reference}"):
            return image_files.read_in_image(self._client, reference, paths, self._process)

    def packages(self, reference: str, names: Sequence[str]) -> Mapping[str, Package]:
        """Return what the Python of an image says of some packages."""
        with self._asked(f"ask the Python of the image {reference} for {', '.join(names)}"):
            return python.packages(self._client, reference, names, self._process)

    def imported(self, container: str, files: Sequence[tuple[str, str | None]]) -> Mapping[str, ImportedFile] | None:
        """Return how the Python of a running container imports some files, or None if it has no Python."""
        found = self._found(container)
        with self._asked(f"ask the Python of the container {found.name} for {len(files)} files"):
            return python.imported(self._client, found, files)

    def workdir(self, container: str) -> str:
        """Return the folder that the container's processes start in."""
        with self._asked(f"inspect the container {container}"):
            return str(self._client.inspect_container(container)["Config"]["WorkingDir"] or "/")

    def unpack(self, container: str, archive: bytes) -> None:
        """Unpack a tar archive over the container's root."""
        with self._asked(f"copy files into the container {container}"):
            workbench.unpack(self._client, container, archive)

    def changes(self, container: str) -> list[PathChange]:
        """Return what is not as in the image: files, links, and the folders that hold them."""
        with self._asked(f"list what has changed in the container {container}"):
            return workbench.changes(self._client, container)

    def entry(self, container: str, path: str, *, most_bytes: int) -> PathEntry | None:
        """Return what lies at a path, with the content of a file of at most ``most_bytes``; None: nothing."""
        with self._asked(f"read {path} in the container {container}"):
            return workbench.entry(self._client, container, path, most_bytes)

    def build(self, order: BuildOrder) -> Generator[BuildMoment]:
        """Build an image. Until the program has ended with 0 there is no image, and no container is left of it."""
        return build.build(self._client, self._endpoint, order, self._process)

    def built(self, label: str) -> list[BuiltImage]:
        """Return the images that have a label."""
        with self._asked("list the images"):
            return build.built(self._client, label)

    def discard(self, image: str) -> None:
        """Remove a tag, or the image of an id; one that is gone already is no error."""
        with self._asked(f"remove the image {image}"):
            build.discard(self._client, image)

    def saved(self, reference: str) -> Iterator[bytes]:
        """Yield an image as `docker save` writes it, of the engine's own platform."""
        yield from carry.saved(self._client, self._endpoint, reference, _api_of(self._client))

    def load(self, pieces: Iterable[bytes]) -> None:
        """Take in what ``saved`` yields, with the names of the image."""
        carry.load(self._client, self._endpoint, pieces)

    def tag(self, image: str, reference: str) -> None:
        """Give an image another name."""
        with self._asked(f"name the image {image} {reference}"):
            carry.tag(self._client, image, reference)

    def installed(self, image: str) -> Mapping[str, str]:
        """Return the version of each package that the image's ``python3`` finds, by its name in lower case."""
        with self._asked(f"ask the Python of the image {image} for its packages"):
            return python.installed(self._client, image, self._process)

    def _found(self, container: str) -> Container:
        found = self.container(container)
        if found is None:
            raise EngineError(f"there is no container {container}", hint="docker ps --all shows those that there are")
        return found
