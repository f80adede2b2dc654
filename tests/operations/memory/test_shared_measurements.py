"""`measurements export` and `import`: nothing that names somebody goes out, nothing against itself comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.units import GIB
from sparkctl.operations.memory.shared_measurements import SOURCE, _public
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeStore
from tests.support.measured import AT, KEY, measured

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = {
    "kv-cache-dtype": "fp8",
    "kv-cache-memory-bytes": str(2 * GIB),
    "enforce-eager": "true",
    "speculative-config": '{"method":"mtp","num_speculative_tokens":4}',
    "kv-transfer-config": '{"kv_connector":"X","kv_ip":"10.0.0.7"}',
    "chat-template": "/home/anna/secret.jinja",
    "mods": '[{"mod":"annas-fix","target":"/usr/lib/x.py","md5":"0"}]',
    "VLLM_CACHE_ROOT": "/home/anna/.cache",
    "VLLM_USE_DEEP_GEMM": "0",
}
KEY_OF_ALL = KEY._replace(flags=tuple(sorted(FLAGS.items())), image_digest="sha256:" + "a" * 64)
PRIVATE = ("annas", "/home", "10.0.0.7", "secret", "e4b-of-anna", "recipe-of-anna", "/usr/lib")


def test_an_export_says_what_memory_depends_on_and_names_nobody(tmp_path: Path) -> None:
    one = measured(key=KEY_OF_ALL, service="e4b-of-anna", recipe="recipe-of-anna")
    spark = FakeSpark(tmp_path, store=FakeStore().measured(one, measured(key=KEY_OF_ALL, at=AT + 9, service="x")))
    text = spark.run("measurements", "export", "e4b-of-anna").expect(0).out
    (start,) = yaml.safe_load(text)["starts"]
    assert start["model"] == "google/gemma-4-E4B-it"
    assert start["flags"] == {
        "VLLM_USE_DEEP_GEMM": 0,
        "enforce-eager": True,
        "kv-cache-dtype": "fp8",
        "kv-cache-memory-bytes": 2 * GIB,
        "speculative-config": {"method": "mtp", "num_speculative_tokens": 4},
    }
    assert start["unsaid"] == ["VLLM_CACHE_ROOT", "chat-template", "kv-transfer-config", "mods"]
    assert start["logged"]["loaded"] == 10 * GIB
    assert (start["card"], start["total"], start["source"]) == ("gb10", 120 * GIB, SOURCE)
    assert not [word for word in PRIVATE if word in text]


@given(st.sampled_from(["/", "@", ":", " ", "~", "\\", "\n"]), st.text(max_size=20), st.text(max_size=20))
def test_no_value_with_a_path_or_an_address_in_it_goes_out(mark: str, before: str, after: str) -> None:
    assert _public("kv-cache-dtype", before + mark + after) is None
    assert _public("served-model-name", "plain") is None


def test_what_one_host_exports_another_imports_and_plans_by(tmp_path: Path) -> None:
    model = "coolthor/Gemma-4-E4B-it-NVFP4A16"
    one = measured(key=KEY._replace(model=model, image_digest=""), loaded_bytes=round(9.9 * GIB))
    file = tmp_path / "from-a-friend.yaml"
    there = FakeSpark(tmp_path / "there", store=FakeStore().measured(one))
    said = there.run("measurements", "export", "-o", str(file)).expect(0).err
    assert f"{file}: 1 start" in said

    here = FakeSpark(tmp_path / "here")
    here.folder.mkdir()
    kept = here.folder / "config" / "recipes" / "measured" / "from-a-friend.yaml"
    assert f"{kept}: 1 start" in here.run("measurements", "import", str(file)).expect(0).err
    assert kept.read_text() == file.read_text()
    here.run("measurements", "import", str(file)).expect(0)
    file.write_text(file.read_text().replace("10630", "10631"))
    again = here.run("measurements", "import", str(file)).expect(2)
    assert "has other starts already" in again.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("starts: [{model: a/b, source: x, logged: {gpu: 9 GiB, loaded: 12 GiB}}]\n", "less than what was loaded"),
        ("starts: [{model: a/b, source: x, total: 8 GiB, logged: {loaded: 12 GiB}}]\n", "more than the machine has"),
        ("starts: []\n", "expected at least one start"),
        ("- {service: e4b, measured: {loaded_bytes: 5}}\n", "does not say of which machine it is"),
        ("starts: [{model: a/b, source: x, logged: {}, service: e4b}]\n", "unknown key 'service'"),
    ],
)
def test_what_cannot_be_true_is_not_imported(tmp_path: Path, text: str, message: str) -> None:
    spark = FakeSpark(tmp_path)
    (tmp_path / "x.yaml").write_text(text)
    assert message in spark.run("measurements", "import", str(tmp_path / "x.yaml")).expect(2).err
    assert not (tmp_path / "config").exists()
    assert "no file" in spark.run("measurements", "import", str(tmp_path / "y.yaml")).expect(2).err


def test_a_measurement_that_contradicts_itself_is_left_out_of_an_export(tmp_path: Path) -> None:
    odd = measured(service="odd", at=AT + 5, peak_gpu_bytes=14 * GIB)
    spark = FakeSpark(tmp_path, store=FakeStore().measured(odd, measured(key=KEY._replace(image_digest=""))))
    done = spark.run("measurements", "export").expect(0)
    assert len(yaml.safe_load(done.out)["starts"]) == 1
    assert "warning: left out: odd, 2026-11-20: " in done.err
    nothing = FakeSpark(tmp_path).run("measurements", "export").expect(2)
    assert "nothing that was measured can be exported" in nothing.err


def test_a_name_that_is_a_commands_is_listed_by_list(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path, store=FakeStore().measured(measured(service="export")))
    assert [row["service"] for row in spark.run("measurements", "list", "export", "--json").expect(0).json] == [
        "export"
    ]
