"""An image as a stream out of an engine and into another: what is asked, and what is made of a refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest
from docker.errors import APIError

from sparkctl.base.errors import EngineError
from sparkctl.world.docker import carry
from sparkctl.world.docker.errors import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDPOINT = Endpoint("unix:///var/run/docker.sock", 60.0)


@dataclass
class Answer:
    """What an engine answers, piece by piece."""

    pieces: list[bytes]
    refused: str | None = None
    closed: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def iter_content(self, _size: int) -> Iterator[bytes]:
        yield from list(self.pieces)

    def iter_lines(self) -> Iterator[bytes]:
        yield from list(self.pieces)


@dataclass
class Client:
    """A client of the engine that answers as it is told, and keeps what it was asked."""

    answer: Answer
    asked: list[tuple[str, Any]] = field(default_factory=list)
    came: bytes = b""

    def inspect_image(self, reference: str) -> dict[str, str]:
        return {"Os": "linux", "Architecture": "arm64", "Variant": "", "Id": reference}

    def _url(self, path: str, *names: str) -> str:
        return path.format(*names)

    def _get(self, url: str, *, params: dict[str, str], stream: bool, timeout: float) -> Answer:
        self.asked.append((url, params))
        return self.answer

    def _post(self, url: str, *, data: Iterator[bytes], params: object, stream: bool, timeout: float) -> Answer:
        self.asked.append((url, params))
        self.came = b"".join(data)
        return self.answer

    def _raise_for_status(self, answer: Answer) -> None:
        if answer.refused is not None:
            raise APIError(answer.refused, explanation=answer.refused)

    def tag(self, *words: str) -> None:
        self.asked.append(("tag", words))


def saved(client: Client, api: tuple[int, ...]) -> bytes:
    spoken_to: Any = client
    return b"".join(carry.saved(spoken_to, ENDPOINT, "vllm/vllm-openai:v1", api))


def test_of_an_image_of_several_platforms_one_is_saved_where_the_engine_can() -> None:
    client = Client(Answer([b"ab", b"c"]))
    assert saved(client, (1, 47)) == saved(client, (1, 48)) == b"abc"
    (url, before), (_, now) = client.asked
    assert (url, before) == ("/images/vllm/vllm-openai:v1/get", {})
    assert json.loads(now["platform"]) == {"os": "linux", "architecture": "arm64"}
    refusing = Client(Answer([], "No such image: vllm/vllm-openai:v1"))
    with pytest.raises(EngineError, match="cannot save the image vllm/vllm-openai:v1: the engine does not have"):
        saved(refusing, (1, 47))


def test_an_image_is_loaded_and_what_the_engine_says_of_it_is_an_error() -> None:
    client: Any = Client(Answer([b'{"stream": "Loaded image: a:b"}', b""]))
    carry.load(client, ENDPOINT, iter([b"a", b"b"]))
    assert client.came == b"ab"
    full: Any = Client(Answer([b'{"error": "write /var/lib/docker/tmp/x: no space left on device"}']))
    with pytest.raises(EngineError, match="cannot load an image: the engine's disk is full"):
        carry.load(full, ENDPOINT, iter([b"a"]))
    half: Any = Client(Answer([], "Error processing tar file(exit status 1): unexpected EOF"))
    with pytest.raises(EngineError, match="cannot load an image: what came is no whole image"):
        carry.load(half, ENDPOINT, iter([b"a"]))


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("vllm:v1", ("vllm", "v1")),
        ("vllm", ("vllm", "latest")),
        ("127.0.0.1:5000/vllm", ("127.0.0.1:5000/vllm", "latest")),
        ("127.0.0.1:5000/vllm:v1", ("127.0.0.1:5000/vllm", "v1")),
    ],
)
def test_a_name_has_a_tag_of_its_own(reference: str, words: tuple[str, str]) -> None:
    client: Any = Client(Answer([]))
    carry.tag(client, "sha256:1", reference)
    assert client.asked == [("tag", ("sha256:1", *words))]
