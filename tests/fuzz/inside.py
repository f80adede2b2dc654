"""What images and containers answer, and what is kept of them: of whatever bytes they are made."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.shown import Boundary
from sparkctl.mods.images import Images
from sparkctl.operations import diagnosis
from sparkctl.operations.checks import judge
from sparkctl.operations.checks.check import Expect
from sparkctl.operations.checks.judge import Answer
from sparkctl.operations.start.kept_failures import KeptFailures
from sparkctl.world.docker import image_files, python
from sparkctl.world.docker.log_tail import lines_of
from sparkctl.world.engine import Container
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.http_client import SocketHttp
from tests.support.fake_engine import FakeEngine
from tests.support.hostile import hostile

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

IMAGE: Final = "image:1"
PACKAGES: Final = b'{"packages": {"vllm": {"folder": "/a", "on_disk": true, "version": "0.20.2"}}, "files": {}}\n'
FILES: Final = (
    b'warning\n{"packages": {}, "files": {"/a": {"md5": "c", "module": "m", "origin": "/a", "shadow": null}}}'
)
KNOWN: Final = b'{"packages": {"vllm": ["/a", true, "0.20.2"]}, "files": {"/a": "c0"}, "looked": true}'
FAILURE: Final = b'{"ended": "exit code 1", "at": 1.0, "cause": "c", "fix": "f", "phase": "p", "lines": ["l"]}'
REPLY: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b'HTTP/1.0 401 Unauthorized\r\nConnection: close\r\n\r\n{"error": "Unauthorized"}',
)
ANSWERS: Final = (
    b"Sure:\n```python\ndef f(x):\n    return x\n```\n1, 2, 3 and 98.1 one two",
    b'<think>a</think>{"a": [1, 2, {"b": null}]} \xe4\xb8\x89 \xe7\xb9\x81\xe9\xab\x94',
)
_CONTAINER: Final = Container("0123456789ab", "a", IMAGE, "sha256:1", "running", {})
_EVERYTHING: Final = Expect.model_validate(
    {
        "tokens": 1,
        "repeated": 0.5,
        "contains": ["one", ["two", "三"]],
        "lacks": ["four"],
        "numbers": [5, 98.1],
        "counts-to": 3,
        "traditional": {},
        "python": ["f"],
        "json-schema": {"type": "object"},
    }
)


class _Stream(NamedTuple):
    """Bytes in pieces, as the SDK gives them."""

    pieces: Sequence[Any]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.pieces)

    def close(self) -> None:
        """Do nothing."""


class _Client:
    """An SDK whose containers say what they are given to say."""

    timeout = 60

    def __init__(self, given: bytes) -> None:
        self._pieces = [given[at : at + 4096] for at in range(0, len(given), 4096)]

    def create_container(self, **_: object) -> dict[str, str]:
        return {"Id": "1"}

    def remove_container(self, *_: object, **__: object) -> None: ...

    def start(self, _: str) -> None: ...

    def wait(self, _: str) -> dict[str, int]:
        return {"StatusCode": 0}

    def logs(self, *_: object, **__: object) -> bytes:
        return b"".join(self._pieces)

    def exec_create(self, *_: object, **__: object) -> dict[str, str]:
        return {"Id": "1"}

    def exec_start(self, *_: object, **__: object) -> _Stream:
        return _Stream([(piece, None) for piece in self._pieces])

    def exec_inspect(self, _: str) -> dict[str, int]:
        return {"ExitCode": 0}

    def get_archive(self, *_: object) -> tuple[_Stream, dict[str, Any]]:
        return _Stream(self._pieces), {"linkTarget": "", "mode": 0o644, "name": "a", "size": 1}


def packages(given: bytes) -> object:
    """Ask the Python of an image."""
    client: Any = _Client(given)
    return python.packages(client, IMAGE, ["vllm"], "me")


def imported(given: bytes) -> object:
    """Ask the Python of a running container."""
    client: Any = _Client(given)
    return python.imported(client, _CONTAINER, [("/a", None)])


def archive(given: bytes) -> object:
    """Read a file of an image, which comes as a tar archive."""
    client: Any = _Client(given)
    return image_files.read_in_image(client, IMAGE, ["/a"], "me")


def known(given: bytes) -> object:
    """Read what is kept of an image; what is damaged is asked again."""
    engine = FakeEngine(images={IMAGE: {}})
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        found = engine.image(IMAGE)
        assert found is not None
        (Path(folder) / "images").mkdir()
        (Path(folder) / "images" / f"{found.id.removeprefix('sha256:')}.json").write_bytes(given)
        images = Images(engine, DiskFiles(), Path(folder), ask=False)
        return images.packages(IMAGE, ["vllm"]), images.vllm(IMAGE), images.checksums(IMAGE, ["/a"])


def kept(given: bytes) -> object:
    """Read what is kept of a failure, and its log."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for name in ("a.json", "a.log"):
            (Path(folder) / name).write_bytes(given)
        failures = KeptFailures(DiskFiles(), Path(folder))
        failure = failures.failure("a")
        return failures.log("a"), failure and (failure.told, failure.day)


def reply(given: bytes) -> object:
    """Ask a server that sends these bytes and closes the line."""

    def act(line: socket.socket) -> None:
        line.sendall(given)

    with hostile(act) as heard:
        return SocketHttp().get(heard.url, timeout_s=5)


def judged(given: bytes) -> object:
    """Judge an answer by every assertion."""
    return judge.judge(_EVERYTHING, Answer(given.decode(errors="replace"), tokens=1, guided=False, cut=False))


def shown(given: bytes) -> object:
    """Show a log, in whatever encoding it is, as text, as a line and as a value."""
    with tempfile.TemporaryFile() as file:
        file.write(given)
        text = diagnosis.text_of(file)
    boundary = Boundary(["secret-1234", text[:20]])
    return boundary.text(text), boundary.line(text), boundary.value({text[:99]: [text]}), lines_of(given)
