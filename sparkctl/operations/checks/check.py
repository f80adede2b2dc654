"""A check: requests that a server is sent, and what its answers must be (checks/NAME.yaml).

The declaration is the check of the file, its defaults and its JSON Schema. ``checker`` asks for the answers, and
``judge`` judges them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator
from pydantic import AfterValidator, Field, model_validator

from sparkctl.base.declarations import Declaration, Duration, Finding, complain, kebab, wrong
from sparkctl.vllm.kinds import ServerKind

if TYPE_CHECKING:
    from collections.abc import Iterator

Share = Annotated[float, Field(ge=0, le=1)]
Modality = Literal["image", "audio"]


def _json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise wrong(f"expected a JSON Schema (draft 2020-12): {error.message}") from None
    return schema


Schema = Annotated[dict[str, Any], AfterValidator(_json_schema)]
Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]


class Shape(Declaration):
    """One shape of an image that is drawn in code."""

    kind: Literal["circle", "square", "triangle"] = Field(description="what it is")
    colour: Literal["red", "green", "blue", "black", "yellow"] = Field(description="on a white ground")


class Beeps(Declaration):
    """A recording of beeps that is made in code."""

    count: int = Field(ge=1, le=10, description="how many, of 0.25 s, with as much silence between them")
    hertz: int = Field(880, ge=100, le=4000, description="their pitch")


class Tool(Declaration):
    """A function that the model is offered, and the call of it that is expected."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$", description="the function's name")
    description: str = Field(min_length=1, description="what the model is told of it")
    parameters: Schema = Field(description="the JSON Schema of its arguments")
    arguments: dict[str, Any] = Field(description="the arguments to call it with; case is not compared")
    result: str = Field(min_length=1, description="what the call returns to the model, whose answer is then judged")


class Traditional(Declaration):
    """How much Chinese there must be, and how little of it Simplified."""

    characters: int = Field(20, ge=1, description="at least so many Chinese characters")
    simplified: Share = Field(0.0, description="at most this share of them in Simplified Chinese alone")


class Runs(Declaration):
    """What the answer's code computes, once it is run."""

    call: str = Field(min_length=1, description="an expression of the functions that it defines")
    near: float = Field(description="its value, within one percent")


class Ranked(Declaration):
    """Documents that a model ranks by how well each answers a query."""

    query: str = Field(min_length=1, description="what is looked for")
    documents: Texts = Field(min_length=2, max_length=64, description="what is ranked; the first has the number 0")


class Expect(Declaration):
    """What an answer must be: every assertion that is named has to hold."""

    tokens: int | None = Field(None, ge=1, description="at least so many tokens, as the server counts them")
    repeated: Share | None = Field(None, description="at most this share of repeated 4-grams, and no loop at the end")
    contains: Annotated[tuple[str | Texts, ...], Field(strict=False)] = Field(
        (), description="words that must be there, whole and in any case; of a list, one of them"
    )
    lacks: Texts = Field((), description="words that must not be there")
    numbers: Annotated[tuple[float, ...], Field(strict=False)] = Field((), description="numbers that must be there")
    counts_to: int | None = Field(None, ge=3, description="the numbers from 1 to this, each once and in order")
    traditional: Traditional | None = Field(None, description="Traditional Chinese")
    python: Texts = Field((), description="Python that parses, and defines these functions")
    runs: Runs | None = Field(None, description="what that code computes; only with --run-code, in a container")
    json_schema: Schema | None = Field(None, description="JSON that this schema accepts")

    nearer: bool | None = Field(
        None, description="true: the first two vectors are nearer to each other than to the third, each of one length"
    )
    best: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = Field(
        (), description="the numbers of the documents that must be ranked first, the best one first"
    )
    most_words: int | None = Field(None, ge=0, description="a transcript of at most so many words, which may be none")

    @model_validator(mode="after")
    def _something(self) -> Expect:
        if not self.model_fields_set:
            complain([Finding((), "expected at least one assertion: without one, a check cannot fail")])
        if self.runs is not None and not self.python:
            complain([Finding(("runs",), "expected python beside it: which functions the code has to define")])
        return self


class Request(Declaration):
    """One request and what its answer must be."""

    prompt: str = Field("", description="what a chat model is asked; required for it")
    embed: Texts | None = Field(None, min_length=3, max_length=64, description="texts for a model that embeds")
    rank: Ranked | None = Field(None, description="documents for a model that ranks")
    hear: Beeps | None = Field(None, description="a recording for a model that transcribes")
    completion: str | None = Field(
        None, min_length=1, description="what a base model is given to continue; without it, base models skip the check"
    )
    image: Annotated[tuple[Shape, ...], Field(strict=False, min_length=1, max_length=4)] | None = Field(
        None, description="shapes drawn from left to right"
    )
    audio: Beeps | None = Field(None, description="a recording")
    tool: Tool | None = Field(None, description="a function to call; the answer is judged after its result was given")
    guided: bool = Field(default=False, description="decoding is held to expect.json-schema (response_format)")
    max_tokens: int = Field(256, ge=1, description="the longest answer")
    expect: Expect = Field(description="what the answer must be")

    @property
    def kind(self) -> ServerKind:
        """The kind of server that can be asked this."""
        others = {ServerKind.EMBED: self.embed, ServerKind.RANK: self.rank, ServerKind.TRANSCRIBE: self.hear}
        return next((kind for kind, asked in others.items() if asked is not None), ServerKind.GENERATE)

    @property
    def bytes(self) -> int:
        """The most that one of its texts has; a token is at least one."""
        rank = [self.rank.query + text for text in self.rank.documents] if self.rank is not None else []
        return max(len(text.encode()) for text in (self.prompt, *(self.embed or ()), *rank))

    @model_validator(mode="after")
    def _one_of_them(self) -> Request:
        asked = [name for name in ("prompt", "embed", "rank", "hear") if getattr(self, name)]
        if len(asked) != 1:
            found = " and ".join(asked) or "none"
            complain([Finding((), f"expected one of prompt, embed, rank and hear, found {found}")])
        wanted = {"embed": "nearer", "rank": "best", "hear": "most_words"}
        for name, assertion in wanted.items():
            if (assertion in self.expect.model_fields_set) != (asked == [name]):
                message = f"{kebab(assertion)} is for {name}, and {name} for it alone"
                complain([Finding(("expect", kebab(assertion)), message)])
        return self

    @model_validator(mode="after")
    def _agreement(self) -> Request:
        if self.guided and self.expect.json_schema is None:
            complain([Finding(("guided",), "guided decoding needs expect.json-schema")])
        if self.completion is not None and (self.image or self.audio or self.tool):
            complain([Finding(("completion",), "a completion takes no image, audio or tool")])
        return self


class Check(Declaration, title="sparkctl check"):
    """Requests that are sent at once, and what their answers must be."""

    description: str = Field(min_length=1, description="a line for the operator")
    source: str = Field(min_length=1, description="where the check, and each limit of it, comes from")
    timeout: Duration = Field(300.0, description="how long one answer may take")
    requests: Annotated[tuple[Request, ...], Field(strict=False, min_length=1, max_length=64)] = Field(
        description="sent together when there are several"
    )


def modalities(check: Check) -> Iterator[Modality]:
    """Yield what a check gives the model beside text."""
    if any(request.image for request in check.requests):
        yield "image"
    if any(request.audio for request in check.requests):
        yield "audio"
