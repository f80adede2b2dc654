"""Data that the engine sends in pieces, read within bounds: an image, a container or its log may be endless."""

from __future__ import annotations

import io
import tarfile
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.base.units import MIB
from sparkctl.world.docker.errors import within

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from docker import APIClient

MOST_FILE: Final = 64 * MIB
"""The largest file, in bytes, that is read from an image or a container: as for a mod's file on this host."""
MOST_WRITTEN: Final = 8 * MIB
"""Bytes of what a program wrote that was asked something: an answer has some KiB."""
MOST_LOG: Final = 64 * MIB
"""Bytes of a log, from its end: a server that is asked much writes a few MiB a day."""
MOST_LINES: Final = 400_000
"""Lines of a log, from its end, that the engine is asked for: of 160 bytes each, as many as ``MOST_LOG``."""


def joined(pieces: Iterable[bytes], most: int, what: str) -> bytes:
    """Return what comes in pieces.

    Raises:
        EngineError: more than ``most`` bytes came; the rest is not read.
    """
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) > most:
            raise too_large(most, what)
    return bytes(found)


def two(pieces: Iterable[tuple[bytes | None, bytes | None]], most: int, what: str) -> tuple[bytes, bytes]:
    """Return what a program wrote to its two outputs.

    Raises:
        EngineError: more than ``most`` bytes came; the rest is not read.
    """
    output, errors = bytearray(), bytearray()
    for out, err in pieces:
        output += out or b""
        errors += err or b""
        if len(output) + len(errors) > most:
            raise too_large(most, what)
    return bytes(output), bytes(errors)


def end(pieces: Iterable[bytes], most: int) -> bytes:
    """Return the last ``most`` bytes of what comes in pieces, without the line that is cut."""
    kept: deque[bytes] = deque()
    length = 0
    cut = False
    for piece in pieces:
        kept.append(piece)
        length += len(piece)
        while length > most:
            cut = True
            first = kept.popleft()
            length -= len(first)
            if length < most and not kept:  # one piece that is larger than all that is kept
                kept.append(first[-most:])
                length = most
    found = b"".join(kept)
    return found[found.find(b"\n") + 1 :] if cut else found


@contextmanager
def closed(stream: object) -> Iterator[None]:
    """Close the connection behind an SDK stream at the end, however it ends, as the SDK does if it reads everything."""
    try:
        yield
    finally:
        response = getattr(stream, "_response", None)  # its own ``close`` is for another thread, and leaves the line
        if response is not None:
            response.close()


def log_end(client: APIClient, container: str, lines: int) -> bytes:
    """Return the last ``lines`` lines of a container's log, and of these no more than ``MOST_LOG`` bytes.

    Raises:
        docker.errors.DockerException: as the SDK raises.
    """
    if client.inspect_container(container)["Config"]["Tty"]:  # of a terminal the SDK streams byte by byte
        return bytes(client.logs(container, tail=lines))
    stream = client.logs(container, tail=lines, stream=True, follow=False)

    def last() -> bytes:
        with closed(stream):
            return end(stream, MOST_LOG)

    return within(client.timeout, last)


def only_file(archive: bytes, most: int, what: str) -> bytes | None:
    """Return the first file of a tar archive, None if it has none.

    Raises:
        EngineError: it is no archive, or the file has more than ``most`` bytes.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            for member in members:
                file = members.extractfile(member)
                if file is not None:
                    content = file.read(most + 1)  # a sparse file has bytes that the archive has not
                    break
            else:
                return None
    except (tarfile.TarError, EOFError, ValueError, OverflowError, KeyError, RecursionError) as error:
        message = f"cannot read {what}: what the engine sent is no whole tar archive ({error})"
        raise EngineError(message, hint="run the command again") from None
    if len(content) > most:
        raise too_large(most, what)
    return content


def too_large(most: int, what: str) -> EngineError:
    """Return the error for what is too large to be read."""
    return EngineError(f"{what} has more than {most // MIB} MiB, the most that is read")
