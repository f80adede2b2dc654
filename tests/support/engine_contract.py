"""What every engine does, as a user of the port relies on it: a class of tests to be inherited once for each engine.

A subclass has a fixture ``bench``. Its image serves what ``sparkctl/world/sim/server.py`` serves. Each case was tried
on the real engine (Docker 20.10) before the others were held to it.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world import settings
from sparkctl.world.labels import LABEL_SERVICE
from sparkctl.world.spec import Ulimit
from tests.support.command_line import free_port
from tests.support.engine_bench import DYING, PACE, laid_over, published, until
from tests.support.inside_contract import MODEL_FILE, InsideContract

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.engine_bench import Bench

ALL = "0.0.0.0"  # noqa: S104  (published, as an operator may)
NOBODYS_ADDRESS = "203.0.113.9"
"""Kept for documentation (RFC 5737): no host has it."""


class EngineContract(InsideContract):
    """The contract. Each test starts with none of its own containers."""

    def test_the_engine_says_who_it_is_and_that_it_is_this_hosts(self, bench: Bench) -> None:
        first, second = bench.engine.info(), bench.engine.info()

        assert first.id == second.id
        assert first.id
        assert first.version
        assert first.elsewhere is None

    # --- a container's life ------------------------------------------------------------------------------------------

    def test_a_container_goes_from_created_to_running_to_exited_and_away(self, bench: Bench) -> None:
        began = time.time()
        identity = bench.engine.create(bench.spec())
        created = bench.seen(identity)
        bench.engine.start(identity)
        running = bench.seen(f"{bench.prefix}-one")
        bench.engine.stop(identity, grace_s=1)
        exited = bench.seen(identity)
        bench.engine.remove(identity)

        assert (created.id, created.state, created.exit_code) == (identity, "created", None)
        assert (created.started_at, created.finished_at) == (None, None)
        assert (running.id, running.state, running.exit_code) == (identity, "running", None)
        assert running.started_at is not None
        assert began - 1 <= running.started_at <= time.time() + 1
        assert (exited.state, exited.exit_code is None) == ("exited", False)
        assert exited.finished_at is not None
        assert exited.finished_at >= running.started_at
        assert bench.engine.container(identity) is None

    def test_a_container_is_as_it_was_ordered(self, bench: Bench, tmp_path: Path) -> None:
        labels = ((LABEL_SERVICE, "one"), ("x", "y z"))
        bench.engine.create(bench.spec(labels=labels, mounts=(laid_over(tmp_path, "/data"),)))
        container = bench.seen(f"{bench.prefix}-one")

        assert container.name == f"{bench.prefix}-one"
        assert container.image == bench.image
        image = bench.engine.image(bench.image)
        assert image is not None
        assert container.image_id == image.id
        assert container.command == bench.spec().command
        assert dict(container.labels).items() >= dict(labels).items()
        assert PACE in container.env
        assert container.mounts == ((str(tmp_path), "/data", True),)

    def test_the_options_of_docker_run_are_read_as_they_were_ordered(self, bench: Bench) -> None:
        limits = (Ulimit("memlock", -1, -1), Ulimit("stack", 67108864, 67108864))
        more = replace(bench.spec(), restart="on-failure:3", ipc="host", shm_size=2**30, ulimits=limits, init=True)
        for spec in (bench.spec(), replace(more, name=f"{bench.prefix}-two", cap_add=("SYS_NICE",))):
            bench.engine.create(spec)
            assert dict(bench.seen(spec.name).settings or {}).items() >= settings.of_spec(spec).items()
            left = {"--user"} | ({"--runtime"} if "--runtime" not in settings.of_spec(spec) else set())
            assert set(bench.seen(spec.name).settings or {}) - left == set(settings.of_spec(spec)) - left

    def test_a_container_tells_how_it_was_created_and_what_its_image_brought(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        env = (PACE, ("HF_TOKEN", "hf_of_this_container"))
        more = {"restart": "on-failure:3", "ipc": "host", "shm_size": 2**30, "init": True, "cap_add": ("CAP_SYS_NICE",)}
        ordered = bench.spec(
            env=env, ports=published(18000), mounts=(laid_over(tmp_path, "/data"),), labels=(("a", "b"),), **more
        )
        identity = bench.engine.create(ordered)
        found = bench.engine.creation(identity)

        assert found is not None
        own = {pair for pair in found.spec.env if pair not in found.image.env}
        labels = dict(found.spec.labels).items() - dict(found.image.labels).items()
        assert (own, labels) == (set(env), {("a", "b")})
        assert found.entrypoint == found.image.entrypoint
        assert found.others == ()
        left = {"env": env, "labels": ordered.labels, "entrypoint": None, "workdir": "", "user": ""}
        assert replace(found.spec, **left) == ordered
        assert bench.engine.creation("nobody") is None

    def test_every_container_is_listed_whoever_made_it(self, bench: Bench) -> None:
        running, created = bench.started("one"), bench.engine.create(bench.spec("two"))
        listed = {container.id: container.state for container in bench.engine.containers()}

        assert listed[running.id] == "running"
        assert listed[created] == "created"

    def test_a_container_that_never_started_has_no_log_no_process_and_no_file(self, bench: Bench) -> None:
        identity = bench.engine.create(bench.spec())
        bench.engine.stop(identity, grace_s=1)

        assert bench.seen(identity).state == "created"
        assert bench.engine.logs(identity) == []
        assert bench.engine.follow(identity).read() == []
        assert bench.engine.processes(identity) == ()
        with pytest.raises(EngineError, match=f"cannot read {MODEL_FILE} in the container {bench.prefix}-one"):
            bench.engine.read_file(identity, MODEL_FILE)
        with pytest.raises(EngineError, match=f"{bench.prefix}-one"):
            bench.engine.imported(identity, [(MODEL_FILE, None)])

    def test_a_server_that_is_asked_to_end_ends_with_0_and_can_be_started_again(self, bench: Bench) -> None:
        identity = bench.started().id
        bench.ready(identity)
        bench.engine.stop(identity, grace_s=10)
        first = bench.seen(identity)
        bench.engine.stop(identity, grace_s=10)

        assert (first.state, first.exit_code) == ("exited", 0)
        assert bench.seen(identity) == first
        bench.engine.start(identity)
        again = bench.seen(identity)
        assert (again.state, again.exit_code) == ("running", None)
        assert again.started_at is not None
        assert first.started_at is not None
        assert again.started_at >= first.started_at

    def test_starting_what_runs_changes_nothing(self, bench: Bench) -> None:
        running = bench.started()
        bench.engine.start(running.id)

        assert bench.seen(running.id) == running

    def test_a_container_that_dies_at_once_says_how_and_why(self, bench: Bench) -> None:
        container = bench.ended(bench.started(env=(DYING,)).id)

        assert (container.exit_code, container.oom_killed) == (3, False)
        assert "".join(bench.engine.logs(container.id))
        assert bench.engine.processes(container.id) == ()

    def test_stopping_and_removing_twice_is_no_error(self, bench: Bench) -> None:
        container = bench.started()

        for _ in range(2):
            bench.engine.stop(container.id, grace_s=1)
        for name in (container.id, container.id, container.name):
            bench.engine.remove(name)
        bench.engine.stop(container.name, grace_s=1)
        assert bench.engine.container(container.id) is None

    def test_removing_ends_what_runs_and_frees_the_name(self, bench: Bench) -> None:
        container = bench.started()
        processes = bench.engine.processes(container.id)
        bench.engine.remove(container.id)

        assert processes
        until(lambda: not any(bench.lives(pid) for pid in processes))
        assert bench.engine.create(bench.spec()) != container.id

    # --- names and ids -----------------------------------------------------------------------------------------------

    def test_a_name_that_is_taken_is_refused_and_its_owner_is_untouched(self, bench: Bench) -> None:
        owner = bench.started("one")

        with pytest.raises(EngineError, match=f"the name {bench.prefix}-one is taken by the container") as refused:
            bench.engine.create(bench.spec("one"))
        assert refused.value.hint
        assert bench.seen(owner.name) == owner

    def test_a_container_gets_another_name_unless_that_is_taken(self, bench: Bench) -> None:
        first, second = bench.started("one"), bench.engine.create(bench.spec("two"))

        with pytest.raises(EngineError, match=f"the name {bench.prefix}-two is taken by the container"):
            bench.engine.rename(first.id, f"{bench.prefix}-two")
        with pytest.raises(EngineError, match=f"cannot rename the container {bench.prefix}-one to {bench.prefix}-one"):
            bench.engine.rename(first.id, f"{bench.prefix}-one")
        bench.engine.rename(first.id, f"{bench.prefix}-three")
        assert bench.engine.container(f"{bench.prefix}-one") is None
        assert bench.seen(f"{bench.prefix}-three") == first._replace(name=f"{bench.prefix}-three")
        assert bench.seen(f"{bench.prefix}-two").id == second

    @pytest.mark.parametrize("name", ["x", "-x", ".x", "two words", "a/b", "a:b", "ä-x"])
    def test_what_is_no_name_is_refused(self, bench: Bench, name: str) -> None:
        identity = bench.engine.create(bench.spec("one"))

        with pytest.raises(EngineError, match=f"{name} is no name for a container") as refused:
            bench.engine.create(replace(bench.spec(), name=name))
        assert refused.value.hint
        with pytest.raises(EngineError, match=f"{name} is no name for a container"):
            bench.engine.rename(identity, name)
        assert bench.seen(identity).name == f"{bench.prefix}-one"
        assert bench.engine.container(name) is None

    def test_a_container_without_a_name_gets_one(self, bench: Bench) -> None:
        identity = bench.engine.create(replace(bench.spec(), name=""))
        try:
            assert bench.seen(bench.seen(identity).name).id == identity
        finally:
            bench.engine.remove(identity)

    def test_a_container_goes_by_its_id_or_the_first_twelve_of_it_and_by_no_less(self, bench: Bench) -> None:
        identity = bench.engine.create(bench.spec())
        bench.engine.remove(identity[:6])

        assert bench.engine.container(identity[:6]) is None
        assert bench.seen(identity[:12]).id == identity
        assert bench.seen(identity).state == "created"

    @pytest.mark.parametrize("call", ["start", "follow"])
    def test_a_container_that_is_not_there_is_named(self, bench: Bench, call: str) -> None:
        nobody = f"{bench.prefix}-nobody"

        with pytest.raises(EngineError, match=f"there is no container {nobody}"):
            getattr(bench.engine, call)(nobody)
        with pytest.raises(EngineError, match=f"there is no container {nobody}"):
            bench.engine.read_file(nobody, "/etc/passwd")
        with pytest.raises(EngineError, match=f"there is no container {nobody}"):
            bench.engine.imported(nobody, [(MODEL_FILE, None)])
        with pytest.raises(EngineError, match=f"there is no container {nobody}"):
            bench.engine.rename(nobody, f"{bench.prefix}-one")
        assert bench.engine.container(nobody) is None
        assert bench.engine.processes(nobody) == ()
        assert bench.engine.logs(nobody) == []

    # --- ports -------------------------------------------------------------------------------------------------------

    def test_the_server_is_reached_where_it_is_published(self, bench: Bench) -> None:
        for number, (address, reached) in enumerate(_addresses()):
            port = free_port()
            bench.started(f"on-{number}", ports=published(port, address))
            until(lambda at=reached, port=port: bench.serves(at, port))

    def test_a_port_that_is_taken_is_refused_at_the_start_and_its_owner_serves_on(self, bench: Bench) -> None:
        port = free_port()
        owner = bench.started("one", ports=published(port))
        for number, address in enumerate(("127.0.0.1", ALL, "")):
            late = bench.engine.create(bench.spec(f"late-{number}", ports=published(port, address)))
            with pytest.raises(EngineError, match=rf"port \S+:{port} is taken") as refused:
                bench.engine.start(late)
            assert refused.value.hint
            assert (bench.seen(late).state, bool(bench.seen(late).error)) == ("created", True)
        assert bench.seen(owner.id).state == "running"

    def test_a_container_whose_port_was_taken_meanwhile_stays_as_it_ended_until_it_is_free(self, bench: Bench) -> None:
        port = free_port()
        first = bench.started("one", ports=published(port)).id
        bench.ready(first)
        bench.engine.stop(first, grace_s=10)
        second = bench.started("two", ports=published(port)).id

        with pytest.raises(EngineError, match=rf"port 127\.0\.0\.1:{port} is taken"):
            bench.engine.start(first)
        refused = bench.seen(first)
        assert (refused.state, refused.exit_code, bool(refused.error)) == ("exited", 128, True)
        bench.engine.remove(second)
        bench.engine.start(first)
        assert (bench.seen(first).state, bench.seen(first).error) == ("running", "")

    def test_a_port_that_a_process_of_the_host_has_is_refused(self, bench: Bench) -> None:
        port = free_port()
        identity = bench.engine.create(bench.spec(ports=published(port)))

        with bench.occupied(port), pytest.raises(EngineError, match=rf"port 127\.0\.0\.1:{port} is taken"):
            bench.engine.start(identity)
        assert bench.seen(identity).state == "created"

    def test_another_address_has_ports_of_its_own(self, bench: Bench) -> None:
        port = free_port()
        bench.started("one", ports=published(port, "127.0.0.1"))
        bench.started("two", ports=published(port, "127.0.0.2"))

        until(lambda: bench.serves("127.0.0.1", port) and bench.serves("127.0.0.2", port))

    @pytest.mark.parametrize("address", [NOBODYS_ADDRESS, "2001:db8::9"])
    def test_an_address_that_is_not_this_hosts_is_refused_at_the_start(self, bench: Bench, address: str) -> None:
        identity = bench.engine.create(bench.spec(ports=published(free_port(), address)))

        with pytest.raises(EngineError, match=rf"{address}\S* is no address of the engine's host") as refused:
            bench.engine.start(identity)
        assert refused.value.hint
        assert (bench.seen(identity).state, bool(bench.seen(identity).error)) == ("created", True)


def _addresses() -> list[tuple[str, str]]:
    """Return addresses to publish on, each with where a client of this host then finds the server."""
    found = [("127.0.0.1", "127.0.0.1"), (ALL, "127.0.0.1"), ("", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")]
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        found += [("::1", "[::1]"), ("::", "[::1]")]
    return found
