"""Keys: what is kept of one, who is let in, how often, and that a revoked one is none from the next request on."""

from __future__ import annotations

import multiprocessing
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.operations.gateway.keys import folder, use
from sparkctl.operations.gateway.keys.at_door import Anybody, DoorRules, KeyOwner, KeysAtDoor
from sparkctl.operations.gateway.keys.listed import listed
from sparkctl.operations.gateway.keys.use import KeyUses
from sparkctl.planning.gateway.keys import RequestBucket, digest, limits, taken
from sparkctl.world.door_ports import Arrival, Refuse
from sparkctl.world.local.disk import DiskFiles
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.thorough import examples

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World


@dataclass
class Bench:
    """A gateway's door with the keys of a fake operator."""

    folder: Path
    rules: DoorRules = field(default_factory=lambda: DoorRules(local=True))
    now: float = 0.0
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spark = FakeSpark(self.folder)
        self.world: World = self.spark.world(FakeReport())
        self.keys = folder.place(self.world)
        self.uses = KeyUses(self.world)
        self.door = KeysAtDoor(self.keys, self.rules, self.uses, lambda: self.now, self.told.append)

    def asks(self, key: str = "", host: str = "127.0.0.1:8090") -> str:
        """Return whose request it is, or how it is refused."""
        found = self.door.caller(arrival(key, host))
        return f"{found.status} {found.code}" if isinstance(found, Refuse) else found.name or "anybody"


def arrival(key: str, host: str = "127.0.0.1:8090") -> Arrival:
    return Arrival(
        *("1", "POST", "/v1/chat/completions", "auto", key), False, "json", b"{}", {}, {}, {}, "127.0.0.1", "", host
    )


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_a_key_is_kept_as_a_salted_hash_for_its_owner_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first, second = (folder.add(bench.world, name) for name in ("laptop", "phone"))
    assert first.text.startswith("sk-sparkctl-")
    assert len(first.text) == 76
    assert first.text != second.text
    files = sorted(bench.keys.iterdir())
    assert [one.name for one in files] == ["laptop.json", "phone.json"]
    for one in files:
        assert stat.S_IMODE(one.stat().st_mode) == 0o600
        assert not any(key.text.removeprefix("sk-sparkctl-")[:8] in one.read_text() for key in (first, second))
    assert stat.S_IMODE(bench.keys.stat().st_mode) == 0o700
    assert first.kept.salt != second.kept.salt
    assert first.kept.digest == digest(first.text, first.kept.salt) != digest(first.text, second.kept.salt)
    assert repr(first) == "NewKey(laptop)"


