"""Groups whose hosts are in trouble: a clock that is wrong, a host that is lost at any step, ranks that come late."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError, NotReadyError, SparkctlError
from sparkctl.operations.groups import by_name
from sparkctl.operations.groups.host_differences import refuse_different
from sparkctl.operations.groups.hosts import connected
from sparkctl.operations.groups.kept import KeptGroup
from sparkctl.operations.groups.logs import logs_of
from sparkctl.operations.groups.watch import GroupWatch
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.world.web import Reply
from tests.support.fakes import FakeClock, FakeHttp, FakeLocks
from tests.support.two_sparks import AtOnce, KilledEngine, ProcessLife, TwoSparks, two_sparks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GROUP = KeptGroup("pair", ("a", "b"))
WAITS = "world_size=2 rank=0 local_rank=0 distributed_init_method=tcp://10.0.0.1:29501 backend=nccl"
HOUR_S = 3600.0


@pytest.fixture
def two(tmp_path: Path) -> TwoSparks:
    return two_sparks(tmp_path)


def alive(two: TwoSparks) -> None:
    """Start the group, which is whole then."""
    two.up()
    assert two.containers == {"a": "running", "b": "running"}


# --- clocks ----------------------------------------------------------------------------------------------------------


class WrongClock(FakeClock):
    """A clock of which the hour is wrong; its seconds are as long as all others'."""

    def epoch(self) -> float:
        return super().epoch() + HOUR_S


def test_with_a_clock_that_is_off_by_an_hour_a_group_starts_is_watched_and_its_logs_are_by_time_h3(
    two: TwoSparks,
) -> None:
    two.reach.there["spark-b"].skew_s = HOUR_S
    two.b.engine.clock = two.b.clock = WrongClock()
    two.a.engine.prints["pair"] = [f"INFO 11-30 22:58:0{second} [a.py:1] head" for second in (1, 3)]
    two.b.engine.prints["pair"] = [f"INFO 11-30 23:58:0{second} [b.py:1] worker" for second in (2, 4)]
    alive(two)
    lines = logs_of(two.world, GROUP)
    assert [line.rpartition(" ")[2] for line in lines] == ["head", "worker", "head", "worker"]
    watch = GroupWatch(two.world, lambda: 0.0, work=AtOnce)
    watch.tick()
    assert watch.words["pair"] == "whole"
    assert two.containers == {"a": "running", "b": "running"}


# --- one machine, one command, one order -----------------------------------------------------------------------------


def test_two_names_of_one_machine_are_no_two_hosts_of_a_group_h2(two: TwoSparks) -> None:
    two.reach.there["spark-b"].facts = two.reach.there["spark-a"].facts
    with pytest.raises(InputError, match="a and b are the same machine"):
        two.up()
    assert two.containers == {}


def test_flags_that_differ_are_refused_with_both_hosts_before_anything_starts_h9(two: TwoSparks) -> None:
    asked = AskedSet(("pair",))
    one = by_name.rendered(two.world, ("a", "b"), asked)
    other = by_name.rendered(two.world, ("a", "b"), AskedSet(("pair",), overrides=("limits.context=4096",)))
    with connected(two.world, ("a", "b")) as hosts:
        refuse_different(hosts, asked, one)
        with pytest.raises(InputError, match=r"--max-model-len: 16384 on a, 4096 on b"):
            refuse_different(hosts, asked, [one[0], other[1]])


@dataclass
class OrderedLocks(FakeLocks):
    """Locks of one host that write down when they are taken, in a list of all hosts."""

    host: str = ""
    taken: list[str] = field(default_factory=list)

    @contextmanager
    def hold(self, engine_id: str, *, waiting: Callable[[str], None], longest_s: float | None = None) -> Iterator[None]:
        with super().hold(engine_id, waiting=waiting, longest_s=longest_s):
            self.taken.append(self.host)
            yield
            self.taken.append(f"{self.host} free")


@pytest.mark.parametrize("hosts", [("a", "b"), ("b", "a")])
def test_two_operators_with_opposite_orders_take_the_locks_in_the_same_one_h16(
    two: TwoSparks, hosts: tuple[str, str]
) -> None:
    taken: list[str] = []
    two.a.locks, two.b.locks = OrderedLocks(host="a", taken=taken), OrderedLocks(host="b", taken=taken)
    two.b.http.serving |= two.a.http.serving  # type: ignore[union-attr]
    two.up(*hosts)
    held: list[str] = []
    for one in taken:
        if one.endswith(" free"):
            held.remove(one.removesuffix(" free"))
        else:
            assert all(other < one for other in held), taken
            held.append(one)
    assert ["a", "b"] in [taken[place : place + 2] for place in range(len(taken))], "both are held while they start"


def test_a_second_command_on_the_group_is_told_on_which_host_another_one_works_h16(two: TwoSparks) -> None:
    two.b.locks.working.add("pair")
    with pytest.raises(EngineError, match="pair: another command works on its rank on b"):
        two.up()
    assert two.containers == {}
    assert "pair" not in two.a.locks.working


# --- ranks that come late, or never ----------------------------------------------------------------------------------


