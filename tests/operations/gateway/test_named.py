"""Names and servers of a generation: from the words that were kept, also of a generation of an earlier sparkctl."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.operations.gateway.named import KeptServer, named
from sparkctl.operations.stack.generations import GENERATION, Generations
from sparkctl.planning.box.declared import DeclaredGateway, DeclaredRoute
from tests.support.applied import apply
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path

STACK = """\
services:
  executor: {recipe: e4b-nvfp4, names: [gpt-4o-mini], defaults: {temperature: 0.7}, force: {kwargs: {thinking: false}}}
  reasoner: {recipe: 26b-a4b-nvfp4, start: on-demand}
routes:
  auto: {first: executor, then: reasoner, when: [context, asked], start: true}
gateway: {wait: 5m, comments: false}
"""


def spark_with(folder: Path, text: str = STACK) -> FakeSpark:
    path = folder / "recipes/stacks/box.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return FakeSpark(folder)


def test_a_generation_says_under_which_names_its_services_are_asked_for(tmp_path: Path) -> None:
    spark = spark_with(tmp_path)
    apply(spark.world(FakeReport()), "box")
    kept = Generations(spark.world(FakeReport())).applied()
    assert kept is not None
    assert kept.routes == (DeclaredRoute("auto", "executor", "reasoner", ("context", "asked"), start=True, waiting=4),)
    assert kept.gateway == DeclaredGateway("127.0.0.1", 8090, 300.0, 16, comments=False)
    found = named(kept)
    executor = found.names.services["executor"]
    assert (executor.served, executor.context, executor.sequences) == (("gemma-4-e4b",), 16384, 4)
    assert executor.changes("auto", "/v1/chat/completions") == (
        "gemma-4-e4b",
        {"temperature": 0.7},
        {"kwargs": {"thinking": False}},
    )
    assert found.names.services_of("auto") == ("executor", "reasoner")
    assert found.names.services_of("gemma-4-e4b") == found.names.services_of("gpt-4o-mini") == ("executor",)
    assert found.servers["executor"] == KeptServer("http://127.0.0.1:8003")


def test_words_that_cannot_be_read_leave_the_names_of_the_stack(tmp_path: Path) -> None:
    spark = spark_with(tmp_path)
    kept = apply(spark.world(FakeReport()), "box")
    broken = replace(kept, services=(replace(kept.services[0], words=("docker", "run", "--nonsense")),))
    found = named(broken)
    assert (found.names.services_of("gpt-4o-mini"), found.names.services_of("gemma-4-e4b")) == (("executor",), ())
    assert found.servers["executor"] == KeptServer(None)


def test_a_generation_of_an_earlier_sparkctl_is_read(tmp_path: Path) -> None:
    spark = spark_with(tmp_path)
    apply(spark.world(FakeReport()), "box")
    (record,) = spark.store.records(GENERATION)
    old = json.loads(record.text)
    for key in ("routes", "gateway"):
        del old["generation"][key]
    for service in old["generation"]["services"]:
        for key in ("names", "defaults", "force"):
            del service["declared"][key]
    spark.store.forget(GENERATION, record.service)
    spark.store.add(record._replace(text=json.dumps(old)))
    kept = Generations(spark.world(FakeReport())).applied()
    assert kept is not None
    assert (kept.routes, kept.gateway, kept.services[0].declared.names) == ((), None, ())
    assert list(named(kept).names.meant) == ["executor", "reasoner", "gemma-4-e4b", "gemma-4"]


def test_diff_tells_how_the_gateway_is_asked_otherwise(tmp_path: Path) -> None:
    spark = spark_with(tmp_path)
    spark.run("apply", "box").expect(0)
    assert spark.run("diff", "box").expect(0)
    changed = STACK.replace("0.7", "0.2").replace("start: true", "start: false").replace("5m", "9m")
    (tmp_path / "recipes/stacks/box.yaml").write_text(changed)
    said = spark.run("diff", "box").expect(9).out
    assert 'defaults: {"temperature": 0.7} before, {"temperature": 0.2} now' in said
    assert "start: true, waiting: 4) before" in said
    assert "gateway.wait: 300 s before, 540 s now" in said
    spark.run("apply", "box").expect(0)
    spark.run("diff", "box").expect(0)
    assert len(Generations(spark.world(FakeReport())).all()) == 2
    spark.run("rollback").expect(0)
    last = Generations(spark.world(FakeReport())).applied()
    assert last is not None
    assert last.routes[0].start
    assert last.gateway is not None
    assert last.gateway.wait_s == 300


def test_names_of_the_gateway_do_not_restart_a_service(tmp_path: Path) -> None:
    spark = spark_with(tmp_path)
    spark.run("apply", "box").expect(0)
    before = [one.id for one in spark.engine.containers()]
    (tmp_path / "recipes/stacks/box.yaml").write_text(STACK.replace("gpt-4o-mini", "gpt-5"))
    spark.run("apply", "box").expect(0)
    assert [one.id for one in spark.engine.containers()] == before


def test_lint_names_what_another_server_has(tmp_path: Path) -> None:
    text = STACK.replace("gpt-4o-mini", "gemma-4").replace("auto:", "gemma-4-e4b:").replace("wait: 5m", "port: 8888")
    said = spark_with(tmp_path, text).run("recipes", "lint", "box")
    assert said.code == 2
    assert "box.yaml:2:41: gemma-4 is a name that reasoner is served under" in said.err + said.out
    assert "box.yaml:5:3: gemma-4-e4b is a name that executor is served under" in said.err + said.out
    assert "box.yaml:6:17: gateway.port: reasoner listens at 127.0.0.1:8888" in said.err + said.out
