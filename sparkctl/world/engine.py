"""The engine: what runs containers, and what it says of them. Values and Protocols."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sparkctl.world.spec import ContainerSpec

ENGINE_NAMES: Final = ("docker", "sim")
"""The engines that there are, as an operator names them; ``world.opening`` opens each."""


class EngineInfo(NamedTuple):
    """The engine's identity. ``elsewhere`` is why its memory, models and mods are not this host's, or None: they are.

    ``cdi_devices`` are those that it resolves; None: it resolves them, and is too old to list them.
    ``data_root`` is the folder in which it keeps images, "" where there is none or it does not say; ``image_store`` is
    how it keeps them (overlay2, or overlayfs of containerd): the same image has another id in each.
    """

    kind: str
    id: str
    version: str
    elsewhere: str | None = None
    default_runtime: str = ""
    runtimes: tuple[str, ...] = ()
    cdi_devices: tuple[str, ...] | None = ()
    data_root: str = ""
    image_store: str = ""


class Container(NamedTuple):
    """A container as the engine sees it now. ``state`` is docker's: created, running, paused, exited or dead.

    ``started_at`` and ``finished_at`` are seconds since the epoch (None: never); ``oom_killed`` as the engine says.
    ``mounts`` are (source on the host, target, read_only); ``command`` is what follows the image in ``docker run``;
    ``env`` is the whole environment, secrets among it: compare it, never show it. ``settings`` are docker run's own
    options (``world.settings``), None where they are not known.
    """

    id: str
    name: str
    image: str
    image_id: str
    state: str
    labels: Mapping[str, str]
    exit_code: int | None = None
    oom_killed: bool = False
    error: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    mounts: tuple[tuple[str, str, bool], ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, str] | None = None


class ImageDefaults(NamedTuple):
    """An image's settings for a container if nothing is ordered; ``env`` may hold secrets of the image's author."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    labels: Mapping[str, str] = MappingProxyType({})
    user: str = ""
    workdir: str = ""
    stop_signal: str = ""


class Creation(NamedTuple):
    """How a container was created, by anybody: everything that the engine keeps about it.

    ``spec`` is as ``docker run`` would order it, with what the image brought along; ``entrypoint`` has all its words,
    of which ``docker run`` orders the first alone. What is as the engine does it by itself is left out. ``image`` is
    what the image brings (of an image that is gone: nothing), ``others`` are settings that no option of the spec says,
    as ``NAME=value`` of the engine's own names. The environment has secrets: compare it, never show it.
    """

    spec: ContainerSpec
    entrypoint: tuple[str, ...] = ()
    image: ImageDefaults = ImageDefaults()
    others: tuple[str, ...] = ()


class Image(NamedTuple):
    """An image that the engine has: its id (the digest of its configuration), its digests in registries, its bytes.

    ``labels`` are its own and those of what it was built from. ``layers`` are the digests of its unpacked layers,
    ``architecture`` its kind of processor (arm64), and ``parts`` a digest of each part of what it brings to a container
    (``entrypoint``, ``command``, ``environment``, ``user``, ``workdir``): the environment may hold secrets. Two images
    that agree in these three run the same, whatever their ids. Empty: not known.
    """

    id: str
    digests: tuple[str, ...]
    size_bytes: int
    labels: Mapping[str, str] = MappingProxyType({})
    layers: tuple[str, ...] = ()
    architecture: str = ""
    parts: Mapping[str, str] = MappingProxyType({})


class OfferedImage(NamedTuple):
    """A registry's present image for a name: the digest that a pull would bring, and its platforms.

    ``platforms`` are as docker writes them: linux/arm64; () where the registry does not say.
    """

    digest: str
    platforms: tuple[str, ...] = ()


class PullProgress(NamedTuple):
    """A moment of a pull: bytes over all layers; ``total_bytes`` 0 while it is not known."""

    current_bytes: int
    total_bytes: int
    text: str


