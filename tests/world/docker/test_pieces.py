"""What comes in pieces is read within a bound, however it is cut."""

from __future__ import annotations

import io
import tarfile
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import EngineError
from sparkctl.base.units import MIB
from sparkctl.world.docker import pieces

PIECES = st.lists(st.binary(max_size=12))


@given(PIECES, st.integers(1, 60))
def test_the_end_of_a_log_is_its_last_bytes_from_the_beginning_of_a_line_on(given: list[bytes], most: int) -> None:
    whole = b"".join(given)
    found = pieces.end(given, most)
    assert whole.endswith(found)
    assert len(found) <= most
    if len(whole) <= most:
        assert found == whole
    else:
        assert b"\n" not in found or whole[: len(whole) - len(found)].endswith(b"\n")


@given(PIECES, st.integers(0, 60))
def test_pieces_are_joined_up_to_the_bound(given: list[bytes], most: int) -> None:
    whole = b"".join(given)
    if len(whole) <= most:
        assert pieces.joined(given, most, "it") == whole
        assert pieces.two([(one, None) for one in given], most, "it") == (whole, b"")
        assert pieces.two([(None, one) for one in given], most, "it") == (b"", whole)
    else:
        for read in (
            lambda: pieces.joined(given, most, "it"),
            lambda: pieces.two(zip(given, given, strict=True), most, "it"),
        ):
            with pytest.raises(EngineError, match=r"^it has more than 0 MiB"):
                read()


def test_what_has_no_end_is_left() -> None:
    with pytest.raises(EngineError, match=r"^the answer has more than 1 MiB, the most that is read$"):
        pieces.joined(repeat(b"x" * 4096), MIB, "the answer")


def archive(size: int) -> bytes:
    """Return a tar archive of a folder and a file of so many bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as members:
        folder, file = tarfile.TarInfo("a"), tarfile.TarInfo("a/b")
        folder.type, file.size = tarfile.DIRTYPE, size
        members.addfile(folder)
        members.addfile(file, io.BytesIO(bytes(size)))
    return packed.getvalue()


def test_the_only_file_of_an_archive() -> None:
    assert pieces.only_file(archive(5), 5, "it") == bytes(5)
    with pytest.raises(EngineError, match=r"^it has more than 0 MiB"):
        pieces.only_file(archive(6), 5, "it")
    for broken in (b"", b"x", archive(2000)[:1700], b"\xff" * 1024):
        with pytest.raises(EngineError, match=r"^cannot read it: what the engine sent is no whole tar archive"):
            pieces.only_file(broken, 5000, "it")
