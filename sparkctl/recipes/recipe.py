"""A recipe: one model served one way. The declaration is the check, the defaults and the JSON Schema.

Loading (``extends``, ``--set``, places of errors) is ``sparkctl.recipes.catalog``'s.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sparkctl.base.declarations import (
    Declaration,
    Duration,
    FieldError,
    Finding,
    FlagValue,
    Follows,
    HostPath,
    Names,
    OrText,
    Scalar,
    Size,
    Unshown,
    complain,
    is_name,
)
from sparkctl.recipes import values
from sparkctl.vllm import kinds
from sparkctl.vllm.command import written
from sparkctl.vllm.flags import LINEAR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Backend",
    "ContainerOptions",
    "Declaration",
    "Duration",
    "ExpectedFigures",
    "FieldError",
    "FlagValue",
    "Limits",
    "Memory",
    "Model",
    "Ready",
    "Recipe",
    "Scalar",
    "Serve",
    "Size",
    "Speculative",
    "Tls",
]

_API_KEY: Final = "VLLM_API_KEY"
Name = Annotated[str, AfterValidator(is_name)]
ServedName = Annotated[str, Field(min_length=1), BeforeValidator(values.served_name, json_schema_input_type=str)]


class Model(Declaration):
    """Which model, and where it is."""

    repo: Annotated[str, AfterValidator(values.repository)] = Field(
        description="the repository on the Hugging Face hub, owner/name"
    )
    revision: str | None = Field(None, min_length=1, description="the commit or branch of the repository")
    path: HostPath | None = Field(None, description="a folder of this host, used when it is there; mounted read-only")
    facts: Name | None = Field(None, description="model facts to plan with before a download (recipes/models)")
    mount: Annotated[str, AfterValidator(values.container_path)] | None = Field(
        None, description="where the folder is in the container; /models/NAME unless said"
    )
    chat: bool = Field(default=True, description="false for a base model: its checks are completions")


class Tls(Declaration):
    """What the server needs to speak https by itself: two files of this host, mounted read-only."""

    certificate: HostPath = Field(description="the certificate in PEM, with those that signed it: --ssl-certfile")
    key: HostPath = Field(description="its private key in PEM: --ssl-keyfile")


class Serve(Declaration):
    """Under which names and where the model is served."""

    name: Annotated[ServedName, Follows("the recipe's name")] = Field(description="the served model name")
    aliases: Annotated[tuple[ServedName, ...], Field(strict=False)] = Field(
        (), description="other names that mean the same model, for clients that ask by them"
    )
    port: Annotated[int, Follows("from the name, 8100 to 8899")] = Field(
        ge=1, le=65535, description="the port on this host"
    )
    bind: Annotated[str, AfterValidator(values.address)] = Field(
        "127.0.0.1", description="the address on this host; 0.0.0.0 opens it to the network"
    )
    container_port: int = Field(8000, ge=1, le=65535, description="the port in the container, unless network is host")
    tls: Tls | None = Field(None, description="https by the server itself; without it, http")
    own_key: bool = Field(
        default=False,
        description="true: where VLLM_API_KEY has no value, sparkctl makes a key for this service that nobody else "
        "knows; each service of a stack with a gateway has it",
    )

    @model_validator(mode="after")
    def _each_once(self) -> Serve:
        names = (self.name, *self.aliases)
        found = [
            Finding(("aliases", index), f"{name!r} is served already", "remove it")
            for index, name in enumerate(self.aliases)
            if name in names[: index + 1]
        ]
        complain(found)
        return self

    @property
    def place(self) -> str:
        """Where it listens on this host, to be shown: the address as docker writes it, and the port."""
        return f"[{self.bind}]:{self.port}" if ":" in self.bind else f"{self.bind}:{self.port}"

    def clashes(self, other: Serve) -> bool:
        """Return whether both cannot listen on one host."""
        return self.port == other.port and values.same_address(self.bind, other.bind)


class Limits(Declaration):
    """What the operator wants to serve; KV bytes and the memory fraction follow from it."""

    context: Annotated[int, Follows("the model's, bounded by what fits alone")] = Field(
        0, ge=1, description="max-model-len, in tokens"
    )
    sequences: int = Field(4, ge=1, description="max-num-seqs")
    batched_tokens: int = Field(2048, ge=1, description="max-num-batched-tokens")
    multimodal: (
        Mapping[str, Annotated[int, Field(ge=0)] | Annotated[Mapping[str, int], AfterValidator(values.items)]] | None
    ) = Field(
        None,
        description="limit-mm-per-prompt: items per prompt by modality, or with their largest size: "
        "video: {count: 1, num_frames: 16}",
    )

    @model_validator(mode="after")
    def _enough_tokens(self) -> Limits:
        if self.batched_tokens < self.sequences:
            message = f"expected at least the {self.sequences} of limits.sequences, found {self.batched_tokens}"
            hint = "vLLM schedules at least one token of each sequence in a step"
            complain([Finding(("batched-tokens",), message, hint)])
        return self


class ContainerOptions(Declaration):
    """How the container is set up."""

    ipc: str | None = Field(None, min_length=1, description="--ipc")
    shm_size: Size | None = Field(None, description="--shm-size")
    network: str | None = Field(None, min_length=1, description="--network; host serves on the host's own port")
    ulimits: Mapping[str, Annotated[int | str, AfterValidator(values.ulimit)]] = Field(
        default_factory=dict, description="--ulimit NAME=SOFT[:HARD]"
    )
    restart: Literal["no", "on-failure", "always", "unless-stopped"] = Field("no", description="--restart")
    oom_score_adj: int | None = Field(
        None,
        ge=-1000,
        le=1000,
        description="--oom-score-adj: out of memory, the kernel kills the highest score first; in a stack it follows "
        "from the priorities, from 500 to 1000",
    )
    user: str | None = Field(None, min_length=1, description="--user")
    mounts: tuple[Annotated[str, AfterValidator(values.host_mount)], ...] = Field(
        (), strict=False, description="HOST:CONTAINER[:rw]: files or folders of this host; read-only unless rw"
    )
    caches: bool | HostPath = Field(
        default=True, description="where what the server compiles is kept, by image: false is in the container alone"
    )
    entrypoint: str | None = Field(None, description="--entrypoint; '' is none, and the command follows the image")
    devices: tuple[Annotated[str, AfterValidator(values.device)], ...] = Field(
        (), strict=False, description="--device: HOST[:CONTAINER][:PERMISSIONS]"
    )
    init: bool | None = Field(None, description="--init: a first process that reaps others")
    runtime: str | None = Field(None, min_length=1, description="--runtime")
    capabilities: tuple[Annotated[str, AfterValidator(values.capability)], ...] = Field(
        (), strict=False, description="--cap-add"
    )
    privileged: bool = Field(default=False, description="--privileged: root of the host, for whoever gets in")


class Speculative(Declaration, extra="allow"):
    """Speculative decoding; keys that are not named here go into --speculative-config as they are."""

    method: str | None = Field(None, min_length=1, description="mtp, ngram, eagle3 …")
    model: Annotated[str, AfterValidator(values.repository)] | None = Field(
        None, description="the draft model's repository; none for ngram, optional for mtp"
    )
    path: HostPath | None = Field(None, description="the draft's folder on this host, used when it is there")
    facts: Name | None = Field(None, description="model facts of the draft")
    num_speculative_tokens: int = Field(ge=1, alias="num_speculative_tokens", description="drafted tokens per step")

    @model_validator(mode="after")
    def _drafter(self) -> Speculative:
        complain(values.speculative(self.method, self.model, self.path or self.facts, self.model_extra or {}))
        return self


class Backend(Declaration):
    """Kernel backends, rendered as the flag or the variable that the recipe's vLLM knows."""

    moe: str | None = Field(None, min_length=1, description="the experts' backend: --moe-backend")
    linear: str | None = Field(
        None, min_length=1, description="the linear layers' backend: --linear-backend or VLLM_NVFP4_GEMM_BACKEND"
    )
    attention: str | None = Field(None, min_length=1, description="the attention backend: --attention-backend")


