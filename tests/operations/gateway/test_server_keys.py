"""The servers behind a gateway: a key of its own for each, which nobody but sparkctl has."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.gateway.keys import servers
from sparkctl.world.local.disk import DiskFiles
from tests.support.fake_world import STATE, FakeSpark
from tests.support.fakes import FakeHttp, FakeReport
from tests.support.gateway_bench import E4B, FP8, GatewayBench

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.world.web import Reply

NAME = "VLLM_API_KEY"
BEHIND = f"services: {{{E4B}: {{recipe: {E4B}}}, {FP8}: {{recipe: {FP8}}}}}\ngateway: {{}}\n"
ALONE = f"services: {{{E4B}: {{recipe: {E4B}, secrets: [{NAME}]}}}}\n"


def with_stack(folder: Path, stack: str) -> FakeSpark:
    spark = FakeSpark(folder, environ={"USER": "ada"})
    spark.host.available = 110 << 30
    file = folder / "recipes" / "stacks" / "box.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(stack)
    return spark


class AskedWith(FakeHttp):
    """Servers that take note of the keys that they are asked with."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401  (as of the fake)
        super().__init__(**fields)
        self.with_keys: set[tuple[str, str | None]] = set()

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        self.with_keys.add((url.split("/")[2], key))
        return super().get(url, key=key, timeout_s=timeout_s)


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return with_stack(tmp_path, BEHIND)


def environment(spark: FakeSpark, name: str) -> Mapping[str, str]:
    container = spark.engine.container(name)
    assert container is not None
    return dict(container.env)


def key_file(spark: FakeSpark, name: str) -> str:
    content, mode = spark.files.written[STATE / servers.FOLDER / name]
    assert mode == 0o600
    return content.decode().strip()


def test_each_service_gets_another_key_and_keeps_it(spark: FakeSpark) -> None:
    spark.run("up", E4B).expect(0)
    assert NAME not in environment(spark, E4B), "outside of the stack it is another's service, without a gateway"
    spark.run("down", E4B).expect(0)
    spark.run("up", f"box:{E4B}", f"box:{FP8}").expect(0)
    one, other = (environment(spark, name)[NAME] for name in (E4B, FP8))
    assert len({one, other}) == 2
    assert all(len(bytes.fromhex(key.removeprefix("sparkctl-"))) == 32 for key in (one, other))
    assert (one, other) == (key_file(spark, E4B), key_file(spark, FP8))
    assert "already up" in spark.run("up", f"box:{E4B}").expect(0).err
    spark.run("down", E4B).expect(0)
    spark.run("up", f"box:{E4B}").expect(0)
    assert environment(spark, E4B)[NAME] == one


def test_a_key_is_in_no_label_no_word_and_no_output(spark: FakeSpark) -> None:
    done = [spark.run("up", "box")]
    done += [spark.run(*words) for words in (["ps"], ["ps", "--json"], ["status", E4B], ["diff", "box"])]
    done += [spark.run("render", f"box:{E4B}"), spark.run("apply", "box"), spark.run("history", "show", "1", "--json")]
    keys = [key_file(spark, name) for name in (E4B, FP8)]
    for key in keys:
        assert not [one for one in done if key in one.out + one.err]
        for container in spark.engine.containers():
            assert key not in str([container.labels, container.command, container.name])
        assert key not in str(spark.store)


def test_whoever_asks_a_server_has_its_key(spark: FakeSpark) -> None:
    for name in (E4B, FP8):
        servers.made(STATE, name, spark.files)
    places = {E4B: "127.0.0.1:8003", FP8: "127.0.0.1:8001"}
    keys = {place: key_file(spark, name) for name, place in places.items()}
    spark.http = asked = AskedWith(serving=spark.http.serving, keys=keys)
    spark.run("up", "box").expect(0)
    for newer in ("", "of-the-operator-and-newer"):
        spark.environ[NAME] = newer
        asked.with_keys.clear()
        rows = spark.run("ps", "--json").expect(0).json
        assert [row["ready"] for row in rows] == [True, True]
        spark.run("status", E4B).expect(0)
        assert asked.with_keys >= set(keys.items())
        assert asked.with_keys == set(keys.items()), "each was started with its own, whatever the operator has by now"
    spark.environ[NAME] = ""
    table = spark.run("ps").expect(0).out
    assert E4B in table
    assert "own-key" not in table


