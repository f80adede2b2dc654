"""Files of others: what is no regular file is refused, whatever it is, and nothing is read without end."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (Path("/dev/zero"), "it is no regular file"),
        (Path("/"), "it is a folder"),
        (Path("/nosuch"), "No such file or directory"),
        (Path("/" + "a" * 256), "File name too long"),
        (Path("/a\0b"), "this can be no name of a file"),
        (Path("/a\ud800b"), "this can be no name of a file"),
        (Path("/etc/passwd/x"), "Not a directory"),
    ],
)
def test_what_is_no_regular_file_is_an_input_error(path: Path, why: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"cannot read {path}: {why}")):
        regular_file.read_bytes(path, 10)
    assert not regular_file.is_there(path)


def test_pipes_and_links_to_themselves_hold_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="it is no regular file"):
        regular_file.read_bytes(tmp_path / "pipe", 10)
    with pytest.raises(InputError, match="Too many levels of symbolic links"):
        regular_file.read_bytes(tmp_path / "loop", 10)


def test_more_than_is_read_and_what_is_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    assert regular_file.read_bytes(file, 10) == b"0123456789"
    with pytest.raises(InputError, match="it has more than 9 bytes"):
        regular_file.read_bytes(file, 9)
    file.write_bytes(b"a\r\nb\xff")
    with pytest.raises(InputError, match="it is no text in UTF-8"):
        regular_file.read_text(file, 10)
    file.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert regular_file.read_text(file, 20) == "a\nb\nc\n"


def test_lines_come_one_at_a_time_and_a_long_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"one\n\ntwo\r\nthree")
    assert list(regular_file.lines(file, 6)) == [b"one", b"", b"two\r", b"three"]
    with pytest.raises(InputError, match="a line of more than 3 bytes"):
        list(regular_file.lines(file, 3))
    for other, says in ((tmp_path, "it is a folder"), (tmp_path / "none", "No such file"), (tmp_path / "a\0b", "null")):
        with pytest.raises(InputError, match=says):
            list(regular_file.lines(other, 6))
