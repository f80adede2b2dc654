"""Several files as one change."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.exchange import all_or_none
from tests.support.fakes import FakeFiles

OLD, NEW, LAST = Path("/x/old.yaml"), Path("/x/new.yaml"), Path("/x/last.yaml")


class FullDisk(FakeFiles):
    """A disk on which the last file has no room."""

    def write(self, path: Path, content: bytes, *, mode: int) -> None:
        """Write, or say that there is no room."""
        if path == LAST:
            raise InputError("the disk is full")
        super().write(path, content, mode=mode)


def test_all_are_written_in_the_place_of_those_that_are_there() -> None:
    files = FakeFiles()
    files.write(OLD, b"old", mode=0o644)
    assert all_or_none.write(files, {OLD: b"1", NEW: b"2"}) == [OLD, NEW]
    assert (files.content(OLD), files.content(NEW)) == (b"1", b"2")


def test_where_one_cannot_be_written_each_is_what_it_was() -> None:
    files = FullDisk()
    files.write(OLD, b"old", mode=0o644)
    with pytest.raises(InputError, match="the disk is full"):
        all_or_none.write(files, {OLD: b"1", NEW: b"2", LAST: b"3"})
    assert (files.content(OLD), files.content(NEW), files.content(LAST)) == (b"old", None, None)
