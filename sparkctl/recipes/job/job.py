"""A job: what is run once in an image and makes a model. The declaration is the check, the defaults and the schema.

Loading (``extends``, ``--set``, places of errors) is ``sparkctl.recipes.job.reading``'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sparkctl.base.declarations import (
    Declaration,
    Duration,
    Finding,
    HostPath,
    OrText,
    Size,
    complain,
    is_name,
    wrong,
)
from sparkctl.recipes import values

_REQUIREMENT: Final = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._, -]+\])?==[0-9][A-Za-z0-9.!+_-]*"
)
NO_DEPENDENCIES: Final = "--no-deps"
"""The one option that a pip step may begin with."""
ProductCheck = Literal["whole", "declared", "layers", "kept", "tensors", "config", "bytes", "loads", "answers"]
"""What is asked of a product: by its headers alone, but for ``loads`` and ``answers``, for which it is served."""
BY_HEADERS: Final = ("whole", "declared", "layers", "kept", "tensors", "config", "bytes")


def _requirement(text: str) -> str:
    if text != NO_DEPENDENCIES and not _REQUIREMENT.fullmatch(text):
        hint = "an exact version makes the image the same again: llmcompressor==0.14.0.1"
        raise wrong(f"expected NAME==VERSION, found {text!r}", hint)
    return text


def _step(words: tuple[str, ...]) -> tuple[str, ...]:
    found = [
        Finding((at,), f"{NO_DEPENDENCIES} is for a whole step", "write it first")
        for at, word in enumerate(words)
        if at and word == NO_DEPENDENCIES
    ]
    if words == (NO_DEPENDENCIES,):
        found.append(Finding((), "expected packages, found none"))
    complain(found)
    return words


PipStep = Annotated[
    tuple[Annotated[str, AfterValidator(_requirement)], ...], Field(strict=False, min_length=1), AfterValidator(_step)
]


class JobImage(Declaration):
    """The image that a job runs in: one that is there, or one that is built once of a base and pip steps."""

    base: Annotated[str, AfterValidator(values.image)] = Field(
        description="the image; with steps the one that it is built on, which has Python and pip"
    )
    steps: Annotated[tuple[PipStep, ...], Field(strict=False)] = Field(
        (), description="packages to install, NAME==VERSION, a list for each run of pip; --no-deps may stand first"
    )
    constraints: str | None = Field(
        None, min_length=1, description="a file of NAME==VERSION lines that holds for all steps: of jobs/, or a path"
    )

    @model_validator(mode="after")
    def _constraints_of_steps(self) -> JobImage:
        if self.constraints is not None and not self.steps:
            message = "constraints without steps: nothing is installed"
            complain([Finding(("constraints",), message, "remove it, or write the steps")])
        return self

    @property
    def built(self) -> bool:
        """Whether the image is one that sparkctl builds."""
        return bool(self.steps)


class JobInput(Declaration):
    """The model that a job reads, by its repository or its folder; it is mounted read-only."""

    repo: Annotated[str, AfterValidator(values.repository)] | None = Field(
        None, description="the repository on the Hugging Face hub, owner/name"
    )
    revision: str | None = Field(None, min_length=1, description="the commit or branch of the repository")
    path: HostPath | None = Field(None, description="a folder of this host, used when it is there")
    facts: Annotated[str, AfterValidator(is_name)] | None = Field(
        None, description="model facts to plan with before a download (recipes/models)"
    )

    @model_validator(mode="after")
    def _one_at_least(self) -> JobInput:
        if self.repo is None and self.path is None:
            complain([Finding((), "expected repo or path, found neither", "name the model that the job reads")])
        return self


class JobMemory(Declaration):
    """What a job takes in place of ``auto``: a peak, or factors of its input."""

    peak: Size | None = Field(None, gt=0, description="the most that it takes")
    base: Size = Field(0, description="what it takes whatever the input is: the tool's own code")
    input: float | None = Field(None, gt=0, le=100, description="times the bytes of the input's weights")
    shard: float | None = Field(None, gt=0, le=100, description="times the bytes of the input's largest shard")
    source: str = Field(min_length=1, description="who measured it, and how")

    @model_validator(mode="after")
    def _something(self) -> JobMemory:
        factors = self.input is not None or self.shard is not None
        if (self.peak is not None) == factors:
            found = "both" if factors else "neither"
            complain([Finding((), f"expected either peak, or input or shard, found {found}")])
        return self


class LighterWay(Declaration):
    """Another way to the same product that takes less memory."""

    words: str = Field(min_length=1, description="what it does otherwise: model-free, one shard at a time")
    set: Mapping[str, Any] = Field(min_length=1, description="overrides by path, as --set has them")


class Job(Declaration, title="sparkctl job"):
    """One run of a script on a model, and what has to come of it."""

    description: str = Field("", description="a line for `sparkctl job list`")
    extends: str | None = Field(
        None, min_length=1, description="another job, by name or by file; maps merge, null removes a key"
    )
    image: Annotated[JobImage, OrText("base")] = Field(description="the image that it runs in; a text is one as it is")
    script: str = Field(min_length=1, description="a script of jobs/ by its name, or a Python file by its path")
    with_: Mapping[str, Any] = Field(
        default_factory=dict, alias="with", description="the script's parameters, checked by its own schema"
    )
    input: Annotated[JobInput, OrText("repo")] = Field(
        description="the model that it reads; a text is its repo, or its folder"
    )
    output: HostPath = Field(description="the folder that it makes; it must not be there before")
    gpus: Annotated[
        str,
        BeforeValidator(values.gpu_words, json_schema_input_type=str | int | list[int | str]),
        AfterValidator(values.gpus),
    ] = Field("all", description="all, none, cdi:NAME, or indices or UUIDs: 0, [0, 1]")
    memory: Literal["auto"] | JobMemory = Field("auto", description="auto: as the script says of its ways")
    disk: Literal["auto"] | Size = Field("auto", description="room for the product; auto: its size as it is computed")
    timeout: Duration = Field(3600.0, description="how long it may take")
    checks: Annotated[tuple[ProductCheck, ...], Field(strict=False)] = Field(
        BY_HEADERS, description="what is asked of the product before it has its name"
    )
    serves: Annotated[str, AfterValidator(is_name)] | None = Field(
        None, description="the recipe that serves the product; loads and answers need it"
    )
    lighter: LighterWay | None = Field(None, description="a way with less memory, which a refusal names")

    @model_validator(mode="after")
    def _served_checks(self) -> Job:
        served = [check for check in self.checks if check not in BY_HEADERS]
        if served and self.serves is None:
            complain([Finding(("checks",), f"{served[0]} needs serves: the recipe that loads the product")])
        return self

    @property
    def ignored(self) -> tuple[str, ...] | None:
        """What is not to be quantized, as the parameter ``ignore`` says it; None where there is no such list."""
        ignore = self.with_.get("ignore")
        return tuple(map(str, ignore)) if isinstance(ignore, list) else None
