"""Files and folders of other tools: read within bounds, written all or none."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.exchange import importing, source_files
from sparkctl.recipes.exchange.fields.made import Choices
from tests.recipes.exchange.shell.test_script import TRAPS
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeFiles, FakeReport

if TYPE_CHECKING:
    from pathlib import Path

RUN = "docker run --gpus all --name {0} -p 8001:8000 vllm/vllm-openai:v0.32.0 --model google/gemma-4-E4B-it\n"
BARE = "vllm serve google/gemma-4-E4B-it\n"


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def test_a_script_becomes_recipes_and_two_of_one_name_are_told_apart(spark: FakeSpark, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(
        RUN.format("x1") + RUN.format("x1") + RUN.format("x1 -e A=1") + "docker run nginx:1 x\n"
    )
    found = importing.read(str(tmp_path / "run.sh"))
    assert [one.name for one in found.usable] == ["x1", "gemma-4-e4b-it"]
    paths = importing.write(spark.world(FakeReport()), found)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "recipes/x1.yaml",
        "recipes/gemma-4-e4b-it.yaml",
    ]
    head = paths[0].read_text().replace("\n# ", " ")  # a comment is wrapped, after a long path too
    assert head.startswith(f"# Imported by sparkctl from {tmp_path}/run.sh:1:1.\n")


def test_nothing_is_written_over_and_nothing_is_written_when_one_cannot_be(spark: FakeSpark, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(RUN.format("x1") + RUN.format("x2 -e A=1"))
    found = importing.read(str(tmp_path / "run.sh"))
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/x2.yaml").write_text("mine\n")
    world = spark.world(FakeReport())
    with pytest.raises(InputError, match=r"x2\.yaml: there already"):
        importing.write(world, found)
    assert not (tmp_path / "recipes/x1.yaml").exists()

    class Full(FakeFiles):
        def write(self, path: Path, content: bytes, *, mode: int) -> None:
            if path.name == "x2.yaml" and content != b"mine\n":
                raise InputError("the disk is full")
            super().write(path, content, mode=mode)

    world.files = files = Full()  # type: ignore[misc]
    files.written[tmp_path / "recipes/x2.yaml"] = (b"mine\n", 0o644)
    with pytest.raises(InputError, match="the disk is full"):
        importing.write(world, found, over=True)
    assert files.content(tmp_path / "recipes/x1.yaml") is None
    assert files.content(tmp_path / "recipes/x2.yaml") == b"mine\n"


def test_a_folder_is_counted_by_form_and_nothing_outside_of_it_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (tmp_path / "secret.sh").write_text(RUN.format("outside"))
    (folder / "link.sh").symlink_to(tmp_path / "secret.sh")
    (folder / "a.sh").write_text(
        f". ./config.env\n{RUN.format('x1')}{BARE}docker run $MISSING x\nsource ../secret.sh\n"
    )
    (folder / "config.env").write_text("A=1\n")
    (folder / "README.md").write_text(f"# Title\n```bash\n{RUN.format('x2 -e B=1')}```\n{RUN.format('no-block')}")
    (folder / "broken.sh").write_text(f"echo 'open\n{RUN.format('x3')}")
    (folder / "x.service").write_text("[Service]\nExecStart=/bin/true\n")
    (folder / "image.png").write_bytes(b"\x89PNG docker run x")
    (folder / "other.yaml").write_text("a: 1\n")
    found = importing.read(str(folder))
    assert {one.name for one in found.usable} == {"x1", "gemma-4-e4b-it", "x2"}
    counts = {one.form: one for one in importing.counted(found)}
    assert dict(counts["docker run"].refused) == {"a value is missing": 1, "unreadable shell text": 1}
    assert counts["docker run"].imported == 2
    assert counts["vllm serve"].imported == 1
    assert [file for file, _ in found.refused] == ["link.sh"]
    assert set(found.unknown) == {"config.env", "other.yaml"}


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "trapped"
    trap.mkdir()
    name = tmp_path / "$(touch trapped)`touch trapped`.sh"
    name.write_text(RUN.format("x1") + "\n".join(TRAPS).format(trap) + "\n")
    assert [one.name for one in importing.read(str(name)).usable] == ["x1"]
    assert list(trap.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo hello\n", "nobody knows what"),
        ("", "nobody knows what"),
    ],
)
def test_a_file_of_no_known_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.sh").write_text(text)
    with pytest.raises(InputError, match=message):
        importing.read(str(tmp_path / "run.sh"))


def test_large_files_and_bombs_are_refused_or_read_within_bounds(tmp_path: Path) -> None:
    large = tmp_path / "large.sh"
    large.write_text("x" * (11 * 1024 * 1024))
    with pytest.raises(InputError, match="the most that is read"):
        importing.read(str(large))
    large.write_text("# line\n" * 1_000_000 + RUN.format("x1"))
    (refused,) = importing.read(str(large)).recipes
    assert refused.made.refused is not None
    assert refused.made.refused.reason == "too long"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    )
    (tmp_path / "compose.yaml").write_text(f"services:\n  v: {{image: vllm/vllm-openai:v0.32.0}}\n{bomb}")
    (refused,) = importing.read(str(tmp_path / "compose.yaml")).recipes
    assert refused.made.refused is not None
    assert "with its aliases written out the file is larger" in refused.made.refused.message


def test_tabs_line_ends_of_windows_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = "\ufeff" + RUN.format("x1").replace(" --model", " \\\r\n\t--model").replace("\n", "\r\n").replace(
        "\r\r", "\r"
    )
    (tmp_path / "run.sh").write_bytes(text.encode())
    (one,) = importing.read(str(tmp_path / "run.sh")).usable
    assert one.made.keys["model"] == {"repo": "google/gemma-4-E4B-it"}


def test_the_command_prints_the_recipe_its_leftovers_and_how_its_words_differ(spark: FakeSpark, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(
        RUN.format("x1 --privileged -e HF_TOKEN=hf_Zq00secretsecretsecretZ") + "docker run b:1\n"
    )
    done = spark.run("import", str(tmp_path / "run.sh")).expect(0)
    assert done.out.startswith(f"{tmp_path}/recipes/x1.yaml\n")
    assert "--privileged: whoever gets in is root of the host → --allow privileged" in done.out
    assert "open in the source: what vLLM takes on a GB10" in done.out
    assert "docker run is not imported: starts by its image alone" in done.err
    assert "checked 1, errors 0" in done.err
    assert "hf_Zq00" not in done.out + done.err
    spark.run("import", str(tmp_path / "run.sh")).expect(0)
    again = spark.run("import", str(tmp_path / "run.sh"), "--allow", "privileged").expect(2)
    assert "--replace writes over them" in again.err
    replaced = spark.run("import", str(tmp_path / "run.sh"), "--replace", "--allow", "privileged", "--json").expect(0)
    assert [row["name"] for row in replaced.json["recipes"]] == ["x1"]
    assert "privileged: true" in (tmp_path / "recipes/x1.yaml").read_text()


def test_the_command_counts_a_folder_and_writes_nothing(spark: FakeSpark, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "a.sh").write_text(RUN.format("x1") + "docker run nginx:1 x\n")
    done = spark.run("import", str(folder), "--check").expect(0)
    assert "no vLLM server" in done.out
    rows = spark.run("import", str(folder), "--check", "--json").expect(0).json
    assert rows["forms"] == [
        {"form": "docker run", "files": 1, "imported": 1, "refused": {"no vLLM server": 1}, "leftovers": {}}
    ]
    assert not (tmp_path / "recipes").exists()


def test_the_command_refuses_what_it_cannot_use(spark: FakeSpark, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("docker run $X y\n")
    assert "--var X=VALUE" in spark.run("import", str(tmp_path / "run.sh")).expect(2).err
    spark.run("import", str(tmp_path / "run.sh"), "--var", "X").expect(2)
    spark.run("import", str(_two(tmp_path)), "--name", "both").expect(2)
    spark.run("import", str(tmp_path / "nothing")).expect(2)
    out = tmp_path / "out"
    spark.run("import", str(_two(tmp_path)), "--out", str(out)).expect(0)
    assert sorted(path.name for path in out.iterdir()) == ["x1.yaml", "x2.yaml"]
    assert json.loads(spark.run("import", str(_two(tmp_path)), "--check", "--json").expect(0).out)["unknown"] == []


def _two(folder: Path) -> Path:
    path = folder / "two.sh"
    path.write_text(RUN.format("x1") + RUN.format("x2 -e A=1"))
    return path


def test_what_an_import_that_was_killed_has_written_does_not_stop_the_next_one(
    spark: FakeSpark, tmp_path: Path
) -> None:
    (tmp_path / "run.sh").write_text(RUN.format("x1") + RUN.format("x2 -e A=1"))
    found, world = importing.read(str(tmp_path / "run.sh")), spark.world(FakeReport())
    first, _ = importing.write(world, found)
    (tmp_path / "recipes/x2.yaml").unlink()
    assert [path.name for path in importing.write(world, found)] == ["x1.yaml", "x2.yaml"]
    first.write_text("mine\n")
    with pytest.raises(InputError, match=r"x1\.yaml: there already"):
        importing.write(world, found)


@pytest.mark.parametrize(("called", "name"), [("x", "model-x"), ("x" * 300, "x" * 100), ("x.y", "x.y")])
def test_each_recipe_has_a_name_that_a_container_and_a_file_may_have(tmp_path: Path, called: str, name: str) -> None:
    (tmp_path / "run.sh").write_text(f"vllm serve a/{called}\nvllm serve b/{called}\n")
    names = [one.name for one in importing.read(str(tmp_path / "run.sh")).usable]
    assert names[0] == name
    assert names[1] != name
    assert all(importing.checked_name(one[:100]) for one in names)


@pytest.mark.parametrize("name", ["../x", "A B", "x", "", "x" * 101, ".x"])
def test_a_name_that_no_container_can_have_is_refused_and_not_replaced(name: str) -> None:
    with pytest.raises(InputError, match="is no name of a recipe"):
        importing.checked_name(name)


def test_what_is_piped_is_read_whole_or_refused() -> None:
    assert source_files.piped_text(io.BytesIO(BARE.encode())) == BARE
    with pytest.raises(InputError, match="more than 10,485,760 bytes"):
        source_files.piped_text(io.BytesIO(bytes(source_files.MOST_BYTES + 1)))
    with pytest.raises(InputError, match=r"no text in UTF-8 \(byte 5\)"):
        source_files.piped_text(io.BytesIO(b"vllm \xff"))


def test_a_source_without_a_name_is_not_the_folder_that_one_is_in() -> None:
    with pytest.raises(InputError, match="the source has no name"):
        importing.read("")


def test_a_source_of_which_nothing_becomes_a_recipe_is_refused_with_the_place_of_each_reason(
    spark: FakeSpark, tmp_path: Path
) -> None:
    (tmp_path / "run.sh").write_text(
        "docker run lmsysorg/sglang:1 python3 -m x\neval 'docker run vllm/vllm-openai:1'\n"
    )
    told = spark.run("import", str(tmp_path / "run.sh")).expect(2).err
    assert f"{tmp_path}/run.sh:1:12: docker run is not imported: no vLLM server: " in told
    assert f"{tmp_path}/run.sh:2:1: docker run is not imported: eval: " in told
    (tmp_path / "a.yml").write_text("services:\n  a: {image: [vllm\n")
    assert f"{tmp_path}/a.yml:3:1: " in spark.run("import", str(tmp_path / "a.yml")).expect(2).err


def test_a_program_imports_as_the_command_does_and_nothing_is_printed(
    spark: FakeSpark, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.sh").write_text(RUN.format("x1"))
    world = spark.world(FakeReport())
    asked = importing.AskedImport(str(tmp_path / "run.sh"))
    assert [one.name for one in importing.look(world, asked).usable] == ["x1"]
    assert not (tmp_path / "recipes").exists()
    files = importing.bring(world, asked)
    assert [(one.name, path.name) for one, path in files.recipes] == [("x1", "x1.yaml")]
    assert files.stacks == ()
    judged = importing.judged(world, files)
    assert judged.review is not None
    assert judged.review.fits
    assert (judged.linted.names, judged.linted.errors) == ((str(tmp_path / "recipes/x1.yaml"),), [])
    two = importing.AskedImport(str(_two(tmp_path)), choices=Choices(name="both"))
    with pytest.raises(InputError, match=r"--name is for one server, and .* has 2"):
        importing.bring(world, two)
    assert importing.judged(world, importing.bring(world, two._replace(choices=Choices()), over=True)).review is None
    assert capfd.readouterr() == ("", "")
