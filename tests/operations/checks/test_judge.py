"""The assertions by themselves: what they measure, at their limits and on whatever a server may say."""

from __future__ import annotations

import io
import struct
import wave
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.operations.checks import judge, media
from sparkctl.operations.checks.check import Beeps, Expect, Shape
from sparkctl.operations.checks.judge import Answer

EVERYTHING = Expect.model_validate(
    {
        "tokens": 1,
        "repeated": 0.5,
        "contains": ["one", ["two", "三"]],
        "lacks": ["four"],
        "numbers": [5, 98.1],
        "counts-to": 3,
        "traditional": {},
        "python": ["f"],
        "json-schema": {"type": "object"},
    }
)


@given(st.text(), st.booleans(), st.booleans())
def test_any_text_gets_a_finding_for_each_assertion(text: str, guided: bool, cut: bool) -> None:
    found = judge.judge(EVERYTHING, Answer(text, tokens=1, guided=guided, cut=cut))
    assert [finding.assertion for finding in found] == [
        *("tokens", "repeated", "contains", "contains", "lacks"),
        *("numbers", "counts-to", "traditional", "python", "json-schema"),
    ]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60))
def test_the_repeated_share_is_that_of_the_grams_counted_one_by_one(parts: list[str]) -> None:
    grams = ["".join(parts[i : i + 4]) for i in range(len(parts) - 3)]
    again = sum(gram in grams[:i] for i, gram in enumerate(grams))
    assert judge.repeated_share(parts) == pytest.approx(again / len(grams) if grams else 0)


@given(st.lists(st.sampled_from("abc"), min_size=3, max_size=60), st.integers(4, 8))
def test_a_text_that_ends_in_copies_is_in_a_loop(period: list[str], copies: int) -> None:
    found = judge.loop_at_end(["x", *period * copies])
    assert found is not None
    assert found <= len(period)


@given(st.permutations(range(40)))
def test_a_text_without_a_unit_twice_is_in_no_loop(order: list[int]) -> None:
    assert judge.loop_at_end([str(number) for number in order]) is None


@pytest.mark.parametrize("text", ["Wait ...", "ha ha ha ha", "1 2 3 1 2 3 1 2 3", ""])
def test_a_few_copies_at_the_end_are_no_loop(text: str) -> None:
    assert judge.loop_at_end(judge.units(text)) is None


@given(st.floats(0.01, 1e9, allow_nan=False).map(lambda number: round(number, 2)), st.sampled_from(["$", "€ ", ""]))
def test_a_number_is_read_as_people_write_it(number: float, sign: str) -> None:
    assert judge.numbers(f"It is {sign}{number:,.2f}.") == [number]
    assert judge.numbers(f"({sign}{number:.2f})") == [number]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A113 and v1.2.3", []),
        ("\u2212310", [-310]),
        ("1,234,567.5", [1234567.5]),
        ("5, 6", [5, 6]),
        ("1858,", [1858]),
        ("98.10.", [98.1]),
    ],
)
def test_what_counts_as_a_number(text: str, expected: list[float]) -> None:
    assert judge.numbers(text) == expected


@given(st.integers(3, 80))
def test_counting_stands_what_is_before_and_after_it(last: int) -> None:
    expect = Expect.model_validate({"counts-to": last})
    run = " ".join(map(str, range(1, last + 1)))
    assert judge.judge(expect, Answer(f"Here is 1 to {last}:\n{run}\nDone."))[0].passed
    assert judge.judge(expect, Answer(f"{run} {last + 1} {last + 2}"))[0].passed
    assert not judge.judge(expect, Answer(f"{run} {last}"))[0].passed
    assert not judge.judge(expect, Answer(run.rpartition(" ")[0]))[0].passed


def test_the_table_of_simplified_characters_has_those_of_simplified_chinese_alone() -> None:
    table = judge.simplified_only()
    assert len(table) == 2528
    assert set("国语说书门马东车爱体发电时会学习总风险") <= table
    # Traditional characters, and those that both scripts write.
    assert not table & set("國語說書門馬東車愛體發電時會學習價總風險後里台干面只才谷余价")


def test_code_may_stand_in_a_block_or_by_itself() -> None:
    code = "def f(x):\n    return x\n"
    expect = Expect.model_validate({"python": ["f"]})
    wrapped = f"Sure:\n```sh\npip install f\n```\nand\n```python\n{code}```\nas asked"
    assert [judge.judge(expect, Answer(text))[0].passed for text in (code, wrapped, f"```\n{code}```")] == [True] * 3
    assert not judge.judge(expect, Answer(code, cut=True))[0].passed


def test_a_schema_that_names_another_document_fetches_nothing() -> None:
    expect = Expect.model_validate({"json-schema": {"$ref": "https://example.com/schema.json"}})
    (finding,) = judge.judge(expect, Answer("{}"))
    assert (finding.passed, "example.com" in finding.measured) == (False, True)


def pixel(image: bytes, x: int, y: int, width: int) -> tuple[int, ...]:
    length = struct.unpack(">I", image[33:37])[0]
    rows = zlib.decompress(image[41 : 41 + length])
    start = y * (1 + 3 * width) + 1 + 3 * x
    return tuple(rows[start : start + 3])


def test_the_image_has_its_shapes_from_left_to_right() -> None:
    shapes = [Shape(kind="circle", colour="green"), Shape(kind="square", colour="black")]
    image, width = media.png(shapes), 2 * media.SIDE
    assert struct.unpack(">II", image[16:24]) == (width, media.SIDE)
    middle = media.SIDE // 2
    assert pixel(image, middle, middle, width) == media.COLOURS["green"]
    assert pixel(image, middle + media.SIDE, middle, width) == media.COLOURS["black"]
    corner = media.MARGIN + 4
    assert pixel(image, corner, corner, width) == media.GROUND  # of a circle
    assert pixel(image, corner + media.SIDE, corner, width) == media.COLOURS["black"]  # of a square
    top = media.png([Shape(kind="triangle", colour="blue")])
    assert pixel(top, corner, corner, media.SIDE) == media.GROUND
    assert pixel(top, middle, media.SIDE - corner, media.SIDE) == media.COLOURS["blue"]


def test_the_recording_has_its_beeps_and_the_silence_between() -> None:
    with wave.open(io.BytesIO(media.wav(Beeps(count=3)))) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, 3 * 8_000)
        samples = struct.unpack(f"<{file.getnframes()}h", file.readframes(file.getnframes()))
    loud = [max(map(abs, samples[start : start + 4_000])) > 1_000 for start in range(0, len(samples), 4_000)]
    assert loud == [True, False] * 3
