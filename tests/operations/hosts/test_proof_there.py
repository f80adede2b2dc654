"""Services of another host are asked, measured and examined through ssh as those of this machine are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.bench.saved import benches
from sparkctl.operations.records import Records
from tests.support.bench_streams import FakeStreams
from tests.support.fake_hosts import FACTS, FakeReach, FakeThere
from tests.support.fake_world import FakeSpark
from tests.support.two_sparks import two_sparks

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = "e4b-nvfp4"


@pytest.fixture
def there(tmp_path: Path) -> FakeSpark:
    """Return the other host, on which a service runs."""
    found = FakeSpark(tmp_path, streams=FakeStreams())
    found.run("up", SERVICE).expect(0)
    return found


@pytest.fixture
def here(there: FakeSpark, tmp_path: Path) -> FakeSpark:
    """Return this machine, which runs nothing."""
    (tmp_path / "hosts.yaml").write_text("hosts:\n  a: {ssh: spark-a}\n")
    return FakeSpark(tmp_path, streams=FakeStreams(), reach=FakeReach({"spark-a": FakeThere(there)}))


def test_a_service_there_is_measured_through_ssh_and_its_result_says_so(
    here: FakeSpark, there: FakeSpark, tmp_path: Path
) -> None:
    saved = tmp_path / "one.json"
    done = here.run("--host", "a", "bench", SERVICE, "--save", str(saved)).expect(0)
    assert "50.0 ± 0.0" in done.out
    assert "measured through ssh: the way to a and back is in the time of the first token" in done.err
    assert isinstance(here.streams, FakeStreams)
    assert not here.streams.asked, "its requests went to the other host"
    (kept,) = benches(Records(there.store))
    assert (kept.host, kept.service) == ("a", SERVICE)
    assert json.loads(saved.read_text())["host"] == "a", "the file lies on this machine"
    assert here.store.records("bench") == []
    assert "50.0" in here.run("--host", "a", "bench", "history", SERVICE).expect(0).out
    assert "nothing of" in here.run("bench", "history", SERVICE).expect(0).err


def test_a_result_of_this_machine_says_nothing_of_ssh(there: FakeSpark) -> None:
    done = there.run("bench", SERVICE, "--json").expect(0)
    assert done.json["host"] == ""
    assert "ssh" not in "".join(done.json["notes"])


def test_a_service_there_is_checked_by_the_same_checks(here: FakeSpark, there: FakeSpark) -> None:
    rows = here.run("--host", "a", "check", SERVICE, "--only", "arithmetic", "--json").json
    assert rows == there.run("check", SERVICE, "--only", "arithmetic", "--json").json
    assert rows[0]["requests"], "it was asked"
    assert f"no service {SERVICE} is deployed" in here.run("check", SERVICE).expect(2).err
    refused = here.run("--host", "a", "check", SERVICE, "--suite", "quick").expect(2)
    assert "a suite is asked of services of this machine, and not of those of a" in refused.err


def test_mods_of_a_service_there_are_verified(here: FakeSpark, there: FakeSpark) -> None:
    found = here.run("--host", "a", "verify-mods", SERVICE, "--json")
    own = there.run("verify-mods", SERVICE, "--json")
    assert (found.code, found.json) == (own.code, own.json)
    assert f"no service {SERVICE}" not in found.err


def test_a_report_of_a_service_there_is_written_here(here: FakeSpark, tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    here.run("--host", "a", "report", SERVICE, "--output", str(path)).expect(0)
    text = path.read_text()
    assert "host a, through ssh" in text
    assert FACTS.kernel not in text


def test_a_group_is_asked_and_measured_where_its_head_is(tmp_path: Path) -> None:
    two = two_sparks(tmp_path)
    two.up()
    two.a.streams = FakeStreams()
    done = two.here.run("bench", "pair", "--json").expect(0)
    assert done.json["host"] == "a"
    assert "pair: rank 0 on a runs; rank 1 on b runs" in done.err
    assert two.here.run("check", "pair", "--only", "arithmetic", "--json").json[0]["requests"]
    swept = two.here.run("--host", "a", "bench", "pair", "--sweep", "limits.sequences=1..2").expect(2)
    assert "one service over several hosts" in swept.err
    two.b.engine.stop("pair", grace_s=1)
    for words in (("bench", "pair"), ("check", "pair")):
        assert "pair is half a group" in two.here.run(*words).expect(5).err


def test_a_command_that_cannot_do_it_refuses_another_host(here: FakeSpark, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["evaluate", "a", "b"], ["mods"], ["job", "list"], ["verify-model", "x", "--source", "y"]):
        assert here.run("--host", "a", *words).code == 2
        assert f"{words[0]} does not take --host" in capsys.readouterr().err
