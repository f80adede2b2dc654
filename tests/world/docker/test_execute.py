"""A program that is run in a container, as the SDK answers: without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sparkctl.world.docker.image_files import execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import APIClient


class Losing:
    """An engine that loses what the first ``lost`` programs write."""

    timeout = 60

    def __init__(self, lost: int, code: int = 0) -> None:
        self.lost, self.code = lost, code
        self.runs = 0

    def exec_create(self, container: str, words: list[str], environment: dict[str, str]) -> dict[str, str]:
        assert (container, words, environment) == ("box", ["cat", "file"], {"LC_ALL": "C"})
        self.runs += 1
        return {"Id": str(self.runs)}

    def exec_start(self, run: str, *, stream: bool, demux: bool) -> Iterator[tuple[bytes | None, bytes | None]]:
        assert stream
        assert demux
        if int(run) > self.lost:
            yield (None, b"why") if self.code else (b"said", None)

    def exec_inspect(self, run: str) -> dict[str, int]:
        assert run == str(self.runs)
        return {"ExitCode": self.code}


def run(engine: Losing) -> tuple[int, bytes, bytes]:
    return execute(cast("APIClient", engine), "box", ["cat", "file"])


def test_what_an_engine_lost_of_a_program_is_asked_for_once_more() -> None:
    assert run(Losing(lost=1)) == (0, b"said", b"")


def test_a_program_that_writes_nothing_is_asked_twice_and_no_more() -> None:
    engine = Losing(lost=9)
    assert run(engine) == (0, b"", b"")
    assert engine.runs == 2


def test_a_program_that_fails_is_run_again_only_where_it_says_nothing() -> None:
    for lost, code, runs in ((0, 1, 1), (1, 1, 2), (9, 127, 1)):
        engine = Losing(lost, code)
        assert run(engine) == (code, b"", b"why" if code == 1 else b"")
        assert engine.runs == runs
