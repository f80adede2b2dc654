"""The real vLLM, watched: its start moment by moment, then busy, stuck and well again, by its own counters."""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.vllm.metrics import Metrics
from tests.support.command_line import wait_for
from tests.support.vllm_machine import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.command_line import Done
    from tests.support.vllm_machine import Machine, Served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]

READERS = 6
"""More than the four sequences of the recipe: some always wait."""


@contextmanager
def asked_all_the_time(machine: Machine, served: Served) -> Iterator[None]:
    """Ask the server for long texts until the end, on half a core: it computes as much as it is given."""
    over = threading.Event()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    wrong: list[Exception] = []

    def ask(more: int) -> None:
        # Of different lengths, so that they do not end in one step: there would be a moment with nothing to do.
        asked = {"model": "tiny", "prompt": "1 2 3", "max_tokens": 600 + 41 * more, "ignore_eos": True, "stream": True}
        body = json.dumps(asked).encode()
        request = urllib.request.Request(  # noqa: S310  (the loopback)
            f"{served.url}/v1/completions", body, headers
        )
        while not over.is_set():
            try:
                with urllib.request.urlopen(request, timeout=120) as reply:  # noqa: S310  (the loopback)
                    while not over.is_set() and reply.readline():
                        pass
            except OSError as error:
                wrong.append(error)

    readers = [threading.Thread(target=ask, args=(number,)) for number in range(READERS)]
    machine.docker("update", "--cpus", "0.5", served.name)
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        over.set()
        machine.docker("update", "--cpus", str(os.cpu_count()), served.name)
        for reader in readers:
            reader.join()
    assert wrong == []


def status(machine: Machine, name: str, state: str) -> dict[str, Any]:
    """Return what `status` says once that is the state: between two requests a server is ready."""
    found: dict[str, Any] = {}

    def there() -> bool:
        found.update(machine.run("status", name, "--json").expect(0).json)
        return bool(found["state"] == state)

    wait_for(there)
    return found


def doing(machine: Machine, name: str) -> tuple[bool, str]:
    """Return whether `ps` calls a service ready, and what it says that the service does."""
    (row,) = [row for row in machine.run("ps", "--json").expect(0).json if row["name"] == name]
    return row["ready"], row["doing"]


def runs(served: Served) -> bool:
    """Return whether the server says that it has requests in work."""
    found = served.server().metrics()
    return isinstance(found, Metrics) and bool(found.running)


@contextmanager
def stopped(machine: Machine, name: str) -> Iterator[None]:
    """Stop the scheduler's process, as a hang would; the API server goes on."""
    core = machine.engine_core(name)
    os.kill(core, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(core, signal.SIGCONT)


def while_stopped(machine: Machine, served: Served) -> Done:
    """Return what `status` says while the scheduler stands still in the midst of requests.

    It is stopped anew where that fell between two requests: on a busy machine the readers themselves may have to wait.
    """
    while True:
        wait_for(lambda: runs(served))
        with stopped(machine, served.name):
            done = machine.run("status", served.name)
            if "0 running, 0 waiting" not in done.out:
                return done


def test_a_start_is_watched_and_busy_and_stuck_are_told_apart(machine: Machine, served: Served) -> None:
    name = served.name
    moments = [line for line in served.moments if "phase" in line]
    phases = list(dict.fromkeys(line["phase"] for line in moments))
    told = ["creating", "starting", "loading weights", "probing"]  # what comes between is over in a moment
    assert [phase for phase in phases if phase in told] == told
    seconds = [line["seconds"] for line in moments if "seconds" in line]
    assert seconds == sorted(seconds)
    assert all(line["lowest_bytes"] <= line["available_bytes"] for line in moments if "seconds" in line)
    (drafts,) = [said for said in served.told if "drafts are accepted" in said]
    assert drafts.startswith(f"{name}: drafts are accepted ")

    joined = machine.run("attach", name).expect(0)
    assert joined.err.splitlines()[-1] == f"{name}: ready at {served.url}"
    idle = machine.run("status", name, "--json").expect(0).json
    assert (idle["state"], idle["running"], idle["waiting"]) == ("ready", 0, 0)
    assert idle["acceptance"]["drafted"] >= 400, "what up and attach asked for"
    assert len(idle["acceptance"]["positions"]) == 3

    with asked_all_the_time(machine, served):
        wait_for(lambda: runs(served))
        busy = status(machine, name, "busy")
        assert busy["running"] + busy["waiting"] > 0
        assert busy["generated_per_second"] > 0
        assert busy["kv_usage"] > 0
        wait_for(lambda: doing(machine, name) == (True, "busy"))
        stuck = while_stopped(machine, served).expect(5)
        assert "stuck: " in stuck.out
        assert "and there was no step in 2" in stuck.out
    assert machine.run("status", name, "--json").expect(0).json["state"] == "ready"
