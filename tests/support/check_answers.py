"""For each shipped check: answers of a server that is right, and of servers that are wrong in their own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.world.web import Reply
from tests.support.scripted import calls, heard, ranked, said, vectors

if TYPE_CHECKING:
    from collections.abc import Mapping

Answers = dict[str, Reply | str]

# Words of their own, so that no four of them come again.
ESSAY = " ".join(f"In {1700 + i} engine{i} gained valve{i}." for i in range(180))
COUNT = ", ".join(str(number) for number in range(1, 51))
SPREAD = "Maximum profit $190, maximum loss -$310, break-even at 98.10."
CODE = """```python
from math import erf, exp, log, sqrt

def black_scholes_call(spot, strike, rate, volatility, years):
    d1 = (log(spot / strike) + (rate + volatility**2 / 2) * years) / (volatility * sqrt(years))
    d2 = d1 - volatility * sqrt(years)
    n = lambda x: (1 + erf(x / sqrt(2))) / 2
    return spot * n(d1) - strike * exp(-rate * years) * n(d2)
```"""
CHINESE = (
    "賣權價差策略是賣出較高履約價的賣權,同時買進較低履約價的賣權,以收取淨權利金。"
    "當股價在到期時高於較高的履約價,兩個賣權都沒有價值,最大獲利就是收到的權利金。"
    "若股價跌破較低的履約價,最大虧損則是兩個履約價的差額減去權利金。"
)
SIMPLIFIED = (
    "卖权价差策略是卖出较高履约价的卖权,同时买进较低履约价的卖权,以收取净权利金。"
    "当股价在到期时高于较高的履约价,两个卖权都没有价值,最大获利就是收到的权利金。"
    "若股价跌破较低的履约价,最大亏损则是两个履约价的差额减去权利金。"
)
SHIP = '{"name": "Great Eastern", "launched": 1858, "length_m": 211}'
CITY = '{"name": "Paris", "country": "France", "capital": true}'
TAIPEI = calls("get_temperature", '{"city": "Taipei"}')
WARM = "It is 31.5 degrees in Taipei."
TWO = "A green circle is beside a black square."
ONE = "It is a blue triangle."
# Parts of the request that tell the images apart are not text, so the prompts do: "shapes are", "shape is".
GOOD: Answers = {
    "capital of France": "Paris",
    "steam engine": said(ESSAY, finish="length", tokens=1000),
    "Count from 1": COUNT,
    "'chien'": "dog",
    "'cheval'": "Horse.",
    "'pain'": "bread",
    "繁體中文": CHINESE,
    "347 + 586": "933",
    "24 times 17": "The answer is 408.",
    "strike 100": SPREAD,
    "black_scholes_call": CODE,
    "Great Eastern": f"Here it is:\n```json\n{SHIP}\n```",
    "as JSON": CITY,
    "How warm": TAIPEI,
    "celsius": WARM,
    "shapes are": TWO,
    "shape is": ONE,
    "recording": "It is a series of short beeps.",
    "sofa": vectors([0.6, 0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.6, 0.8]),
    "Eiffel": ranked(0.01, 0.98, 0.02),
    "probe.wav": heard(" Beep, beep."),
}

BAD: Mapping[str, Mapping[str, tuple[Answers, str]]] = {
    "text": {"nonsense": ({"capital": "!!!!!!!!"}, "contains: not there, expected Paris")},
    "long": {
        "a loop": (
            {"steam": said("The engine ran. " * 300, finish="length", tokens=1000)},
            "and it ends in a loop of 'the engine ran .'",
        ),
        "short": ({"steam": said(ESSAY[:400], tokens=80)}, "tokens: 80 tokens, expected at least 800"),
        "signs": ({"steam": said("!" * 1000, finish="length", tokens=1000)}, "100% of its 4-grams are repeated"),
        "repeats without an end": (
            {"steam": said(ESSAY[:3000] * 2 + " The end.", tokens=1000)},
            "of its 4-grams are repeated, expected at most 25%",
        ),
    },
    "repetition": {
        "one left out": ({"Count": COUNT.replace(" 37,", "")}, "counts-to: in order up to 36"),
        "one twice": ({"Count": COUNT.replace(" 37,", " 37, 37,")}, "counts-to: in order up to 37"),
        "begins again": ({"Count": f"{COUNT}\n1, 2, 3, 4"}, "1, 2, 3, 4 again after 50"),
        "no number": ({"Count": "one two three"}, "counts-to: in order up to 0"),
    },
    "parallel": {
        "mixed up": ({"'chien'": "horse", "'cheval'": "dog"}, "contains: not there, expected dog"),
        "two in one": ({"'chien'": "dog horse"}, "lacks: horse, expected none of horse, bread"),
        "one without an answer": ({"'pain'": Reply(None, "Connection reset")}, "no answer: Connection reset"),
    },
    "traditional-chinese": {
        "simplified": ({"繁體": SIMPLIFIED}, "of them Simplified (卖"),
        "drifts": ({"繁體": CHINESE + "总之,风险有限。"}, "3 of them Simplified (总风险)"),
        "english": ({"繁體": "A bull put spread sells one put and buys another."}, "0 Chinese characters"),
    },
    "arithmetic": {
        "wrong": ({"347": "923"}, "numbers: 933 not among 923"),
        "inside of another": ({"24 times": "14080"}, "numbers: 408 not among 14080"),
    },
    "put-spread": {
        "the loss": ({"strike": SPREAD.replace("310", "500")}, "numbers: 310 not among 190, 500, 98.1"),
    },
    "code": {
        "does not parse": ({"black": CODE.replace("return", "retrun")}, "python: does not parse"),
        "cut off": ({"black": said(CODE[:230], finish="length")}, "python: cut off by max-tokens"),
        "another function": ({"black": CODE.replace("black_scholes_call", "price")}, "python: no black_scholes_call"),
        "text": ({"black": "I can do that."}, "python: does not parse"),
    },
    "json": {
        "cut off": ({"Great": SHIP[:-9]}, "json-schema: no JSON"),
        "a wrong value": ({"Great": SHIP.replace("1858", "1958")}, "json-schema: $.launched: 1858 was expected"),
        "words around it": ({"Great": f"Sure! {SHIP}"}, "json-schema: no JSON"),
        "a key left out": ({"Great": '{"name": "Great Eastern"}'}, "is a required property"),
    },
    "json-guided": {
        "in a block": ({"as JSON": f"```json\n{CITY}\n```"}, "json-schema: no JSON"),
        "a wrong kind": ({"as JSON": CITY.replace("true", '"yes"')}, "$.capital: 'yes' is not of type 'boolean'"),
    },
    "tools": {
        "no call": ({"How warm": "It is warm."}, "tool: no call"),
        "a call as text": ({"How warm": '<tool_call>{"name": "get_temperature"}</tool_call>'}, "tool: no call"),
        "another city": (
            {"How warm": calls("get_temperature", '{"city": "Tokyo"}')},
            'tool: get_temperature({"city": "Tokyo"})',
        ),
        "no JSON": ({"How warm": calls("get_temperature", '{"city": ')}, "arguments that are no JSON"),
        "result unused": ({"celsius": "It is 20 degrees."}, "numbers: 31.5 not among 20"),
    },
    "image": {
        "blind": ({"shape": "I cannot see images."}, "contains: not there, expected green"),
        "the same for both": ({"shape": TWO}, "contains: not there, expected blue"),
    },
    "audio": {"deaf": ({"recording": "I cannot hear recordings."}, "contains: not there")},
    "embedding": {
        "all the same": ({"sofa": vectors([1.0, 0.0], [1.0, 0.0], [1.0, 0.0])}, "nearer: 1.000 between the first two"),
        "nothing": ({"sofa": vectors([0.0, 0.0], [1.0, 0.0], [0.0, 1.0])}, "norm: 0.000 to 1.000"),
        "two of three": ({"sofa": vectors([1.0, 0.0], [0.0, 1.0])}, "dimension: 2 vectors of 2 numbers"),
        "of two lengths": ({"sofa": vectors([1.0], [0.0, 1.0], [1.0, 1.0])}, "dimension: 3 vectors of 1, 2 numbers"),
        "no numbers": ({"sofa": Reply(200, '{"data": [{"index": 0, "embedding": ["a"]}]}')}, "HTTP 200: no vectors"),
        "writes": ({"sofa": said("A cat.")}, "HTTP 200: no vectors"),
    },
    "rerank": {
        "another first": ({"Eiffel": ranked(0.9, 0.8, 0.1)}, "best: 0 (0.900), 1 (0.800), 2 (0.100), expected first 1"),
        "none": ({"Eiffel": Reply(200, '{"results": []}')}, "HTTP 200: no scores"),
    },
    "transcript": {
        "a story": ({"probe.wav": heard("Once upon a time. " * 9)}, "most-words: 36 words, expected at most 20"),
        "none": ({"probe.wav": Reply(200, "{}")}, "HTTP 200: no text"),
    },
}


def wrong(answers: Answers) -> Answers:
    """Return the good answers with some that are wrong before them."""
    return {**answers, **{part: text for part, text in GOOD.items() if part not in answers}}
