"""`sparkctl keys` as an operator sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.gateway.keys import folder
from tests.support.applied import apply
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_is_printed_once_and_alone_s20(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    made = spark.run("keys", "add", "laptop", "--models", "auto, executor,auto", "--no-start", "--rate", "30/min")
    key = made.expect(0).out.strip()
    assert made.out == f"{key}\n"
    assert key.startswith("sk-sparkctl-")
    assert key not in made.err
    assert "shown this once" in made.err
    shown = spark.run("keys").expect(0)
    assert key not in shown.out + shown.err
    (row,) = spark.run("keys", "list", "--json").expect(0).json
    limits = {"models": ["auto", "executor"], "may_start": False, "rate": 30}
    none = {"requests": 0, "prompt_tokens": 0, "completion_tokens": 0, "last_at": None, "problem": None}
    assert row == {"name": "laptop", "made_at": row["made_at"]} | limits | none


def test_a_key_is_taken_back(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("keys", "add", "laptop").expect(0)
    assert "there is a key laptop already" in spark.run("keys", "add", "laptop").expect(2).err
    assert "did you mean laptop?" in spark.run("keys", "revoke", "laptp").expect(2).err
    assert "revoked laptop" in spark.run("keys", "revoke", "laptop").expect(0).err
    assert "there is no key: sparkctl keys add NAME" in spark.run("keys").expect(0).err


def test_a_damaged_key_has_a_row(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("keys", "add", "laptop").expect(0)
    place = folder.place(spark.world(FakeReport())) / "laptop.json"
    place.write_text("\x1b[2J{")
    shown = spark.run("keys").expect(0)
    assert "laptop is no key" in shown.err
    assert "\x1b" not in shown.out + shown.err
    assert "no JSON" in spark.run("keys", "--json").json[0]["problem"]


@pytest.mark.parametrize("rate", ["0", "-1", "x", "1e9", "1.5", "9999999999999999", "³"])
def test_a_rate_is_a_whole_number(tmp_path: Path, rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    FakeSpark(tmp_path).run("keys", "add", "laptop", "--rate", rate).expect(2)
    assert "expected a whole number of requests a minute" in capsys.readouterr().err


def test_names_of_models_are_wanted_where_they_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeSpark(tmp_path).run("keys", "add", "laptop", "--models", " , ").expect(2)
    assert "expected names with commas" in capsys.readouterr().err


def test_a_model_that_the_applied_stack_has_not_is_warned_of(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    assert "none of this gateway" not in spark.run("keys", "add", "early", "--models", "exeutor").expect(0).err
    apply(spark.world(FakeReport()), "executor")
    said = spark.run("keys", "add", "laptop", "--models", "auto,exeutor").expect(0).err
    assert "--models: the model 'exeutor' is none of this gateway; there are: executor" in said
    assert "'auto'" not in said
