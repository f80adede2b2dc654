"""The bytes of a quantized model before there is one: as Gemma 4's products have them, and as the judge counts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.units import format_bytes
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.job import made
from sparkctl.memory.job.linear import linear, names_it
from sparkctl.memory.product import judged
from sparkctl.memory.weights.tensors import Tensor
from tests.support import gemma4

SCHEMES = (
    *("FP8_DYNAMIC", "FP8_BLOCK", "FP8", "FP8_DEFAULT_CFG", "NVFP4A16", "NVFP4", "NVFP4_DEFAULT_CFG", "MXFP4", "W8A8"),
    *("W4A16", "W4A16_ASYM", "W4AFP8"),
)


@pytest.mark.parametrize(
    ("model", "spare", "layers"), [("e2b", False, 276), ("e4b", False, 343), ("e4b", True, 379), ("26b", True, 11_725)]
)
def test_the_linear_layers_that_are_quantized_are_counted_and_not_written_down(
    model: str, spare: bool, layers: int
) -> None:
    tensors = gemma4.source(model, spare=spare).tensors
    assert len([name for name, _ in linear(tensors) if not names_it(name, gemma4.IGNORED)]) == layers


@pytest.mark.parametrize(
    ("model", "scheme", "gigabytes"),
    [
        ("e2b", "FP8_DYNAMIC", 8.3),
        ("e2b", "NVFP4A16", 7.5),
        ("e4b", "FP8_DYNAMIC", 11.9),
        ("e4b", "NVFP4A16", 10.2),
        ("26b", "FP8_DYNAMIC", 27.1),
        ("26b", "NVFP4", 16.3),
        ("26b", "NVFP4_DEFAULT_CFG", 16.3),
    ],
)
def test_products_of_gemma_4_have_the_bytes_that_they_were_seen_to_have(
    model: str, scheme: str, gigabytes: float
) -> None:
    by_headers = made.predicted_bytes(gemma4.source(model), scheme, gemma4.IGNORED)
    by_config = made.predicted_bytes(ModelFacts(config=gemma4.config(model)), scheme, gemma4.IGNORED)
    assert by_headers == pytest.approx(gigabytes * 1e9, rel=0.01)
    assert by_config == pytest.approx(by_headers, rel=0.005)


def test_keys_that_are_never_read_are_counted_where_a_tool_keeps_them() -> None:
    source = gemma4.source("e4b")
    with_them = made.predicted_bytes(source, "FP8_DYNAMIC", gemma4.IGNORED, spare=True)
    without = made.predicted_bytes(source, "FP8_DYNAMIC", gemma4.IGNORED)
    assert with_them is not None
    assert without is not None
    keys = 2560 * (15 * 2 * 512 + 3 * 2 * 1024)
    assert with_them - without == keys + 2 * (15 * 2 * 512 + 3 * 2 * 1024)


@pytest.mark.parametrize("scheme", ["", "MXFP8", "MXFP8_DEFAULT_CFG", "INT4_AWQ_CFG", "W9A16", "my own"])
def test_of_a_scheme_that_is_not_known_nothing_is_said(scheme: str) -> None:
    assert made.predicted_bytes(gemma4.source("e2b"), scheme, ()) is None


def test_of_a_model_of_which_nothing_is_known_nothing_is_said() -> None:
    assert made.predicted_bytes(ModelFacts(), "FP8_DYNAMIC", ()) is None


def packed(name: str, rows: int, columns: int, scheme: str) -> list[Tensor]:
    """Return what compressed-tensors and ModelOpt make of a layer, but for one scale of a whole layer."""
    count = rows * columns
    if scheme.startswith("NVFP4"):
        parts = [("weight_packed", "U8", count // 2), ("weight_scale", "F8_E4M3", count // 16)]
        parts.append(("weight_global_scale", "F32", 4))
    elif scheme == "FP8_DYNAMIC":
        parts = [("weight", "F8_E4M3", count), ("weight_scale", "BF16", 2 * rows)]
    elif scheme in {"FP8", "FP8_DEFAULT_CFG"}:
        parts = [("weight", "F8_E4M3", count)]
    elif scheme == "MXFP4":
        parts = [("weight_packed", "U8", count // 2), ("weight_scale", "U8", count // 32)]
    elif scheme == "FP8_BLOCK":
        parts = [("weight", "F8_E4M3", count), ("weight_scale", "BF16", 2 * count // 128**2)]
    elif scheme == "W8A8":
        parts = [("weight", "I8", count), ("weight_scale", "BF16", 2 * rows)]
    else:
        parts = [("weight_packed", "I32", count // 2), ("weight_scale", "BF16", 2 * count // 128)]
        parts.append(("weight_shape", "I64", 16))
        parts += [("weight_zero_point", "I32", count // 256)] if scheme.endswith("ASYM") else []
    return [Tensor(f"{name}.{part}", dtype, (size,), size) for part, dtype, size in parts]


SIZES = st.sampled_from([128, 256, 512])


@given(
    st.lists(st.tuples(SIZES, SIZES, st.booleans()), min_size=1, max_size=6),
    st.sampled_from(SCHEMES),
    st.integers(0, 2**20),
)
def test_what_is_said_before_is_what_the_judge_expects_and_what_the_tools_make(
    layers: list[tuple[int, int, bool]], scheme: str, beside: int
) -> None:
    plain = Tensor("model.norm.weight", "BF16", (beside,), 2 * beside)
    shapes = {f"model.layers.{at}.proj": shape for at, shape in enumerate(layers)}
    kept = [name for name, (*_, keep) in shapes.items() if keep]
    matrices = {
        name: Tensor(f"{name}.weight", "BF16", (rows, columns), 2 * rows * columns)
        for name, (rows, columns, _) in shapes.items()
    }
    source = ModelFacts(config={"model_type": "llama"}, tensors=(plain, *matrices.values()))
    after = [plain, *(matrices[name] for name in kept)]
    for name, (rows, columns, keep) in shapes.items():
        after += [] if keep else packed(name, rows, columns, scheme)
    declared = made.declaration(scheme, kept)
    product = ModelFacts(config={**source.config, "quantization_config": declared}, tensors=tuple(after))
    predicted = made.predicted_bytes(source, scheme, kept)
    assert predicted is not None
    assert predicted == sum(one.bytes for one in after)
    (said,) = [one for one in judged(source, product, None) if one.check == "bytes"]
    assert said.passed
    assert said.says == f"{format_bytes(predicted)} where {format_bytes(predicted)} were expected"
