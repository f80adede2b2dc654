"""Where services listen: addresses of both kinds, several of them, and what cannot be is refused before a start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.recipes.values import same_address
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

ALL = "0.0.0.0"  # noqa: S104  (as an operator writes it)


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    spark.models.cache.add("RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic")
    return spark


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "192.168.1.20", False),
        (ALL, "192.168.1.20", True),
        ("192.168.1.20", ALL, True),
        (ALL, "::", False),
        (ALL, "::1", False),
        ("::", "fd00::2", True),
        ("::1", "fd00::2", False),
        ("::1", "0:0:0:0:0:0:0:1", True),
    ],
)
def test_a_port_is_one_on_all_addresses_of_a_kind(one: str, other: str, *, same: bool) -> None:
    assert same_address(one, other) is same


@pytest.mark.parametrize(
    ("bind", "url", "published"),
    [
        ("::1", "http://[::1]:8003", "[::1]:8003:8000"),
        ("::", "http://[::1]:8003", "[::]:8003:8000"),
        ("0:0:0:0:0:0:0:1", "http://[::1]:8003", "[::1]:8003:8000"),
        (ALL, "http://127.0.0.1:8003", f"{ALL}:8003:8000"),
    ],
)
def test_an_address_is_written_as_urls_and_docker_have_it(
    spark: FakeSpark, bind: str, url: str, published: str
) -> None:
    spark.http.serving[url.removeprefix("http://")] = "gemma-4-e4b"
    given = ("e4b-nvfp4", "--set", f"serve.bind='{bind}'")
    assert f"--publish {published}" in spark.run("render", *given).expect(0).out.replace("'", "")
    assert f"e4b-nvfp4: ready at {url}" in spark.run("up", *given).expect(0).err
    assert spark.run("ps", "--json").json[0]["url"] == url
    spark.run("status", "e4b-nvfp4").expect(0)


def test_an_address_with_an_interface_is_none_that_docker_publishes_on(spark: FakeSpark) -> None:
    done = spark.run("plan", "e4b-nvfp4", "--set", "serve.bind='fe80::1%eth0'").expect(2)
    assert "expected an IP address without an interface, found 'fe80::1%eth0'" in done.err


@pytest.mark.parametrize("command", ["plan", "up"])
@pytest.mark.parametrize("bind", ["192.0.2.20", "2001:db8::1"])
def test_an_address_that_this_host_has_not_is_refused_before_anything_starts(
    spark: FakeSpark, command: str, bind: str
) -> None:
    done = spark.run(command, "e4b-nvfp4", "--set", f"serve.bind='{bind}'").expect(2)
    assert f"e4b-nvfp4: serve.bind is {bind}, which is no address of this host" in done.err
    assert spark.engine.calls == []


@pytest.mark.parametrize("command", ["plan", "up"])
def test_all_addresses_and_one_of_them_on_one_port_are_refused_before_anything_starts(
    spark: FakeSpark, command: str
) -> None:
    places = ("26b-a4b-fp8:serve.port=8003", f"26b-a4b-fp8:serve.bind={ALL}", "e4b-nvfp4:serve.bind=192.168.1.20")
    sets = [word for place in places for word in ("--set", place)]
    done = spark.run(command, "e4b-nvfp4", "26b-a4b-fp8", *sets).expect(2)
    assert (
        f"two of the services want the same port: e4b-nvfp4 at 192.168.1.20:8003, 26b-a4b-fp8 at {ALL}:8003" in done.err
    )
    assert "--set 26b-a4b-fp8:serve.port=…" in done.err
    assert spark.engine.calls == []


def test_plan_says_what_up_would_stop_at(spark: FakeSpark) -> None:
    spark.host.taken_ports.add(8003)
    told = spark.run("plan", "e4b-nvfp4", "26b-a4b-nvfp4", "--set", "secrets=[VLLM_API_KEY]").expect(0).err
    assert "`up` would stop here: e4b-nvfp4: port 8003 on 127.0.0.1 is in use" in told
    assert "26b-a4b-nvfp4: mod gemma4-nvfp4-moe is unpinned: sparkctl mods pin gemma4-nvfp4-moe" in told
    assert "e4b-nvfp4: no value for VLLM_API_KEY" in told


def lint(spark: FakeSpark, path: str, text: str) -> str:
    file = spark.folder / "recipes" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return spark.run("recipes", "lint", str(file)).err


def test_lint_names_two_services_on_one_port(spark: FakeSpark) -> None:
    two = "services:\n  one: {recipe: e4b-nvfp4}\n  other: {recipe: e4b-fp8, set: {serve.bind: 0.0.0.0}}\n"
    told = lint(spark, "stacks/two.yaml", two)
    assert f"two.yaml:3:19: one and other both listen at {ALL}:8003" in told
    assert "checked" not in told, "an error"


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("serve: {bind: 0.0.0.0}", True),
        ("serve: {bind: '::'}", True),
        ("serve: {bind: 192.168.1.20}", True),
        ("serve: {bind: 0.0.0.0}\nsecrets: [VLLM_API_KEY]", False),
        ("serve: {bind: '::1'}", False),
        ("", False),
    ],
)
def test_an_address_that_is_open_without_a_key_is_a_warning(spark: FakeSpark, text: str, *, warned: bool) -> None:
    told = lint(spark, "mine.yaml", f"extends: e4b-fp8\n{text}\n")
    assert ("it answers everybody who reaches this host" in told) is warned
    assert ("it answers everybody" in spark.run("plan", str(spark.folder / "recipes/mine.yaml")).err) is warned
