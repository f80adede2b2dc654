"""Ten thousand injections in commands that are pasted into bash: each word arrives as it was, and nothing else runs."""

from __future__ import annotations

import os
import pty
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.shown import unseen
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from pathlib import Path

MANY = 10_000
PROMPT = b"<ready>"
PIECES = [
    *("$(touch ran)", "`touch ran`", "; touch ran;", "| touch ran", "&& touch ran", "\ntouch ran\n", "<(touch ran)"),
    *(
        "'; touch ran; '",
        '"; touch ran; "',
        "$'\\n'touch ran",
        "${IFS}",
        "$HOME",
        "~",
        "*",
        "?",
        "[a-z]",
        "{a,b}",
        "!!",
    ),
    *(
        "!touch",
        "^a^b",
        "#",
        "\\",
        "\\\n",
        "'",
        '"',
        "''",
        '""',
        "$",
        "$'",
        '$"',
        "\t",
        " ",
        "-",
        "--",
        "=",
        "\r",
        "\x03",
    ),
    *(
        "\x04",
        "\x1b[31m",
        "\x1b[200~",
        "\x1b[201~touch ran\r",
        "\x1a",
        "\x16",
        "\x7f",
        "\x80",
        "\x9b",
        "\xa0",
        "\u202e",
    ),
    *(
        "\u2028touch ran\u2028",
        "\u200b",
        "\ufeff",
        "\udcff",
        "\udc80a",
        "é",
        "漢字",
        "🚀",
        "\U000e0041",
        "a",
        "0",
        "777",
    ),
]
FUNCTION = "docker() { printf '%s\\0' \"$@\"; printf '\\1\\0'; }\n"
"""Stands for docker: prints its words, and a word of its own after them."""


def commands(count: int, each: int) -> list[list[str]]:
    """Return commands with ``count`` injections in all, ``each`` in one."""
    chance = random.Random(each)  # noqa: S311  (no secret: the same at every run)
    words = ["".join(chance.choices(PIECES, k=chance.randint(1, 6))) for _ in range(count)]
    rows = [words[start : start + each] for start in range(0, count, each)]
    return [
        ["docker", "run", *(part for word in row for part in ("--env", f"X={word}")), "image", *row] for row in rows
    ]


def read(printed: bytes) -> list[list[str]]:
    """Return the words of each command that was run."""
    runs = os.fsdecode(printed).split("\1\0")
    assert runs.pop() == ""
    return [run.split("\0")[:-1] for run in runs]


@pytest.mark.a_part(1)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_what_is_pasted_is_what_was_meant_and_nothing_runs(tmp_path: Path, ascii_only: bool) -> None:
    meant = commands(MANY, 50)
    text = "\n".join(grammar.shell_text(words, ascii_only=ascii_only) for words in meant) + "\n"
    assert not unseen(text)
    assert text.isascii() or not ascii_only
    done = subprocess.run(
        ["bash", "--norc", "-s"], input=os.fsencode(FUNCTION + text), cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stderr == b""
    assert read(done.stdout) == [words[1:] for words in meant]
    assert list(tmp_path.iterdir()) == []


def test_an_interactive_bash_reads_the_same(tmp_path: Path) -> None:
    """With a history, completion and key bindings: what is pasted goes through the terminal."""
    meant = commands(200, 10)
    own, its = pty.openpty()
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb", "LC_ALL": "C.UTF-8", "PS1": PROMPT}
    work = tmp_path / "work"
    work.mkdir()
    program = ["bash", "--norc", "--noprofile", "-i"]
    shell = subprocess.Popen(program, stdin=its, stdout=its, stderr=its, cwd=work, env=environ, start_new_session=True)
    os.close(its)
    try:
        for line in [FUNCTION, *(f"{grammar.shell_text(words)} >>../printed\n" for words in meant), "exit\n"]:
            shown = b""
            while PROMPT not in shown:
                shown += os.read(own, 65536)
            os.write(own, os.fsencode(line))
        shell.wait(timeout=60)
    finally:
        shell.kill()
        shell.wait()
        os.close(own)
    assert read((tmp_path / "printed").read_bytes()) == [words[1:] for words in meant]
    assert list(work.iterdir()) == []
