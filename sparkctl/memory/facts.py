"""Model facts: the geometry and the sizes of a model, known before it is downloaded (recipes/models/NAME.yaml)."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from sparkctl.base.declarations import Declaration, Size
from sparkctl.memory.weights.tensors import Tensor  # noqa: TC001  (pydantic reads it at run time)

_TOWERS: Final = {"vision_config": ["image", "video"], "audio_config": ["audio"]}
"""The input of each tower in a config.json; video goes through the image tower."""


class LoadedSize(Declaration):
    """What "Model loading took" says for one checkpoint. vLLM logs GiB, whatever a source calls it."""

    repo: str = Field(description="the checkpoint's repository")
    quantization: str | None = Field(None, description="the --quantization it was loaded with, if any")
    size: Size = Field(description="bytes, or a text such as 9.8 GiB")
    source: str = Field(description="who logged it, and where")
    estimated: bool = Field(default=False, description="derived, not read from a log")


class Checkpoint(Declaration):
    """What the safetensors of a repository take on disk, and how they are quantized."""

    repo: str = Field(description="the repository")
    size: Size | None = Field(None, description="of its safetensors on disk")
    source: str = Field(description="where that is said")
    quantization_config: dict[str, Any] | None = Field(
        None, description="what is quantized and how, in the keys of config.json"
    )


class Multimodal(Declaration):
    """What the model takes in beside text."""

    inputs: list[str] = Field(min_length=1, description="image, video, audio")
    max_item_tokens: int | None = Field(
        None, ge=1, description="the largest item, where one has to fit into max-num-batched-tokens as a whole"
    )
    source: str


class Parameters(Declaration):
    """How many parameters the model has; two bytes each is the most that its weights take."""

    count: int = Field(ge=1)
    source: str


class ModelFacts(Declaration):
    """What is known of a model. ``config`` has the keys of its config.json; what is unknown stays absent."""

    description: str = Field("", description="a line for a reader")
    config: dict[str, Any] = Field(default_factory=dict, description="geometry, in the keys of config.json")
    config_source: str = Field("", description="where the numbers of config come from")
    parameters: Parameters | None = Field(None, description="how many there are, where nothing else is known")
    loaded: list[LoadedSize] = Field(default_factory=list, description='what "Model loading took" said of a checkpoint')
    checkpoints: list[Checkpoint] = Field(default_factory=list, description="the repositories that these facts are of")
    multimodal: Multimodal | None = Field(None, description="what it takes in beside text")
    shares_cache: bool = Field(default=False, description="a draft model that reads its target's KV cache")
    tensors: tuple[Tensor, ...] = Field((), description="of a checkpoint that was looked at, instead of the above")
    tensors_source: str = Field("", description="where these come from")

    @property
    def inputs(self) -> list[str]:
        """What the model takes in beside text: what is declared, else what a config.json shows by its towers."""
        if self.multimodal:
            return self.multimodal.inputs
        return [name for tower, names in _TOWERS.items() if self.config.get(tower) for name in names]