def test_a_rank_that_never_comes_is_told_after_a_minute_and_named_at_the_end_h11(
    two: TwoSparks, caplog: pytest.LogCaptureFixture
) -> None:
    two.a.http.serving.clear()  # type: ignore[union-attr]
    two.a.engine.prints["pair"] = [WAITS]
    two.b.engine.prints["pair"] = ["Starting"]
    with pytest.raises(NotReadyError, match=r"rank 1 on b: has not come to the others, .*not ready after") as caught:
        two.up(overrides=("ready.timeout=120s",))
    told = [line for line in caplog.messages if "has not come for a minute" in line]
    assert told == ["pair: rank 1 on b has not come for a minute, and the others wait: sparkctl logs pair --rank 1"]
    assert "sparkctl logs pair --rank 1" in caught.value.message
    assert two.containers == {}, "one that would come later finds nobody, and holds no memory"


def test_a_rank_that_comes_late_is_no_failure_h11(two: TwoSparks) -> None:
    serving = dict(two.a.http.serving)  # type: ignore[union-attr]
    two.a.http.serving.clear()  # type: ignore[union-attr]
    two.a.engine.prints["pair"] = [WAITS]
    two.b.engine.prints["pair"] = ["Starting"]
    sleep = two.a.clock.sleep

    def comes(seconds: float) -> None:
        sleep(seconds)
        if two.a.clock.now > 300:
            two.a.http.serving.update(serving)  # type: ignore[union-attr]

    two.a.clock.sleep = comes  # type: ignore[method-assign]
    alive(two)


class SilentHttp(FakeHttp):
    """A head that is healthy, lists its model, and fails at the first request."""

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        self.asked.append(url)
        return Reply(500, "AssertionError")


def test_a_head_that_is_healthy_and_writes_nothing_is_not_ready_and_leaves_nothing_h13(two: TwoSparks) -> None:
    two.a.http = SilentHttp(serving=dict(two.a.http.serving))  # type: ignore[union-attr]
    with pytest.raises(NotReadyError):
        two.up()
    assert two.containers == {}


def test_a_worker_that_ends_while_the_head_answers_already_is_not_ready_h13(two: TwoSparks) -> None:
    two.b.engine.on_start["pair"] = lambda one: one._replace(state="exited", exit_code=0)
    with pytest.raises(NotReadyError, match="rank 1 on b: exited with code 0"):
        two.up()
    assert two.containers == {}


# --- a host that is lost ---------------------------------------------------------------------------------------------


@contextmanager
def lost(two: TwoSparks, host: str, call: str, *, after: bool) -> Iterator[None]:
    """Let a host not answer any more from one call to its engine on; afterwards it is there again, as it was."""
    spark = {"a": two.a, "b": two.b}[host]
    engine = spark.engine
    life = ProcessLife(error=EngineError(f"the engine at {host} broke the connection off (to do something)"))
    spark.engine = KilledEngine(engine, life, call, after=after)  # type: ignore[assignment]
    try:
        yield
    finally:
        assert life.dead, f"{call} is called on {host}"
        spark.engine = engine


def down(two: TwoSparks) -> None:
    for group in by_name.parted(two.world, ["pair"]).groups.values():
        by_name.down(two.world, group)


BEGINNING = [
    (host, call) for host in ("a", "b") for call in ("info", "image", "containers", "create", "start", "follow")
]
ENDING = [(host, call) for host in ("a", "b") for call in ("stop", "remove")]


@pytest.mark.a_part(9)
@pytest.mark.parametrize(("host", "call"), BEGINNING)
@pytest.mark.parametrize("after", [False, True])
def test_a_host_that_is_lost_while_a_group_starts_is_named_and_the_next_command_ends_what_it_has_h15(
    two: TwoSparks, host: str, call: str, after: bool
) -> None:
    with lost(two, host, call, after=after), pytest.raises(SparkctlError) as caught:
        two.up()
    assert f"at {host} broke" in caught.value.message
    other = "b" if host == "a" else "a"
    assert other not in two.containers, "nothing is left where the host answers"
    down(two)
    assert two.containers == {}
    alive(two)


@pytest.mark.parametrize(("host", "call"), ENDING)
@pytest.mark.parametrize("after", [False, True])
def test_a_host_that_is_lost_while_a_group_ends_is_named_and_the_same_command_finishes_h15(
    two: TwoSparks, host: str, call: str, after: bool, caplog: pytest.LogCaptureFixture
) -> None:
    alive(two)
    with lost(two, host, call, after=after), pytest.raises(EngineError, match="not known whether a rank") as caught:
        down(two)
    assert f"on {host} may still run" in "\n".join([*caplog.messages, caught.value.message])
    assert set(two.containers) <= {host}
    down(two)
    assert two.containers == {}


@pytest.mark.parametrize(("host", "call"), [(host, call) for host in ("a", "b") for call in ("stop", "start")])
def test_a_host_that_is_lost_while_a_group_is_restarted_is_named_h15(two: TwoSparks, host: str, call: str) -> None:
    alive(two)
    with lost(two, host, call, after=False), pytest.raises(SparkctlError) as caught:
        by_name.restart(two.world, GROUP)
    assert caught.value.message.startswith(f"{host}: ")
    alive(two)


# --- what is said ----------------------------------------------------------------------------------------------------


def test_a_model_that_a_host_lacks_comes_from_the_others_h9(two: TwoSparks) -> None:
    two.b.models.missing["gemma4-e4b-bf16"] = "is not there"
    with pytest.raises(InputError) as caught:
        two.up()
    assert caught.value.message.startswith("b: pair: ")
    assert (caught.value.hint or "").startswith("sparkctl hosts distribute pair brings it from a host that has it")


def test_whoever_starts_a_group_is_not_told_to_start_it(two: TwoSparks, caplog: pytest.LogCaptureFixture) -> None:
    alive(two)
    assert not [line for line in caplog.messages if "hosts share the model" in line]