class Package(NamedTuple):
    """A package as an image's Python finds it: its folder with all links resolved, and its distribution's version.

    ``folder`` is None where there is no such package; ``on_disk`` is False for one in a zip file.
    """

    folder: str | None
    on_disk: bool = True
    version: str | None = None


class ImportedFile(NamedTuple):
    """A file as the Python of a running container sees it.

    ``md5`` is None where there is none. ``origin`` is what ``import`` of ``module`` loads, None where nothing is found;
    ``shadow`` is a compiled file that runs in its place although it was made from another source. ``read_only`` is how
    the file is mounted, None where it is no mount.
    """

    md5: str | None
    module: str | None = None
    origin: str | None = None
    shadow: str | None = None
    read_only: bool | None = None


class LogTail(Protocol):
    """The log of one container since its start, read without waiting."""

    def read(self) -> list[str]:
        """Return the lines since the last call, without their line ends; [] if there are none."""

    def close(self) -> None:
        """Stop reading."""


class Engine(Protocol):
    """Runs containers. Every method raises EngineError when the engine refuses or does not answer."""

    def info(self) -> EngineInfo:
        """Return who the engine is."""

    def containers(self) -> Sequence[Container]:
        """Return every container of the engine, running or not, sparkctl's or not."""

    def container(self, name: str) -> Container | None:
        """Return the container with this name or id, or None."""

    def creation(self, name: str) -> Creation | None:
        """Return how the container with this name or id was created, or None if there is no such container."""

    def image(self, reference: str) -> Image | None:
        """Return the image, or None when the engine does not have it."""

    def offered(self, reference: str) -> OfferedImage:
        """Return what the registry has behind a name now; nothing is fetched.

        Raises:
            EngineError: also, the registry does not answer, or has no such image.
        """

    def pull(self, reference: str) -> Iterator[PullProgress]:
        """Fetch an image; the iteration ends when it is there."""

    def create(self, spec: ContainerSpec) -> str:
        """Create, without starting, the container and return its id."""

    def start(self, container: str) -> None:
        """Start a container that was created."""

    def stop(self, container: str, *, grace_s: float) -> None:
        """Ask a container to end, and kill it after ``grace_s`` seconds."""

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""

    def remove(self, container: str) -> None:
        """Remove a container, killing it if it runs. One that is gone already is no error."""

    def logs(self, container: str, *, tail: int | None = None) -> list[str]:
        """Return the last ``tail`` lines of the log (None: all); [] of a container that is not there any more."""

    def follow(self, container: str) -> LogTail:
        """Return a reader of the log that does not wait."""

    def processes(self, container: str) -> tuple[int, ...]:
        """Return the process ids, as the host counts them, of a running container; () when it does not run."""

    def read_file(self, container: str, path: str) -> bytes | None:
        """Return a file as a process in the running container sees it, or None if there is none."""

    def read_image_files(self, reference: str, paths: Sequence[str]) -> Mapping[str, bytes | None]:
        """Return files of an image without running it, None for one that is not there. Symbolic links are followed."""

    def packages(self, reference: str, names: Sequence[str]) -> Mapping[str, Package]:
        """Return what the Python of an image says of some packages; it runs in a container without network.

        Raises:
            EngineError: also, the image has no Python.
        """

    def imported(self, container: str, files: Sequence[tuple[str, str | None]]) -> Mapping[str, ImportedFile] | None:
        """Return what the Python of a running container makes of some files, or None where it has no Python.

        Each is a path and the module that it is to be, None: whichever the path makes it.
        """


class ImageCarrier(Protocol):
    """The images of one engine, transferred without a registry. Every method raises EngineError when it refuses."""

    def saved(self, reference: str) -> Iterator[bytes]:
        """Yield an image as `docker save` writes it, of the engine's own platform."""

    def load(self, pieces: Iterable[bytes]) -> None:
        """Take in what ``saved`` yields, with the names of the image."""

    def tag(self, image: str, reference: str) -> None:
        """Give an image another name."""
