"""The states of Mamba and linear-attention layers, as vLLM shapes them.

Shapes from vLLM 0.33.0 ``model_executor/layers/mamba/mamba_utils.py``; which keys go into them from each model's
``get_mamba_state_shape_from_config``. The convolution keeps the model's type, 16 bits; so does the recurrence, unless
the config says otherwise and the model's class in vLLM reads it (``model_executor/models/config.py``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.memory.model.config_keys import wrong
from sparkctl.memory.model.layers import Kind, LayerGroup, RecurrentState

if TYPE_CHECKING:
    from sparkctl.memory.model.config_keys import Keys

_BYTES: Final = {"auto": 2, "float32": 4, "float16": 2, "bfloat16": 2}


def gated_delta_net(keys: Keys, *, dtype_key: str | None = None) -> LayerGroup:
    """Return a layer of Qwen3-Next or Qwen3.5; the latter names the type of its recurrence."""
    key_width = keys.count("linear_num_key_heads") * keys.count("linear_key_head_dim")
    value_width = keys.count("linear_num_value_heads") * keys.count("linear_value_head_dim")
    state = RecurrentState(
        conv_width=2 * key_width + value_width,
        conv_kernel=keys.count("linear_conv_kernel_dim"),
        recurrent=value_width * keys.count("linear_key_head_dim"),
        recurrent_bytes=_recurrent_bytes(keys, dtype_key),
        own_recurrence=_own_recurrence(keys, dtype_key),
    )
    return LayerGroup(Kind.LINEAR, 1, 0, 0, state=state)


def nemotron_h(keys: Keys) -> LayerGroup:
    """Return a Mamba 2 layer of Nemotron-H."""
    heads, width = keys.count("mamba_num_heads"), keys.count("mamba_head_dim")
    # transformers' class still takes the older names of two of them.
    groups = keys.first("mamba_n_groups", "n_groups")
    kernel = keys.first("mamba_d_conv", "conv_kernel")
    size = keys.count("ssm_state_size")
    key = "mamba_ssm_cache_dtype"
    layer = _mamba2((heads, width, size), groups, kernel, heads * width, _recurrent_bytes(keys, key))
    if layer.state is None:
        return layer
    return layer._replace(state=replace(layer.state, own_recurrence=_own_recurrence(keys, key)))


def parallel_mamba2(keys: Keys, *, own_width: bool = False) -> LayerGroup:
    """Return a Mamba 2 layer of Granite 4 or, with ``own_width``, of Falcon-H1."""
    heads = keys.count("mamba_n_heads")
    expanded = keys.count("mamba_expand") * keys.count("hidden_size")
    width = keys.count("mamba_d_ssm") if own_width and "mamba_d_ssm" in keys else expanded
    written = "mamba_d_head" in keys and keys.get("mamba_d_head") != "auto"
    head = keys.count("mamba_d_head") if written else expanded // heads
    return _mamba2(
        (heads, head, keys.count("mamba_d_state")), keys.count("mamba_n_groups"), keys.count("mamba_d_conv"), width, 2
    )


def mamba2(keys: Keys) -> LayerGroup:
    """Return a layer of Mamba 2."""
    width = keys.count("expand") * keys.count("hidden_size")
    shape = keys.count("num_heads"), keys.count("head_dim"), keys.count("state_size")
    return _mamba2(shape, keys.count("n_groups"), keys.count("conv_kernel"), width, 2)


def mamba(keys: Keys) -> LayerGroup:
    """Return a layer of Mamba 1, whose width the class works out itself."""
    return _mamba1(keys, "expand", "state_size", "conv_kernel")


def jamba(keys: Keys) -> LayerGroup:
    """Return a Mamba 1 layer of Jamba."""
    return _mamba1(keys, "mamba_expand", "mamba_d_state", "mamba_d_conv")


def _mamba1(keys: Keys, expand: str, size: str, kernel: str) -> LayerGroup:
    width = keys.count(expand) * keys.count("hidden_size")
    state = RecurrentState(width, keys.count(kernel), width * keys.count(size))
    return LayerGroup(Kind.MAMBA, 1, 0, 0, state=state)


def _mamba2(shape: tuple[int, int, int], groups: int, kernel: int, width: int, recurrent_bytes: int) -> LayerGroup:
    heads, head_width, size = shape
    state = RecurrentState(
        width + 2 * groups * size, kernel, heads * head_width * size, recurrent_bytes=recurrent_bytes
    )
    return LayerGroup(Kind.MAMBA, 1, 0, 0, state=state)


def _own_recurrence(keys: Keys, name: str | None) -> bool:
    """Return whether the config says the type of the recurrence; then ``--mamba-cache-dtype`` does not."""
    return name is not None and keys.get(name) not in {None, "auto"}


def _recurrent_bytes(keys: Keys, name: str | None) -> int:
    written = keys.get(name) if name is not None else None
    if written is None:
        return 2
    if not isinstance(written, str) or written not in _BYTES:
        raise wrong(str(name), f"one of {', '.join(_BYTES)}", written)
    return _BYTES[written]
