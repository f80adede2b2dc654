"""A model's folder: the headers of its safetensors, and headers that lie."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.errors import InputError
from sparkctl.memory.weights.checkpoint import facts_of_folder, tensors_of

if TYPE_CHECKING:
    from pathlib import Path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors(path: Path, header: object, data: int = 0, *, declared: int | None = None) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes((declared if declared is not None else len(text)).to_bytes(8, "little") + text + bytes(data))
    return path


PACKED = {
    "__metadata__": {"format": "pt"},
    "w.weight_packed": entry("U8", [4, 8], 0, 32),
    "w.weight_scale": entry("F8_E4M3", [4, 1], 32, 36),
    "norm": entry("BF16", [16], 36, 68),
    "fp4": entry("F4", [3], 68, 70),
    "empty": entry("F32", [0, 4], 70, 70),
}


def test_the_tensors_bytes_are_the_sum_of_the_header(tmp_path: Path) -> None:
    assert sum(one.bytes for one in tensors_of(safetensors(tmp_path / "a.safetensors", PACKED, 70))) == 70


def test_a_folder_is_its_config_and_the_shards_of_its_index(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert facts_of_folder(tmp_path).tensors == ()
    safetensors(tmp_path / "model-1.safetensors", PACKED, 70)
    safetensors(tmp_path / "model-2.safetensors", {"b": entry("F16", [5], 0, 10)}, 10)
    safetensors(tmp_path / "consolidated.safetensors", PACKED, 70)
    facts = facts_of_folder(tmp_path)
    assert facts.config == {"model_type": "llama"}
    assert sum(tensor.bytes for tensor in facts.tensors) == 80
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    indexed = facts_of_folder(tmp_path).tensors
    assert sum(tensor.bytes for tensor in indexed) == 70


def test_a_shard_of_the_index_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-7.safetensors"}}')
    with pytest.raises(InputError) as error:
        facts_of_folder(tmp_path)
    assert error.value.message == f"{index}: 1 of 1 files are missing, the first is model-7.safetensors"
    index.write_text('{"weight_map": 3}')
    with pytest.raises(InputError, match="expected a map from tensors to files, found weight_map 3"):
        facts_of_folder(tmp_path)


def test_a_folder_that_a_tool_left_half_made_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    safetensors(tmp_path / "model-00001-of-00006.safetensors", PACKED, 70)
    with pytest.raises(InputError) as error:
        facts_of_folder(tmp_path)
    missing = "5 of the files that the others' names count are missing, the first is model-00002-of-00006.safetensors"
    assert error.value.message == f"{tmp_path}: {missing}"
    assert "make it again" in error.value.hint


def test_what_modelopt_says_beside_the_config_is_read_where_the_config_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}')
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    facts = facts_of_folder(tmp_path)
    assert facts.config["quantization_config"] == {"quantization": {"quant_algo": "NVFP4"}}
    assert facts.config_source.endswith("config.json and hf_quant_config.json")
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "fp8"}}')
    assert facts_of_folder(tmp_path).config["quantization_config"] == {"quant_method": "fp8"}


@pytest.mark.parametrize(
    ("header", "data", "declared", "message"),
    [
        (PACKED, 70, 2**32, "expected at most {room}, found a header of 4294967296 bytes"),
        (PACKED, 71, None, "expected 70, found 71 bytes of tensors"),
        (PACKED, 60, None, "expected 70, found 60 bytes of tensors"),
        ([], 0, None, "expected a map, found list"),
        ({"a": entry("F99", [1], 0, 1)}, 1, None, "dtype of the safetensors format, found tensor a of dtype 'F99'"),
        ({"a": 3}, 0, None, "expected a dtype of the safetensors format, found tensor a of dtype None"),
        ({"a": entry("F16", [1], 0, 4)}, 4, None, "expected 2, from its shape and dtype, found tensor a with 4 bytes"),
        ({"a": entry("F16", [-1], 0, 2)}, 2, None, "whole numbers below 2^63, found tensor a with shape [-1]"),
        ({"a": entry("F16", [2**63], 0, 2)}, 2, None, "whole numbers below 2^63, found tensor a with shape"),
        ({"a": entry("F16", [1] * 1000, 0, 2)}, 2, None, "lists of at most 8 whole numbers"),
        (
            {"a": entry([], [1], 0, 2)},
            2,
            None,
            "expected a dtype of the safetensors format, found tensor a of dtype []",
        ),
        ({"a": entry("F16", [10**4000], 0, 2)}, 2, None, "expected JSON, found a number of 4,001 characters"),
        (
            {"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)},
            6,
            None,
            "expected 4, where the last one ends, found a tensor that begins at 2",
        ),
    ],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, header: object, data: int, declared: int | None, message: str
) -> None:
    path = safetensors(tmp_path / "a.safetensors", header, data, declared=declared)
    with pytest.raises(InputError) as error:
        tensors_of(path)
    assert message.format(room=path.stat().st_size - 8) in error.value.message
    assert error.value.message.startswith(f"{path}: ")


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x04\0\0\0\0\0\0\0{{{{", b"\x02\0\0\0\0\0\0\0\xff\xfe"])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.safetensors: expected"):
        tensors_of(path)


def test_what_is_not_there_or_is_no_json_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: No such file or directory"):
        facts_of_folder(tmp_path)
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"config\.json: expected JSON"):
        facts_of_folder(tmp_path)
    with pytest.raises(InputError, match="No such file or directory"):
        tensors_of(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("name", ["a" * 300, "../a.safetensors", "/etc/passwd", "", {}, None, "a\0b", "\ud800"])
def test_an_index_names_files_below_its_own_folder(tmp_path: Path, name: object) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(InputError, match="expected names of files in the same folder"):
        facts_of_folder(tmp_path)


def test_a_pipe_in_place_of_a_shard_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="expected a regular file"):
        tensors_of(tmp_path / "a.safetensors")