class Memory(Declaration):
    """An explicit memory setting in place of ``auto``: one of the two."""

    utilization: float | None = Field(None, gt=0, le=1, description="gpu-memory-utilization alone; vLLM sizes the KV")
    kv: Size | None = Field(None, gt=0, description="kv-cache-memory-bytes")

    @model_validator(mode="after")
    def _one_of_two(self) -> Memory:
        if (self.utilization is None) == (self.kv is None):
            found = "neither" if self.kv is None else "both"
            complain([Finding((), f"expected either utilization or kv, found {found}")])
        return self


class Ready(Declaration):
    """When the service counts as ready."""

    timeout: Duration = Field(1200.0, description="how long a start may take; extended while the log still moves")
    probe: bool = Field(default=True, description="generate a few tokens before saying ready")
    warm: float = Field(
        0.0,
        ge=0,
        le=1,
        description="a share of the context: so long a prompt is answered before ready, and what it takes is measured; "
        "0: none",
    )
    acceptance: Mapping[Annotated[str, AfterValidator(values.acceptance)], Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="what drafts have to reach for ready: shares for position-0, position-1 … or overall",
    )


class ExpectedFigures(Declaration):
    """What the recipe's source measured."""

    tokens_per_second: float | None = Field(None, gt=0, alias="tokens_per_second", description="one request at a time")
    loaded: Size | None = Field(None, description="what vLLM reports after loading the weights")
    acceptance: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(strict=False)] = Field(
        (), description="which share of its drafts was accepted, by position, the first first"
    )
    source: str = Field(min_length=1, description="who measured it, and how")


