"""The files that an import reads, and what each may ask for beside itself."""

from __future__ import annotations

from pathlib import Path

from sparkctl.operations.exchange.source_files import STDIN, materials


def test_a_text_from_a_pipe_has_nothing_beside_it() -> None:
    (found,), folder = materials(STDIN, "vllm serve x/y\n", {"SIZE": "small"})
    assert (found.text, found.file, folder, dict(found.beside)) == ("vllm serve x/y\n", "-", None, {})
    assert (found.variables["HOME"], found.variables["PWD"]) == ("~", str(Path.cwd()))
    assert found.variables["SIZE"] == "small"


def test_one_file_is_given_the_files_of_its_own_folder_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    (folder / "below").mkdir(parents=True)
    for name in ("run.sh", ".env", "below/more.sh"):
        (folder / name).write_text(f"# {name}\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.sh").write_text("# outside\n")
    (folder / "link.sh").symlink_to(tmp_path / "outside/secret.sh")
    (folder / "way").symlink_to(tmp_path / "outside")
    (found,), _ = materials(str(folder / "run.sh"), "", {})
    assert (found.beside.get(".env"), found.beside["below/more.sh"]) == ("# .env\n", "# below/more.sh\n")
    for other in ("link.sh", "way/secret.sh", "../outside/secret.sh", str(folder / ".env"), "~/.env", "none.sh"):
        assert found.beside.get(other) is None, other
    assert sorted(found.beside) == [".env", "below/more.sh"]


def test_each_file_of_a_folder_is_given_all_others_by_their_way_from_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "run.sh").write_text("# run\n")
    (tmp_path / "below/more.sh").write_text("# more\n")
    found, folder = materials(str(tmp_path), "", {})
    assert folder is not None
    by_name = {one.file: one for one in found}
    assert by_name["below/more.sh"].beside["../run.sh"] == "# run\n"
    assert by_name["below/more.sh"].variables["PWD"] == str(tmp_path / "below")
