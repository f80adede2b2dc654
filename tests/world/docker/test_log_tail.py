"""The log of a container: bytes to lines, and what a follower sees when the stream is quiet, cut or odd."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.world.docker.engine import connect
from sparkctl.world.docker.log_tail import LONGEST_LINE, LineReader, lines_of
from sparkctl.world.spec import ContainerSpec
from tests.support.engine_bench import until
from tests.support.engine_fixtures import BASE, BOTH
from tests.support.way import Way, to_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.world.docker.engine import DockerEngine
    from sparkctl.world.engine import LogTail

pytestmark = BOTH


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\n\r\n", ["a", "b", ""]),
        (b"10%\r20%\r", ["10%", "20%"]),
        (b"\r 0%\r 50%\r 100%\nnext\n", [" 0%", " 50%", " 100%", "next"]),
        (b"caf\xc3\xa9 \xff\xfe\n", ["café \ufffd\ufffd"]),
        (b"broken off \xc3", ["broken off \ufffd"]),
        (b"x" * (LONGEST_LINE + 1) + b"\ny\n", ["x" * LONGEST_LINE + " …", "y"]),
        (b"x" * LONGEST_LINE, ["x" * LONGEST_LINE]),
    ],
)
def test_a_log_is_lines_of_text(data: bytes, lines: list[str]) -> None:
    assert lines_of(data) == lines


@given(
    pieces=st.lists(st.one_of(st.binary(max_size=8), st.sampled_from([b"\r", b"\n", b"\r\n", b"\xc3", b"\xa9", b"ab"])))
)
def test_the_lines_do_not_depend_on_the_pieces_in_which_they_come(pieces: list[bytes]) -> None:
    lines = LineReader()
    came = [line for piece in pieces for line in lines.feed(piece)]

    assert came + lines.end() == lines_of(b"".join(pieces))


@given(length=st.integers(LONGEST_LINE - 2, 3 * LONGEST_LINE), piece=st.integers(1_000, 20_000))
def test_a_line_without_an_end_is_cut_in_whatever_pieces_it_comes(length: int, piece: int) -> None:
    lines = LineReader()
    for start in range(0, length, piece):
        assert lines.feed(b"x" * min(piece, length - start)) == []
    whole = "x" * length if length <= LONGEST_LINE else "x" * LONGEST_LINE + " …"

    assert lines.feed(b"\nnext\n") == [whole, "next"]


@contextmanager
def following(
    engine: DockerEngine, prefix: str, script: str, *, tty: bool = False, by: DockerEngine | None = None
) -> Iterator[LogTail]:
    """Start a container and follow its log, ``by`` another connection than the one that starts it."""
    engine.create(ContainerSpec(BASE, ("sh", "-c", script), f"{prefix}-log", tty=tty))
    engine.start(f"{prefix}-log")
    tail = (by or engine).follow(f"{prefix}-log")
    try:
        yield tail
    finally:
        tail.close()


def read(tail: LogTail, count: int) -> list[str]:
    lines: list[str] = []
    until(lambda: lines.extend(tail.read()) or len(lines) >= count)
    return lines


@pytest.mark.docker
def test_a_quiet_log_is_followed_beyond_the_time_that_a_call_may_take(
    docker_engine: DockerEngine, docker_host: str, prefix: str
) -> None:
    script = "echo first; sleep 2; echo second; exec sleep 60"
    with (
        connect(timeout_s=1, environment={"DOCKER_HOST": docker_host}) as hasty,
        following(docker_engine, prefix, script, by=hasty) as tail,
    ):
        assert read(tail, 2) == ["first", "second"]


@pytest.mark.docker
def test_a_connection_that_breaks_loses_and_repeats_no_line(docker_host: str, prefix: str) -> None:
    if not docker_host.startswith("unix://"):
        pytest.skip("the engine of the tests has no socket on this machine")
    script = "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.01; done; exec sleep 60"
    with (
        Way(to_socket(docker_host.removeprefix("unix://"))) as way,
        connect(environment={"DOCKER_HOST": f"tcp://127.0.0.1:{way.port}"}) as engine,
        following(engine, prefix, script) as tail,
    ):
        lines = read(tail, 50)
        way.cut()
        lines += read(tail, 100)
        way.cut()
        lines += read(tail, 300 - len(lines))

    assert lines == [str(number) for number in range(300)]


@pytest.mark.docker
def test_the_log_of_a_terminal_is_followed_too(docker_engine: DockerEngine, prefix: str) -> None:
    with following(docker_engine, prefix, "printf 'a\\rb\\n'; echo c; exec sleep 60", tty=True) as tail:
        assert read(tail, 3) == ["a", "b", "c"]
    assert docker_engine.logs(f"{prefix}-log") == ["a", "b", "c"]


@pytest.mark.docker
def test_a_long_line_and_odd_bytes_come_through(docker_engine: DockerEngine, prefix: str) -> None:
    script = "head -c 40000 /dev/zero | tr '\\0' x; printf '\\n\\377\\n'; exec sleep 60"
    with following(docker_engine, prefix, script) as tail:
        assert read(tail, 2) == ["x" * LONGEST_LINE + " …", "\ufffd"]


@pytest.mark.docker
def test_following_ends_with_the_container_and_with_its_removal(docker_engine: DockerEngine, prefix: str) -> None:
    with following(docker_engine, prefix, "echo only") as tail:
        assert read(tail, 1) == ["only"]
        docker_engine.remove(f"{prefix}-log")
        until(lambda: f"log of {prefix}" not in str(threading.enumerate()))
        assert tail.read() == []


@pytest.mark.docker
def test_a_log_that_nobody_keeps_is_an_error_that_says_so(docker_engine: DockerEngine, prefix: str) -> None:
    docker_engine.create(ContainerSpec(BASE, ("true",), f"{prefix}-log", log_driver="none"))
    docker_engine.start(f"{prefix}-log")

    with pytest.raises(
        Exception, match=r"^cannot read the log of the container \S+-log: its logging driver keeps"
    ) as seen:
        docker_engine.logs(f"{prefix}-log")
    assert seen.value.exit_code == 4  # type: ignore[attr-defined]
