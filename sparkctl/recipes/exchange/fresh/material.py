"""The contents of a model's own files from which a recipe can be derived."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.bounded import JsonBounds, UnreadableError, read_json
from sparkctl.base.units import MIB
from sparkctl.memory.weights.load_options import LoadOptions
from sparkctl.memory.weights.quantization import declared_config, scheme
from sparkctl.vllm import flags
from sparkctl.vllm.kinds import ServerKind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.footprint import Once
    from sparkctl.memory.weights.quantization import Scheme

TOKENIZER: Final = "tokenizer_config.json"
TEMPLATES: Final = ("chat_template.jinja", "chat_template.json")
TEXTS: Final = (*TEMPLATES, TOKENIZER)
"""The small files beside config.json that are read: the chat template may be in each of them."""
_BOUNDS: Final = JsonBounds(size=MIB, parts=200_000)
_OWN_DRAFT: Final = re.compile(r"(?:^|\.)mtp\.")
_LAYER: Final = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_ELSEWHERE: Final = re.compile(r"(mistral|ministral|mixtral|pixtral|voxtral|deepseek_v32|deepseek_v4)")
"""Model types whose chats are not formatted by a template of their own: mistral-common and vLLM itself do it (vLLM
0.33.0 tokenizers)."""
_DRAFTING: Final = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers", "num_mtp_modules")


class ModelMaterial(NamedTuple):
    """A model as its files describe it. ``where`` says where they are from, in words.

    ``repo`` is its repository; for a folder that does not name it, an invented one, and then ``repo_guessed``.
    ``folder`` is the folder of this host that it is served from, as the recipe writes it. ``texts`` are the existing
    files by name; ``None``: they could not be read.
    """

    repo: str
    facts: ModelFacts
    once: Once
    where: str
    folder: str | None = None
    revision: str | None = None
    repo_guessed: bool = False
    texts: Mapping[str, bytes] | None = None

    @property
    def config(self) -> Mapping[str, Any]:
        """Its config.json."""
        return self.facts.config

    @property
    def architecture(self) -> str:
        """The class that its config.json names first, "" where it names none."""
        names = self.config.get("architectures")
        return str(names[0]) if isinstance(names, list) and names else ""

    @property
    def model_type(self) -> str:
        """Its type by its config.json."""
        return str(self.config.get("model_type") or "")

    @property
    def kind(self) -> ServerKind:
        """What its server does."""
        return kind_of({}, self.config)

    @property
    def template(self) -> str | None:
        """Its chat template, "" if it has none, None if that could not be read, or it needs none."""
        if self.texts is None:
            return None
        plain = self.texts.get(TEMPLATES[0])
        if plain is not None:
            return plain.decode(errors="replace")
        written = (_template_in(self.texts.get(name)) for name in (TEMPLATES[1], TOKENIZER))
        return next(filter(None, written), None if _ELSEWHERE.match(self.model_type) else "")

    @property
    def quantized(self) -> Scheme | None:
        """How its linear layers are quantized, None if they are not, or the method is unknown."""
        return scheme(self.config, LoadOptions(vllm=flags.releases()[-1]))[0]

    @property
    def quantization(self) -> str | None:
        """What its quantization is called, None for none."""
        declared = declared_config(self.config)
        if declared is None:
            return None
        words = [declared.get("quant_method"), declared.get("quant_algo") or declared.get("format")]
        return " ".join(str(one) for one in words if one) or "without a name"

    @property
    def drafting_layers(self) -> int:
        """How many layers of its own draft, as its config.json says."""
        nested = self.config.get("text_config")
        parts = [self.config, *([nested] if isinstance(nested, dict) else [])]
        found = [part.get(key) for part in parts for key in _DRAFTING]
        return max((one for one in found if type(one) is int and one > 0), default=0)

    @property
    def has_drafting_weights(self) -> bool | None:
        """Whether the checkpoint has weights of its drafting layers, None where its headers were not read."""
        if not self.facts.tensors:
            return None
        return any(self._drafting_tensors())

    def _drafting_tensors(self) -> Iterator[bool]:
        for tensor in self.facts.tensors:
            layer = _LAYER.search(tensor.name)
            beyond = layer is not None and int(layer[1]) >= self.once.shape.layers and "vision" not in tensor.name
            yield beyond or _OWN_DRAFT.search(tensor.name) is not None


def _template_in(text: bytes | None) -> str:
    """Return the chat template in a JSON file, "" if there is none; if there are several, the default one."""
    if text is None:
        return ""
    try:
        value = read_json(text, _BOUNDS)
    except UnreadableError:
        return ""
    found = value.get("chat_template") if isinstance(value, dict) else None
    if isinstance(found, list):
        named = {str(one.get("name")): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default") or next(iter(named.values()), "")
    return found if isinstance(found, str) else ""
