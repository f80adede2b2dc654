"""A folder of somebody else's files: what is read of it, and what is not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.exchange.folder import BOUNDS, FolderBounds, TextsBeside, read_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_texts_are_read_by_their_paths(tmp_path: Path) -> None:
    """Files of the known kinds at any depth; git's own folder, pictures and what is no text are left alone."""
    for name in ("a/b/one.yaml", "run.sh", ".git/config.yaml", "node_modules/x.yaml", "a/picture.png", "a/.env"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    found = read_folder(tmp_path)
    assert dict(found.texts) == {"a/.env": "a/.env", "a/b/one.yaml": "a/b/one.yaml", "run.sh": "run.sh"}
    assert [name for name, _ in found.refused] == ["binary.yaml"]


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    """A link to a file or a folder elsewhere is told and not read; one inside is read, circles end."""
    (tmp_path / "secret.yaml").write_text("secret")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x.yaml").write_text("x")
    root = tmp_path / "registry"
    root.mkdir()
    (root / "own.yaml").write_text("own")
    (root / "file.yaml").symlink_to(tmp_path / "secret.yaml")
    (root / "more").symlink_to("../other")
    (root / "inner.yaml").symlink_to("own.yaml")
    (root / "circle").symlink_to(".")
    (root / "self.yaml").symlink_to("self.yaml")
    found = read_folder(root)
    assert dict(found.texts) == {"own.yaml": "own", "inner.yaml": "own"}
    assert dict(found.refused)["file.yaml"] == "a link that leaves the folder"
    assert dict(found.refused)["more"] == "a link that leaves the folder"
    assert "self.yaml" in dict(found.refused)


def test_a_pipe_does_not_hold_the_reader(tmp_path: Path) -> None:
    """What is no regular file is refused."""
    os.mkfifo(tmp_path / "pipe.yaml")
    found = read_folder(tmp_path)
    assert not found.texts
    assert [name for name, _ in found.refused] == ["pipe.yaml"]


def test_a_folder_has_bounds(tmp_path: Path) -> None:
    """Too many files, or too much text in all, is refused as a whole."""
    for number in range(3):
        (tmp_path / f"{number}.yaml").write_text("x" * 10)
    with pytest.raises(InputError, match="more than 2 files"):
        read_folder(tmp_path, FolderBounds(files=2))
    with pytest.raises(InputError, match="of texts"):
        read_folder(tmp_path, FolderBounds(files=3, size=20))
    with pytest.raises(InputError, match="is no folder"):
        read_folder(tmp_path / "0.yaml")


def test_a_large_file_is_told(tmp_path: Path) -> None:
    """One that is larger than any script is refused, and named."""
    (tmp_path / "large.sh").write_bytes(b"x" * (BOUNDS.one + 1))
    assert "10,485,760 bytes" in dict(read_folder(tmp_path).refused)["large.sh"]


def test_texts_beside_a_file() -> None:
    """A reader names them from its file's folder."""
    beside = TextsBeside({"a/x.yaml": "1", "b/y.yaml": "2", "z.yaml": "3"}, "a/one.yaml")
    assert beside["x.yaml"] == "1"
    assert beside["../b/y.yaml"] == "2"
    assert "../z.yaml" in beside
    assert "nothing" not in beside
    assert "../../etc/passwd" not in beside
    assert sorted(beside) == ["../b/y.yaml", "../z.yaml", "x.yaml"]
    assert len(beside) == 3
    assert sorted(TextsBeside({"q.yaml": ""}, "one.yaml")) == ["q.yaml"]
