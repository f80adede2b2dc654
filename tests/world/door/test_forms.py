"""Multipart forms: the model's name wherever it stands, and one value replaced."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.world.door import forms
from sparkctl.world.door_ports import Forward
from tests.support.door_bench import bench
from tests.support.thorough import examples

PATH = "/v1/audio/transcriptions"
KIND = {"Content-Type": "multipart/form-data; boundary=XyZ"}


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--XyZ\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


SOUND = part("file", b"RIFF\r\n--Xy\r\nmodel\x00" * 50, '; filename="a.wav"\r\nContent-Type: audio/wav')
MODEL = part("model", b"small")
END = b"--XyZ--\r\n"


@pytest.mark.parametrize(
    "body",
    [
        MODEL + SOUND + END,
        SOUND + MODEL + END,
        b"a preamble\r\n" + SOUND + part("prompt", b'name="model"') + MODEL + END + b"after",
    ],
)
def test_the_model_is_found_wherever_it_is_and_replaced_alone(body: bytes) -> None:
    async def run() -> None:
        async with bench(decide=lambda _, url: Forward(url, model="a longer name")) as door:
            assert (await door.post(PATH, body, KIND)).status == 200
            assert door.handler.arrived[0].model == "small"
            assert door.server.seen[0].body == body.replace(MODEL, part("model", b"a longer name"))
            assert door.server.seen[0].headers["content-type"] == KIND["Content-Type"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (SOUND + END, "model: missing"),
        (MODEL + SOUND + MODEL + END, "model: given twice"),
        (part("model", b"a", '; filename="b"') + END, "model: expected a name, found a file"),
        (part("model", b"") + END, "model: expected a name, found an empty text"),
        (MODEL + SOUND, "breaks off in its part 2"),
        (SOUND[:100], "breaks off in its part 1"),
        (b"no form", "no line of the body is the boundary"),
        (b"", "no line of the body is the boundary"),
        (b"--XyZ\r\nContent-Disposition: form-data\r\n\r\na\r\n" + END, "part 1 has no name"),
        (MODEL * 300 + END, "more than 200 parts"),
        (b"--XyZ\r\n" + b"X: a\r\n" * 5000 + b"\r\na\r\n" + END, "breaks off in its part 1"),
    ],
)
def test_a_form_that_is_none_is_refused(body: bytes, said: str) -> None:
    async def run() -> None:
        async with bench() as door:
            got = await door.post(PATH, body, KIND)
            assert got.status == 400
            assert said in str(got.error["message"])
            assert not door.handler.arrived

    asyncio.run(run())


def test_without_a_boundary_it_is_no_form() -> None:
    async def run() -> None:
        async with bench() as door:
            got = await door.post(PATH, MODEL + END, {"Content-Type": "multipart/form-data"})
            assert "with a boundary" in str(got.error["message"])
            assert (await door.post(PATH, {"model": "small"})).status == 415

    asyncio.run(run())


@given(
    st.lists(st.tuples(st.sampled_from(["file", "prompt", "language"]), st.binary(max_size=40)), max_size=4), st.text()
)
def test_every_other_byte_of_a_form_stays(others: list[tuple[str, bytes]], name: str) -> None:
    kept = [(field, value.replace(b"XyZ", b"")) for field, value in others]
    before, after = (b"".join(part(*one) for one in some) for some in (kept[::2], kept[1::2]))
    body = before + MODEL + after + END
    found = forms.parts(body, b"XyZ")
    assert [one.name for one in found].count("model") == 1
    model = next(one for one in found if one.name == "model")
    assert forms.with_value(body, model, name) == before + part("model", name.encode("utf-8", "replace")) + after + END


@settings(max_examples=examples(200))
@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_are_refused_in_words(body: bytes) -> None:
    with suppress(forms.FormError):
        forms.parts(b"--XyZ\r\n" + body, b"XyZ")