def test_of_two_who_make_a_key_of_one_name_one_does(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "laptop.json"
    with multiprocessing.get_context("fork").Pool(4) as pool:
        made = pool.starmap(_create, [(path, bytes([number]) * 4096) for number in range(24)])
    assert sorted(made) == [False] * 23 + [True]
    assert path.read_bytes() == bytes([made.index(True)]) * 4096
    assert [one.name for one in path.parent.iterdir()] == ["laptop.json"]


def _create(path: Path, content: bytes) -> bool:
    return DiskFiles().create(path, content, mode=0o600)


def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    made = folder.add(bench.world, "laptop")
    with pytest.raises(InputError, match="there is a key laptop already"):
        folder.add(bench.world, "laptop")
    assert bench.asks(made.text) == "laptop"
    for name in ("", "..", "a/b", "-x", "x" * 65, "a\n"):
        with pytest.raises(InputError, match="expected a name"):
            folder.add(bench.world, name)


def test_a_key_that_there_is_not_is_not_revoked(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(InputError, match="no key laptop") as refused:
        folder.revoke(bench.world, "laptop")
    assert refused.value.hint == "there is none: sparkctl keys add NAME"
    folder.add(bench.world, "laptop")
    for name in ("lapto", "../gateway-keys/laptop"):
        with pytest.raises(InputError, match="there is no key"):
            folder.revoke(bench.world, name)


# --- at the door -----------------------------------------------------------------------------------------------------


def test_on_its_own_host_a_gateway_without_keys_is_for_anybody(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.asks() == bench.asks("whatever") == bench.asks("", "localhost:8090") == "anybody"


def test_without_keys_a_name_that_somebody_lets_point_here_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, DoorRules(local=True, hosts=frozenset({"spark"})))
    assert bench.asks("", "evil.example") == bench.asks("none", "evil.example:8090") == "403 foreign_host"
    assert bench.asks("", "spark:8090") == "anybody"


def test_where_others_reach_it_no_key_is_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path, DoorRules(local=False))
    assert bench.asks() == bench.asks("x") == "401 invalid_api_key"
    assert Bench(tmp_path, DoorRules(local=False, open=True)).asks() == "anybody"


def test_an_open_gateway_counts_for_those_who_have_a_key(tmp_path: Path) -> None:
    bench = Bench(tmp_path, DoorRules(local=False, open=True))
    made = folder.add(bench.world, "laptop")
    assert [bench.asks(made.text), bench.asks(), bench.asks("x")] == ["laptop", "anybody", "anybody"]


def test_a_key_is_asked_for_from_the_first_one_on_also_after_the_last(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.asks() == "anybody"
    made = folder.add(bench.world, "laptop")
    assert [bench.asks(), bench.asks(made.text), bench.asks(made.text + "0")] == [
        "401 invalid_api_key",
        "laptop",
        "401 invalid_api_key",
    ]
    folder.revoke(bench.world, "laptop")
    assert [bench.asks(made.text), bench.asks()] == ["401 invalid_api_key"] * 2


def test_a_key_that_is_made_anew_is_seen_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(20):  # also within one tick of the file system's clock
        made = folder.add(bench.world, "laptop")
        assert bench.asks(made.text) == "laptop"
        folder.revoke(bench.world, "laptop")
        assert bench.asks(made.text) == "401 invalid_api_key"


def test_a_file_that_was_changed_in_its_place_is_seen_within_a_second(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    key = folder.add(bench.world, "laptop").text
    for bench.now in (1.0, 1.2):
        assert bench.asks(key) == "laptop"
    (bench.keys / "laptop.json").chmod(0o644)
    bench.now = 2.3
    assert bench.asks(key) == "401 invalid_api_key"


def test_two_changes_in_one_tick_of_the_clock_are_seen_both(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    key = folder.add(bench.world, "laptop").text
    bench.now = 1.0
    assert bench.asks(key) == "laptop"
    times = bench.keys.stat()
    folder.revoke(bench.world, "laptop")
    os.utime(bench.keys, ns=(times.st_atime_ns, times.st_mtime_ns))
    bench.now = 1.5
    assert bench.asks(key) == "401 invalid_api_key"


def test_a_settled_folder_shows_a_revoked_key_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    key = folder.add(bench.world, "laptop").text
    for bench.now in (1.0, 1.2, 1.3):
        assert bench.asks(key) == "laptop"
    os.utime(bench.keys, ns=(0, 0))
    assert bench.asks(key) == "laptop"
    folder.revoke(bench.world, "laptop")
    assert bench.asks(key) == "401 invalid_api_key"


@pytest.mark.parametrize("key", ["\udce9", "x" * 100_000, "é", "sk-sparkctl-", "Bearer x"])
def test_odd_keys_are_none(tmp_path: Path, key: str) -> None:
    bench = Bench(tmp_path)
    folder.add(bench.world, "laptop")
    assert bench.asks(key) == "401 invalid_api_key"


def test_what_a_key_may_do(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    made = folder.add(bench.world, "laptop", models=("auto",), may_start=False, rate=30)
    found = bench.door.caller(arrival(made.text))
    assert isinstance(found, KeyOwner)
    assert (found.may_start, found.may_use("auto"), found.may_use("executor")) == (False, True, False)
    assert limits(made.kept) == "only auto; starts nothing; 30 requests a minute"
    assert Anybody().may_use("anything")


def test_a_key_has_its_requests_of_a_minute(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    key = folder.add(bench.world, "laptop", rate=3).text
    assert [bench.asks(key) for _ in range(4)] == ["laptop"] * 3 + ["429 rate_limit_exceeded"]
    found = bench.door.caller(arrival(key))
    assert isinstance(found, Refuse)
    assert (found.retry_after_s, found.should_retry) == (20, True)
    assert "laptop has 3 requests a minute" in found.message
    bench.now = 20.0
    assert [bench.asks(key) for _ in range(2)] == ["laptop", "429 rate_limit_exceeded"]


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_text("{"), "no JSON"),
        (lambda path: path.write_text(path.read_text().replace('"schema": 1', '"schema": 2')), "newer sparkctl"),
        (lambda path: path.write_text(path.read_text().replace('"digest": "', '"digest": "x')), "its digest cannot be"),
        (lambda path: path.write_text(path.read_text().replace('"laptop"', '"phone"')), "it is the key phone"),
        (lambda path: path.write_bytes(b"\xff" * 70_000), "more than"),
        (lambda path: path.chmod(0o644), "can be read by others"),
        (lambda path: (path.unlink(), path.mkdir()), "it is a folder"),
    ],
)
def test_a_damaged_key_is_none_and_no_other_keys_trouble(tmp_path: Path, damage: object, why: str) -> None:
    bench = Bench(tmp_path)
    laptop, phone = (folder.add(bench.world, name).text for name in ("laptop", "phone"))
    assert bench.asks(laptop) == "laptop"
    damage(bench.keys / "laptop.json")  # type: ignore[operator]
    assert [bench.asks(laptop), bench.asks(phone), bench.asks()] == [
        "401 invalid_api_key",
        "phone",
        "401 invalid_api_key",
    ]
    (told,) = bench.told
    assert why in told
    assert laptop not in told
    assert [one.name for one in listed(bench.world) if one.damaged is not None] == ["laptop"]


def test_with_none_but_a_damaged_key_nobody_is_let_in(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    folder.add(bench.world, "laptop")
    (bench.keys / "laptop.json").write_text("")
    assert bench.asks() == "401 invalid_api_key"
    folder.revoke(bench.world, "laptop")
    folder.add(bench.world, "laptop")


def test_a_folder_into_which_others_write_lets_nobody_in(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    key = folder.add(bench.world, "laptop").text
    assert bench.asks(key) == "laptop"
    bench.keys.chmod(0o777)
    assert bench.asks(key) == bench.asks() == "503 keys_unusable"
    assert "can be written by others" in bench.told[0]
    with pytest.raises(InputError, match="can be written by others"):
        folder.add(bench.world, "phone")
    bench.keys.chmod(0o700)
    assert bench.asks(key) == "laptop"


# --- use -------------------------------------------------------------------------------------------------------------


def test_the_use_of_a_key_is_counted_and_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    key = folder.add(bench.world, "laptop").text
    for prompt, completion in ((100, 20), (None, None)):
        found = bench.door.caller(arrival(key))
        assert isinstance(found, KeyOwner)
        found.used(prompt, completion)
    bench.uses.keep()
    ((path, (content, mode)),) = [(path, one) for path, one in bench.spark.files.written.items() if "use" in path.name]
    assert (path.name, mode) == ("gateway-use.json", 0o600)
    assert key.encode() not in content
    (one,) = listed(bench.world)
    assert one.use is not None
    assert (one.use.requests, one.use.prompt_tokens, one.use.completion_tokens) == (2, 100, 20)
    bench.spark.clock.now += 5
    folder.revoke(bench.world, "laptop")
    folder.add(bench.world, "laptop")
    (anew,) = listed(bench.world)
    assert anew.use is not None
    assert anew.use.requests == 0


def test_use_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.world.files.write(use.place(bench.world), b"{}", mode=0o600)
    assert KeyUses(bench.world).uses == {}
    assert "begins anew" in bench.world.report.warned[0]  # type: ignore[attr-defined]


# --- the bucket ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 600), st.lists(st.floats(0, 30), min_size=1, max_size=60))
@settings(max_examples=examples(400))
def test_in_no_stretch_of_time_are_there_more_than_a_minutes_worth_and_the_rate(rate: int, waits: list[float]) -> None:
    bucket, now, served = None, 0.0, []
    for wait in waits:
        now += wait
        bucket, wait_s = taken(bucket, rate, now)
        if wait_s == 0:
            served.append(now)
        else:
            assert taken(bucket, rate, now + wait_s).wait_s == 0
            assert taken(bucket, rate, now + wait_s * 0.99 - 1e-6).wait_s > 0
    for first, begin in enumerate(served):
        for last in range(first, len(served)):
            assert last - first + 1 <= rate + (served[last] - begin) * rate / 60 + 1e-6


def test_a_clock_that_stands_still_gives_nothing() -> None:
    assert taken(RequestBucket(0, 10.0), 60, 10.0).wait_s == 1
    assert taken(RequestBucket(0, 10.0), 60, 9.0).wait_s == 1
