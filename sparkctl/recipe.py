"""A recipe: one model served one way. The declaration is the check, the defaults and the JSON Schema.

Loading (``extends``, ``--set``, places of errors) is ``sparkctl.catalog``'s.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sparkctl import units
from sparkctl.errors import InputError


def _size(value: object) -> object:
    if isinstance(value, str):
        try:
            return units.parse_bytes(value)
        except InputError as error:
            raise ValueError(error.message) from None
    return value


def _duration(value: object) -> object:
    if isinstance(value, str):
        try:
            return units.parse_duration(value)
        except InputError as error:
            raise ValueError(error.message) from None
    return value


def kebab(name: str) -> str:
    """Return the spelling of a field in YAML: ``shm_size`` is ``shm-size``."""
    return name.replace("_", "-")


Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str), Field(ge=0)]
"""Bytes; in YAML a number or a text such as ``8 GiB``."""
Duration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=float | str), Field(gt=0)]
"""Seconds; in YAML a number or a text such as ``20m``."""
Scalar = str | int | float | bool
FlagValue = Scalar | list[Scalar] | dict[str, Any] | None
"""A flag's value: true is the bare flag, false its ``--no-`` form, null leaves it out, a map is JSON."""


class Part(BaseModel):
    """What every part of a recipe shares: frozen, strict about keys and types, kebab-case in YAML."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=kebab, validate_by_name=True, validate_by_alias=True
    )


class Model(Part):
    """Which model, and where it is."""

    repo: str = Field(description="the repository on the Hugging Face hub, owner/name")
    revision: str | None = Field(None, description="the commit or branch of the repository")
    path: str | None = Field(None, description="a folder of this host, used when it is there; mounted read-only")
    facts: str | None = Field(None, description="model facts to plan with before a download (recipes/models)")
    mount: str | None = Field(None, description="where the folder is in the container; /models/NAME unless said")


class Serve(Part):
    """Under which name and where the model is served."""

    name: str = Field(min_length=1, description="the served model name")
    port: int = Field(ge=1, le=65535, description="the port on this host")
    bind: str = Field("127.0.0.1", description="the address on this host; 0.0.0.0 opens it to the network")
    container_port: int = Field(8000, ge=1, le=65535, description="the port in the container, unless network is host")


class Limits(Part):
    """What the operator wants to serve; KV bytes and the memory fraction follow from it."""

    context: int = Field(ge=1, description="max-model-len, in tokens")
    sequences: int = Field(4, ge=1, description="max-num-seqs")
    batched_tokens: int = Field(2048, ge=1, description="max-num-batched-tokens")
    multimodal: dict[str, int] | None = Field(None, description="limit-mm-per-prompt: items per prompt by modality")


class Container(Part):
    """How the container is set up."""

    ipc: str | None = Field(None, description="--ipc")
    shm_size: Size | None = Field(None, description="--shm-size")
    network: str | None = Field(None, description="--network; host serves on the host's own port")
    ulimits: dict[str, int | str] = Field(default_factory=dict, description="--ulimit NAME=SOFT[:HARD]")
    restart: Literal["no", "on-failure", "always", "unless-stopped"] = Field("no", description="--restart")
    user: str | None = Field(None, description="--user")


class Speculative(Part):
    """Speculative decoding; keys that are not named here go into --speculative-config as they are."""

    model_config = ConfigDict(extra="allow")

    method: str | None = Field(None, description="mtp, ngram, eagle3 …")
    model: str | None = Field(None, description="the draft model's repository")
    path: str | None = Field(None, description="the draft's folder on this host, used when it is there")
    facts: str | None = Field(None, description="model facts of the draft")
    num_speculative_tokens: int = Field(ge=1, alias="num_speculative_tokens", description="drafted tokens per step")


class Backend(Part):
    """Kernel backends, rendered as the flag or the variable that the recipe's vLLM knows."""

    moe: str | None = Field(None, description="the experts' backend")
    linear: str | None = Field(None, description="the NVFP4 linear layers' backend")
    attention: str | None = Field(None, description="the attention backend")


class Memory(Part):
    """An explicit memory setting in place of ``auto``: one of the two."""

    utilization: float | None = Field(None, gt=0, le=1, description="gpu-memory-utilization alone; vLLM sizes the KV")
    kv: Size | None = Field(None, description="kv-cache-memory-bytes")


class Ready(Part):
    """When the service counts as ready."""

    timeout: Duration = Field(1200.0, description="how long a start may take; extended while the log still moves")
    probe: bool = Field(default=True, description="generate a few tokens before saying ready")
    acceptance: dict[str, float] = Field(default_factory=dict, description="speculative decoding's floor")


class Expect(Part):
    """What the recipe's source measured."""

    tokens_per_second: float | None = Field(None, alias="tokens_per_second")
    loaded: Size | None = None
    source: str


class Recipe(Part):
    """One model served one way."""

    model_config = ConfigDict(title="sparkctl recipe")

    description: str = ""
    extends: str | None = Field(None, description="another recipe; maps merge, null removes a key")
    template: str = Field(description="the template that expands the recipe")
    image: str = Field(description="the container image")
    vllm: str = Field(description="the vLLM version in the image")
    model: Model
    cache: str | None = Field("~/.cache/huggingface", description="mounted when the model comes by its repository")
    gpus: str = Field("all", description="all | cdi:NAME | none")
    secrets: list[str] = Field(default_factory=list, description="names; values come from the environment or a file")
    serve: Serve
    limits: Limits
    container: Container = Field(default_factory=Container)
    args: dict[str, FlagValue] = Field(default_factory=dict, description="any vllm serve flag by its name")
    env: dict[str, Scalar] = Field(default_factory=dict)
    mods: list[str] = Field(default_factory=list)
    speculative: Speculative | None = None
    backend: Backend = Field(default_factory=Backend)
    memory: Literal["auto"] | Memory = "auto"
    ready: Ready = Field(default_factory=Ready)
    expect: Expect | None = None
    checks: list[str] = Field(default_factory=list)