class KeptScore(Declaration):
    """What the service has to keep of another one's score: `sparkctl check NAME --suite SUITE` compares them."""

    suite: str = Field(min_length=1, description="the suite, by its name, or by a file from the recipe's folder")
    reference: Annotated[str, AfterValidator(is_name)] = Field(description="the service that is compared with")


class Recipe(Declaration, title="sparkctl recipe"):
    """One model served one way."""

    description: str = Field("", description="a line for `sparkctl recipes`")
    extends: str | None = Field(
        None, min_length=1, description="another recipe, by name or by file; maps merge, null removes a key"
    )
    template: Annotated[Name, Follows("from the image")] = Field(description="the template that expands the recipe")
    image: Annotated[str, AfterValidator(values.image)] = Field(description="the container image")
    vllm: Annotated[str, AfterValidator(values.version), Follows("the image's tag")] = Field(
        description='the vLLM in the image, in quotes; "0.19" is its newest known patch release, "0.27+b12x" a fork of '
        "0.27, auto what the image says"
    )
    model: Annotated[Model, OrText("repo")] = Field(description="which model, and where it is; a text is its repo")
    cache: HostPath | None = Field("~/.cache/huggingface", description="mounted when the model comes by its repository")
    gpus: Annotated[
        str,
        BeforeValidator(values.gpu_words, json_schema_input_type=str | int | list[int | str]),
        AfterValidator(values.gpus),
    ] = Field("all", description="all, none, cdi:NAME, or indices or UUIDs: 0, [0, 1]")
    nodes: int = Field(
        1,
        ge=1,
        le=values.MOST_NODES,
        description="hosts that share the model, with tensor-parallel-size or pipeline-parallel-size of as many; "
        "sizes are those of one rank, and `up --hosts` starts them",
    )
    secrets: Annotated[tuple[Annotated[str, AfterValidator(values.secret)], ...], Field(strict=False), Unshown()] = (
        Field((), description="names; values come from the environment or a file")
    )
    serve: Annotated[Serve, Follows()] = Field(description="under which name and where it is served")
    limits: Limits = Field(default_factory=Limits, description="what the operator wants to serve")
    container: ContainerOptions = Field(default_factory=ContainerOptions, description="how the container is set up")
    args: Mapping[Annotated[str, AfterValidator(values.argument)], FlagValue] = Field(
        default_factory=dict,
        description="any vllm serve flag by its name, without dashes: true is the bare flag, false its --no- form",
    )
    env: Mapping[Annotated[str, AfterValidator(values.variable)], Scalar] = Field(
        default_factory=dict, description="environment variables of the server"
    )
    mods: Names = Field((), description="names of mods: files laid over files of the image")
    speculative: Speculative | None = Field(None, description="speculative decoding")
    backend: Backend = Field(default_factory=Backend, description="kernel backends")
    memory: Literal["auto"] | Memory = Field("auto", description="auto, or an explicit setting")
    ready: Ready = Field(default_factory=Ready, description="when the service counts as ready")
    expect: ExpectedFigures | None = Field(None, description="what the recipe's source measured")
    checks: Names = Field((), description="checks that the answers must pass before the service is ready")
    retention: KeptScore | None = Field(
        None, description="what `check --suite` compares it with: a suite, and the service that is its reference"
    )

    @property
    def encrypted(self) -> bool:
        """Whether the server speaks https: by ``serve.tls``, or by a certificate that its flags name."""
        return self.serve.tls is not None or self.args.get("ssl-certfile") is not None

    @property
    def backends(self) -> dict[str, str]:
        """The kernel backends that are chosen, by what they are for: moe, linear, attention."""
        return {name: backend for name, backend in self.backend if backend is not None}

    @model_validator(mode="after")
    def _agreement(self) -> Recipe:
        found: list[Finding] = []
        if self.ready.acceptance and self.speculative is None:
            hint = "remove it, or declare speculative"
            found.append(Finding(("ready", "acceptance"), "an acceptance without speculative decoding", hint))
        if self.backend.linear is not None and LINEAR_VARIABLE in self.env:
            message = f"backend.linear already says what {LINEAR_VARIABLE} would"
            found.append(Finding(("env", LINEAR_VARIABLE), message, "remove one of the two"))
        found += [
            finding._replace(path=("args", *finding.path))
            for finding in kinds.beyond_one_host(self.args, self.nodes * values.gpu_count(self.gpus))
        ]
        found += kinds.over_hosts(self.args, self.nodes)
        if self.serve.tls is not None:
            found += [
                Finding(("args", flag), f"serve.tls already says what --{flag} would", "remove one of the two")
                for flag in ("ssl-certfile", "ssl-keyfile")
                if flag in self.args
            ]
        found += [
            Finding(("env", name), f"{name} is one of the secrets already", "remove it from env")
            for name in self.secrets
            if name in self.env
        ]
        found += [finding._replace(path=("args", *finding.path)) for finding in written.problems(self.args)]
        complain([*found, *self._kept_to_itself()])
        return self

    def _kept_to_itself(self) -> Iterator[Finding]:
        """Yield what contradicts a key that nobody else knows: no client could ask the server."""
        if not self.serve.own_key:
            return
        if _API_KEY not in self.secrets:
            yield Finding(("serve", "own-key"), "a key that the server never gets", f"add secrets: [{_API_KEY}]")
        if not ipaddress.ip_address(self.serve.bind).is_loopback:
            told = f"expected an address of the loopback, found {self.serve.bind}"
            message = f"{told}: its key (serve.own-key) is sparkctl's alone, and clients ask the gateway"
            hint = "remove bind; or write set: {serve.own-key: false}, and give VLLM_API_KEY a value of yours"
            yield Finding(("serve", "bind"), message, hint)

    def exposure(self) -> list[Finding]:
        """Return what is doubtful where it answers whoever reaches this host, and asks for no key."""
        bind = self.serve.bind
        if ipaddress.ip_address(bind).is_loopback or _API_KEY in self.secrets:
            return []
        where = f"it answers everybody who reaches this host at {bind}, as there is no key"
        return [Finding(("serve", "bind"), where, f"secrets: [{_API_KEY}], and give it a value in secrets.env")]

    def of_several(self) -> list[Finding]:
        """Return what an operator has to know of sizes that are those of one host of several."""
        if self.nodes == 1:
            return []
        message = (
            f"{self.nodes} hosts share the model: its sizes are those of the head, and each other one needs as much"
        )
        return [Finding(("nodes",), message, "sparkctl up NAME --hosts HEAD,HOST starts it")]