def test_the_gateway_asks_each_server_with_its_own_key(tmp_path: Path) -> None:
    bench = GatewayBench(tmp_path)
    try:
        asked = [bench.up().ask(name).forwarded() for name in (E4B, FP8)]
        keys = [f"Bearer {key_file(bench.spark, name)}" for name in (E4B, FP8)]
        assert [one.headers["Authorization"] for one in asked] == keys
    finally:
        bench.close()


def test_a_value_of_the_operators_comes_first(spark: FakeSpark) -> None:
    spark.environ[NAME] = "of-the-operator"
    spark.run("up", f"box:{E4B}").expect(0)
    assert environment(spark, E4B)[NAME] == "of-the-operator"
    assert STATE / servers.FOLDER / E4B not in spark.files.written


def test_without_a_gateway_a_key_without_a_value_is_refused_as_ever(tmp_path: Path) -> None:
    spark = with_stack(tmp_path, ALONE)
    assert f"{E4B}: no value for {NAME}" in spark.run("up", "box").expect(2).err


def test_a_plan_makes_no_key_and_misses_none(spark: FakeSpark) -> None:
    told = spark.run("plan", "box")
    assert "no value for" not in told.out + told.err
    assert not [path for path in spark.files.written if servers.FOLDER in path.parts]


def test_a_server_behind_a_gateway_stays_on_the_loopback(tmp_path: Path) -> None:
    opened = "set: {serve.bind: 0.0.0.0}"
    spark = with_stack(tmp_path, f"services: {{mine: {{recipe: {E4B}, {opened}}}}}\ngateway: {{}}\n")
    told = spark.run("recipes", "lint", "box").expect(2).err
    assert "box.yaml:1:" in told
    assert "expected an address of the loopback, found 0.0.0.0: its key (serve.own-key) is sparkctl's alone" in told
    file = tmp_path / "recipes/stacks/box.yaml"
    file.write_text(file.read_text().replace("}}}", ", serve.own-key: false}}}"))
    spark.run("recipes", "lint", "box").expect(0)
    assert f"mine: no value for {NAME}" in spark.run("up", "box").expect(2).err


def test_the_file_is_its_owners_alone_and_of_two_who_make_it_one_does(tmp_path: Path) -> None:
    files = DiskFiles()
    assert servers.known(tmp_path, "a", files) is None
    key = servers.made(tmp_path, "a", files)
    assert servers.made(tmp_path, "a", files) == servers.known(tmp_path, "a", files) == key
    assert servers.every(tmp_path) == [key]
    assert stat.S_IMODE((tmp_path / servers.FOLDER / "a").stat().st_mode) == 0o600


@pytest.mark.parametrize(("text", "mode", "why"), [("", 0o600, "holds no key"), ("ab" * 32, 0o640, "read by others")])
def test_a_file_that_is_no_key_of_its_owner_is_refused(tmp_path: Path, text: str, mode: int, why: str) -> None:
    file = tmp_path / servers.FOLDER / "a"
    file.parent.mkdir()
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(InputError, match=why):
        servers.made(tmp_path, "a", DiskFiles())
    assert file.read_text() == text


def test_a_world_hides_the_keys_that_are_there(spark: FakeSpark) -> None:
    key = servers.made(spark.operator.state, E4B, spark.world(FakeReport()).files)
    world = spark.world(FakeReport())
    assert world.key_at(E4B) == key
    assert key not in world.boundary.hidden(f"a log says {key}")
