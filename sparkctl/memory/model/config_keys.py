"""The numbers of a config.json, read with care: missing ones, impossible ones, and ones with another name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NUMBER: Final = 2**31
"""The limit of every count or width in a config.json: 10^12 is a mistake, not a model."""
MAX_LAYERS: Final = 10_000

# Other names of the same thing: GPT-2, Falcon, ChatGLM, MPT (vLLM 0.33.0 transformers_utils/
# model_arch_config_convertor.py and the attribute maps of transformers' configuration classes).
_OTHER_NAMES: Final = {
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers", "num_transformer_layers"),
    "hidden_size": ("n_embd", "d_model", "model_dim"),
    "num_attention_heads": ("n_head", "n_heads", "num_query_heads"),
    "num_key_value_heads": ("n_head_kv", "num_kv_heads", "multi_query_group_num", "num_attention_groups"),
    "head_dim": ("kv_channels", "hidden_size_per_head", "attention_head_dim"),
    "vocab_size": ("padded_vocab_size",),
    "intermediate_size": ("n_inner", "ffn_hidden_size"),
}
_SHOWN: Final = 120
"""Characters of a value that a message shows."""
_HINT: Final = "compare it with the model's own config.json"


def wrong(name: str, expected: str, found: object, *, said: str = "") -> InputError:
    """Return the error for a key of config.json that is not as it has to be; ``said`` is ``found`` in words."""
    text = said or ("nothing" if found is None else repr(found)[:_SHOWN])
    return InputError(f"config: {name}: expected {expected}, found {text}", hint=_HINT)


class Keys:
    """The keys of one config. A key that is null counts as absent, and then has no default either."""

    def __init__(self, written: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
        values = {str(key): value for key, value in written.items()}
        for name, others in _OTHER_NAMES.items():
            if name not in values:
                other = next((other for other in others if values.get(other) is not None), None)
                if other is not None:
                    values[name] = values[other]
        merged = {**(defaults or {}), **values}
        self.values = {key: value for key, value in merged.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Any:  # noqa: ANN401  (JSON)
        """Return a value as it is written, or None."""
        return self.values.get(name)

    def count(self, name: str, *, least: int = 1, most: int = MAX_NUMBER) -> int:
        """Return a number that has to be there."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(name, f"a whole number from {least} to {most}", value)
        return value

    def first(self, *names: str) -> int:
        """Return the first of these numbers that is there, or 0."""
        return next((self.count(name, least=0) for name in names if name in self.values), 0)

    def largest(self, *names: str) -> int:
        """Return the first of these numbers that is there, or 0; if it is a list for each layer, its largest entry."""
        for name in names:
            value = self.values.get(name)
            if isinstance(value, list):
                return max((Keys({name: item}).count(name, least=0) for item in value), default=0)
            if value is not None:
                return self.count(name, least=0)
        return 0

    def at(self, name: str, index: int) -> int:
        """Return a number for one layer: either one value for all layers, or an entry in a list."""
        value = self.values.get(name)
        if not isinstance(value, list):
            return self.count(name)
        self.checked_list(name, self.layers)
        return Keys({name: value[index]}).count(name)

    def checked_list(self, name: str, length: int) -> list[Any] | None:
        """Return a list of ``length`` entries, or None where it is not written."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != length:
            said = f"{len(value)} entries" if isinstance(value, list) else ""
            raise wrong(name, f"one for each of the {length} layers", value, said=said)
        return value

    def without(self, *names: str) -> Keys:
        """Return these keys as if some were not there."""
        return Keys({key: value for key, value in self.values.items() if key not in names})

    @property
    def layers(self) -> int:
        """The number of layers."""
        return self.count("num_hidden_layers", most=MAX_LAYERS)

    @property
    def window(self) -> int | None:
        """The sliding window; 0 stands for none (vLLM 0.33.0 config/model.py)."""
        return self.first("sliding_window") or None

    def kv_heads(self, index: int = 0) -> int:
        """Return a layer's number of key-value heads; if it is not given, that of the query heads."""
        if "num_key_value_heads" not in self.values:
            return self.at("num_attention_heads", index)
        return self.at("num_key_value_heads", index)

    def head_dim(self, index: int = 0) -> int:
        """Return the width of a layer's heads."""
        if "head_dim" in self.values:
            return self.at("head_dim", index)
        # Rounded up: a width that the heads do not divide is an error of vLLM's to report, not a reason to count less.
        return -(-self.count("hidden_size") // self.at("num_attention_heads", index))
