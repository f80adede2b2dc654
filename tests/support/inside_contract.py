"""What every engine does with what is inside of a container or an image: environment, log, processes and files."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from tests.support.engine_bench import DYING, laid_over, times_ready, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.engine_bench import Bench

PACKAGES = "/usr/local/lib/python3.12/dist-packages"
MODEL_FILE = f"{PACKAGES}/vllm/model_executor/models/gemma4_mtp.py"


class InsideContract:
    """The part of the contract that ``EngineContract`` inherits."""

    # --- the environment ---------------------------------------------------------------------------------------------

    def test_env_files_are_read_once_and_what_is_given_by_name_wins(self, bench: Bench, tmp_path: Path) -> None:
        first, second = tmp_path / "a.env", tmp_path / "b.env"
        first.write_text("# a comment\nONE=of a\nTWO=of a # no comment\n\nTHREE='of a'\r\nPATH\nOF_NOBODY\n")
        second.write_text("TWO=of b\n  FOUR=of b\n")
        given = (("ONE", "given"), ("OF_NOBODY", None), ("EMPTY", ""))
        identity = bench.engine.create(bench.spec(env_files=(str(first), str(second)), env=given))
        first.unlink()
        second.write_text("TWO=later\n")
        env = dict(bench.seen(identity).env)

        assert env.items() >= {"ONE": "given", "TWO": "of b", "THREE": "'of a'", "FOUR": "of b", "EMPTY": ""}.items()
        assert env["PATH"] == os.environ["PATH"]
        assert "OF_NOBODY" not in env

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (None, "cannot read the env-file {path}: No such file"),
            (b"A=1\n=2\n", "{path}:2:1: expected NAME=value, found no name"),
            (b"A B=secret\n", "{path}:1:1: expected NAME=value, found a name with a space"),
            (b"export A=secret\n", "{path}:1:1: expected NAME=value, found a name with a space"),
            (b"A=\xff\n", "cannot read the env-file {path}: byte 2 is not UTF-8"),
        ],
    )
    def test_an_env_file_that_cannot_be_used_is_refused_and_no_value_is_shown(
        self, bench: Bench, tmp_path: Path, content: bytes | None, what: str
    ) -> None:
        path = tmp_path / "secrets.env"
        if content is not None:
            path.write_bytes(content)

        with pytest.raises(InputError, match=what.format(path=path)) as refused:
            bench.engine.create(bench.spec(env_files=(str(path),)))
        assert "secret" not in str(refused.value).replace(str(path), "")
        assert bench.engine.container(f"{bench.prefix}-one") is None

    # --- the log and the processes -----------------------------------------------------------------------------------

    def test_the_log_is_followed_without_waiting_and_each_line_comes_once(self, bench: Bench) -> None:
        identity = bench.started().id
        tail = bench.engine.follow(identity)
        lines: list[str] = []
        until(lambda: lines.extend(tail.read()) or times_ready(lines))
        began = time.monotonic()
        rest = tail.read()
        waited = time.monotonic() - began
        tail.close()

        assert waited < 0.2
        assert lines + rest == bench.engine.logs(identity)
        assert bench.engine.logs(identity, tail=1) == bench.engine.logs(identity)[-1:]
        assert tail.read() == []

    def test_the_log_can_be_read_after_the_end(self, bench: Bench) -> None:
        container = bench.started(env=(DYING,))
        bench.ended(container.id)
        tail = bench.engine.follow(container.id)
        lines: list[str] = []
        until(lambda: lines.extend(tail.read()) or len(lines) == len(bench.engine.logs(container.id)))
        tail.close()

        assert lines == bench.engine.logs(container.id)

    def test_a_container_that_is_started_again_is_followed_from_its_new_start(self, bench: Bench) -> None:
        identity = bench.started().id
        bench.ready(identity)
        bench.engine.stop(identity, grace_s=1)
        before = len(bench.engine.logs(identity))
        bench.engine.start(identity)
        tail = bench.engine.follow(identity)
        lines: list[str] = []
        until(lambda: lines.extend(tail.read()) or times_ready(lines))
        tail.close()

        assert times_ready(lines) == 1
        assert lines == bench.engine.logs(identity)[before : before + len(lines)]

    def test_the_processes_are_those_of_the_host_and_none_when_it_does_not_run(self, bench: Bench) -> None:
        identity = bench.started().id
        running = bench.engine.processes(identity)
        existing = [bench.lives(pid) for pid in running]
        bench.engine.stop(identity, grace_s=1)

        assert running
        assert all(existing)
        assert bench.engine.processes(identity) == ()

    # --- files -------------------------------------------------------------------------------------------------------

    def test_a_running_container_sees_its_mounted_file_and_the_image_keeps_its_own(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        mod = tmp_path / "gemma4_mtp.py"
        mod.write_bytes(b"# ours \n")
        plain = bench.started("plain").id
        modified = bench.started("modified", mounts=(laid_over(mod, MODEL_FILE),)).id
        original = bench.engine.read_image_files(bench.image, [MODEL_FILE])[MODEL_FILE]

        assert original
        assert bench.engine.read_file(plain, MODEL_FILE) == original
        assert bench.engine.read_file(modified, MODEL_FILE) == b"# ours \n"
        for container, content, read_only in ((plain, original, None), (modified, b"# ours \n", True)):
            seen = bench.engine.imported(container, [(MODEL_FILE, "vllm.model_executor.models.gemma4_mtp")])
            assert seen is not None
            found = seen[MODEL_FILE]
            assert found.md5 == hashlib.md5(content, usedforsecurity=False).hexdigest()
            assert (found.origin, found.shadow, found.read_only) == (MODEL_FILE, None, read_only)
        assert bench.engine.read_image_files(bench.image, [MODEL_FILE])[MODEL_FILE] == original

    def test_a_file_that_is_not_there_is_none(self, bench: Bench) -> None:
        identity = bench.started().id
        seen = bench.engine.imported(identity, [("/nowhere/file.py", None)])

        assert bench.engine.read_file(identity, "/nowhere/file.py") is None
        assert seen is not None
        assert seen["/nowhere/file.py"].md5 is None
        assert bench.engine.read_image_files(bench.image, ["/nowhere/file.py"])["/nowhere/file.py"] is None

    def test_the_python_of_an_image_says_where_a_package_is(self, bench: Bench) -> None:
        found = bench.engine.packages(bench.image, ["vllm", "of_nobody"])

        assert found["vllm"].folder == f"{PACKAGES}/vllm"
        assert found["of_nobody"].folder is None

    def test_an_image_goes_by_its_id_too(self, bench: Bench) -> None:
        image = bench.engine.image(bench.image)
        assert image is not None

        assert bench.engine.image(image.id) == image
        container = bench.seen(bench.engine.create(bench.spec(image=image.id)))
        assert (container.image, container.image_id) == (image.id, image.id)

    def test_reading_an_image_leaves_no_container(self, bench: Bench) -> None:
        before = {container.id for container in bench.engine.containers()}
        assert bench.engine.read_image_files(bench.image, [MODEL_FILE])[MODEL_FILE]

        later = [container for container in bench.engine.containers() if container.id not in before]
        assert [container.name for container in later if container.image in {"", bench.image}] == []

    def test_an_image_that_is_not_there_is_none_and_cannot_be_used(self, bench: Bench) -> None:
        missing = f"{bench.prefix}/nothing:1"

        assert bench.engine.image(missing) is None
        with pytest.raises(EngineError, match=f"the engine does not have the image {missing}"):
            bench.engine.create(bench.spec(image=missing))
        with pytest.raises(EngineError, match=f"the engine does not have the image {missing}"):
            bench.engine.read_image_files(missing, [MODEL_FILE])
        with pytest.raises(EngineError, match=f"the engine does not have the image {missing}"):
            bench.engine.packages(missing, ["vllm"])

    def test_asking_a_registry_fetches_nothing(self, bench: Bench) -> None:
        wanted = f"127.0.0.1:9/{bench.prefix}:1"  # the discard port, where nobody listens; a simulated registry answers
        try:
            told = bench.engine.offered(wanted).digest
        except EngineError as error:
            told = f"{error.message} {error.hint}"
        refused = f"cannot ask the registry for the image {wanted}: the registry "
        assert told.startswith(("sha256:", refused))
        assert bench.engine.image(wanted) is None

    def test_a_mount_without_its_source_is_refused_and_leaves_nothing(self, bench: Bench, tmp_path: Path) -> None:
        missing = tmp_path / "no such file"

        with pytest.raises(EngineError, match=f"there is no {missing} on the engine's host to mount") as refused:
            bench.engine.create(bench.spec(mounts=(laid_over(missing, MODEL_FILE),)))
        assert refused.value.hint
        assert bench.engine.container(f"{bench.prefix}-one") is None

    def test_a_mount_whose_source_has_gone_meanwhile_is_refused_at_the_start(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        source = tmp_path / "mod.py"
        source.write_bytes(b"# ours\n")
        identity = bench.engine.create(bench.spec(mounts=(laid_over(source, MODEL_FILE),)))
        source.unlink()

        with pytest.raises(EngineError, match=f"there is no {source} on the engine's host to mount"):
            bench.engine.start(identity)
        assert bench.seen(identity).state == "created"
