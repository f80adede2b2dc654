"""The script of a job: a Python file, and beside it what it declares of itself: its parameters and its memory."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from pathlib import Path  # noqa: TC003  (a field's type)
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field

from sparkctl.base.declarations import Declaration, Size

LIBRARY: Final = "sparkctl_job"
"""The module that scripts have in common; one that names it finds it beside itself."""


class OnCardRule(Declaration):
    """What of it is on a GPU with its own memory at most: base + input x bytes + shard x largest shard."""

    base: Size = Field(0, description="what it takes whatever the input is: CUDA's context")
    input: float = Field(0.0, ge=0, le=100, description="times the bytes of the input's weights")
    shard: float = Field(0.0, ge=0, le=100, description="times the bytes of the input's largest shard")


class MemoryRule(Declaration):
    """What a script takes where its parameters are as in ``when``: base + input x bytes + shard x largest shard.

    With GPUs that is what its processes and the GPU hold together.
    """

    when: Mapping[str, Any] = Field(default_factory=dict, description="parameters that have to have these values")
    experts: bool | None = Field(None, description="for models with experts (true), without (false), or any")
    gpus: bool | None = Field(None, description="measured with a GPU (true), without (false), or holding for both")
    base: Size = Field(0, description="what it takes whatever the input is")
    input: float = Field(0.0, ge=0, le=100, description="times the bytes of the input's weights")
    shard: float = Field(0.0, ge=0, le=100, description="times the bytes of the input's largest shard")
    times: str | None = Field(
        None, min_length=1, description="a parameter that multiplies `shard`: how many files are worked on at a time"
    )
    card: OnCardRule | None = Field(
        None, description="what of it is on a GPU with its own memory; left out: not known, and all but base is counted"
    )
    source: str = Field(min_length=1, description="how it was measured")


class JobScript(Declaration, title="sparkctl job script"):
    """What a script says of itself, in a YAML file of its name beside it."""

    description: str = Field("", description="what it does, in a line")
    parameters: Mapping[str, Any] = Field(default_factory=dict, description="a JSON Schema of `with`")
    memory: Annotated[tuple[MemoryRule, ...], Field(strict=False)] = Field(
        (), description="what it takes; the first rule that fits counts"
    )


class ScriptLibrary(NamedTuple):
    """The library for scripts (jobs/sparkctl_job.py): its file, and the md5 of its bytes."""

    path: Path
    md5: str


class ScriptFile(NamedTuple):
    """A script: its file, the md5 of its bytes, and what it declares (None: no file beside it).

    ``library`` is what lies beside it in the container; None: the script does not name it.
    """

    name: str
    path: Path
    md5: str
    declared: JobScript | None
    library: ScriptLibrary | None = None

    @property
    def md5s(self) -> tuple[str, ...]:
        """The md5s of all that runs: what decides a product as much as its parameters do."""
        return (self.md5,) if self.library is None else (self.md5, self.library.md5)
