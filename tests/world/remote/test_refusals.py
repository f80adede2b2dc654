"""Why a host is not reached, by what ssh prints, and what to do."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.opening.remote import SENT, RemoteSpark
from sparkctl.world.remote.refusals import refusal

if TYPE_CHECKING:
    from pathlib import Path

PRINTED = {
    "its host key is another one than ssh knows": (
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nHost key verification failed.\r\n"
    ),
    "ssh does not know its host key yet": "Host key verification failed.\r\n",
    "it takes none of your keys": "you@spark2: Permission denied (publickey).\r\n",
    "no such name is known": "ssh: Could not resolve hostname spark2: Name or service not known\r\n",
    "nothing answers at its ssh port": "ssh: connect to host 10.0.0.2 port 22: Connection refused\r\n",
    "the network does not lead there": "ssh: connect to host 10.0.0.2 port 22: No route to host\r\n",
    "it does not answer": "ssh: connect to host 10.0.0.2 port 22: Connection timed out\r\n",
    "it has no python3": "bash: line 1: python3: command not found\n",
    "kex_exchange_identification: read: Connection reset by peer": (
        "kex_exchange_identification: read: Connection reset by peer\r\n"
    ),
    "ssh ended without a word": "",
}


@pytest.mark.parametrize("means", PRINTED)
def test_a_refusal_is_said_with_what_to_do_h1(means: str) -> None:
    error = refusal("b", "you@spark2", PRINTED[means])
    assert error.message == f"b is not reached: {means}"
    assert error.hint


def _ssh(folder: Path, text: str) -> tuple[str, ...]:
    """Return a program in the place of ssh."""
    path = folder / "ssh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return (str(path),)


def test_what_is_sent_runs_on_the_standard_library_alone(tmp_path: Path) -> None:
    """The last argument of ssh is the command there; -I -S: without this project, and without any package."""
    (tmp_path / "python3").symlink_to(sys.executable)
    bare = f'for last; do :; done; PATH={tmp_path}:$PATH; eval "python3 -I -S ${{last#python3}}"'
    spark = RemoteSpark("b", "spark2", program=_ssh(tmp_path, bare))
    try:
        assert spark.facts.total_bytes > 0
        assert abs(spark.skew_s) < 2
        assert spark.files.names(tmp_path) == ["python3", "ssh"]
        assert spark.models.folder_problem(tmp_path) == "holds no config.json"
    finally:
        spark.close()


def test_no_module_is_sent_in_vain() -> None:
    """What the interpreter there imports is what is sent, but for what it imports late."""
    code = f"import sparkctl.world.opening.far, sys; print(*[n for n in {SENT} if 'sparkctl.' + n not in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_host_that_hangs_or_ends_is_said_h1(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="b is not reached: it did not answer within"):
        RemoteSpark("b", "spark2", program=_ssh(tmp_path, "exec sleep 30"), within_s=0.2)
    with pytest.raises(EngineError, match="b is not reached: it takes none of your keys"):
        RemoteSpark("b", "spark2", program=_ssh(tmp_path, "echo 'Permission denied (publickey).' >&2; exit 255"))
    with pytest.raises(EngineError, match="ssh cannot be run"):
        RemoteSpark("b", "spark2", program=(str(tmp_path / "nosuch"),))
