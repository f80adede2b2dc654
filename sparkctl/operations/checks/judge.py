"""Is an answer what it must be? Each assertion is a pure function from a text to a finding."""

from __future__ import annotations

import ast
import math
import re
import warnings
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from jsonschema.exceptions import best_match
from jsonschema.validators import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from sparkctl.base.bounded import UnreadableError, read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparkctl.operations.checks.check import Expect, Runs, Traditional

GRAM: Final = 4
"""Units of a gram whose repetitions are counted: seq-rep-4 of Welleck et al. (2019)."""
LONGEST_PERIOD: Final = 60
LOOPS: Final = 4
"""A text that ends with so many copies of the same units, at most LONGEST_PERIOD of them, is in a loop."""
SHORTEST_LOOP: Final = 12
"""Units that the copies must be together: four dots or "ha ha ha ha" are no loop."""
# Letters and digits make words; every Chinese character, and every sign, is a unit by itself.
_HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_UNIT: Final = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+|[^\w\s]|_")
_HAN_CHARACTER: Final = re.compile(rf"[{_HAN}]")
_NUMBER: Final = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d])")
_INTEGER: Final = re.compile(r"\d+")
_FENCE: Final = re.compile(r"```[ \t]*(\w*)[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_THOUGHT: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_TOLERANCE: Final = 1e-9
_NEAR: Final = 0.01
"""The relative error that a program's results may have: models choose their own approximations."""
_PYTHON: Final = ("python", "py", "python3")


class Answer(NamedTuple):
    """The server's answer. ``tokens`` is its own count (None: not told); ``given`` is the text that it continues.

    ``cut``: it ended because it had no more tokens.
    """

    text: str
    tokens: int | None = None
    given: str = ""
    guided: bool = False
    cut: bool = False


class Judgement(NamedTuple):
    """One assertion: what was measured, what it was held against, and whether it holds."""

    assertion: str
    passed: bool
    measured: str
    limit: str


def judge(expect: Expect, answer: Answer) -> list[Judgement]:
    """Return a finding for each assertion, in the order in which they are declared."""
    text = _THOUGHT.sub("", answer.text).strip()
    return [*_of_words(expect, text, answer), *_of_form(expect, text, answer)]


def _of_words(expect: Expect, text: str, answer: Answer) -> Iterator[Judgement]:
    if expect.tokens is not None:
        yield _tokens(expect.tokens, answer.tokens)
    if expect.repeated is not None:
        yield _loops(expect.repeated, text)
    for words in expect.contains:
        yield _contains((words,) if isinstance(words, str) else words, text)
    if expect.lacks:
        yield _lacks(expect.lacks, text)


def _of_form(expect: Expect, text: str, answer: Answer) -> Iterator[Judgement]:
    if expect.numbers:
        yield _numbers(expect.numbers, text)
    if expect.counts_to is not None:
        yield _counts(expect.counts_to, text, answer.given)
    if expect.traditional is not None:
        yield _traditional(expect.traditional, text)
    if expect.python:
        yield _python(expect.python, text, cut=answer.cut)
    if expect.json_schema is not None:
        yield _json(expect.json_schema, text, guided=answer.guided)


def _tokens(least: int, tokens: int | None) -> Judgement:
    found = "not counted by the server" if tokens is None else f"{tokens} tokens"
    return Judgement("tokens", tokens is not None and tokens >= least, found, f"at least {least}")


def units(text: str) -> list[str]:
    """Return the words, Chinese characters and signs of a text, in order."""
    return _UNIT.findall(text.lower())


def repeated_share(parts: Sequence[str]) -> float:
    """Return the share of 4-grams that appeared before: 0 for a text of fewer units."""
    grams = [tuple(parts[i : i + GRAM]) for i in range(len(parts) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def loop_at_end(parts: Sequence[str]) -> int | None:
    """Return the shortest period with which a text ends in a loop, in units, or None."""
    for period in range(1, LONGEST_PERIOD + 1):
        length = max(period * LOOPS, SHORTEST_LOOP)
        tail = parts[-length:]
        if len(tail) == length and tail[period:] == tail[:-period]:
            return period
    return None


def _loops(most: float, text: str) -> Judgement:
    parts = units(text)
    share, period = repeated_share(parts), loop_at_end(parts)
    found = f"{share:.0%} of its 4-grams are repeated" if len(parts) >= GRAM else f"{len(parts)} words"
    if period is not None:
        found += f", and it ends in a loop of {' '.join(parts[-period:])[:60]!r}"
    passed = len(parts) >= GRAM and share <= most and period is None
    return Judgement("repeated", passed, found, f"at most {most:.0%}, and no loop at its end")


def _has(word: str, text: str) -> bool:
    """Return whether a word is there: by itself, or, in a script without spaces, anywhere."""
    if _HAN_CHARACTER.search(word):
        return word in text
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def _contains(words: Sequence[str], text: str) -> Judgement:
    there = [word for word in words if _has(word, text)]
    return Judgement("contains", bool(there), ", ".join(there) or "not there", " or ".join(words))


def _lacks(words: Sequence[str], text: str) -> Judgement:
    there = [word for word in words if _has(word, text)]
    return Judgement("lacks", not there, ", ".join(there) or "none", f"none of {', '.join(words)}")


def numbers(text: str) -> list[float]:
    """Return the numbers of a text; a comma between groups of three digits is no decimal point."""
    return [float(found.replace(",", "")) for found in _NUMBER.findall(text.replace("\u2212", "-"))]


def _numbers(wanted: Sequence[float], text: str) -> Judgement:
    # A loss may be written -310 or 310; both are the number that was asked for.
    there = [abs(number) for number in numbers(text)]
    missing = [f"{one:g}" for one in wanted if not any(abs(abs(one) - number) < _TOLERANCE for number in there)]
    found = f"{', '.join(missing)} not among {', '.join(f'{n:g}' for n in there[:20]) or 'no numbers'}"
    return Judgement("numbers", not missing, found if missing else "all", ", ".join(f"{one:g}" for one in wanted))


def _counts(last: int, text: str, given: str) -> Judgement:
    """Look for the run from 1 to ``last``; what follows may go on counting, and must not begin again.

    A base model that was ``given`` a beginning does not know when to stop: what follows its run is not judged.
    """
    found = [int(digits[:9]) for digits in _INTEGER.findall(given + text)]
    starts = [i for i, number in enumerate(found) if number == 1] or [len(found)]
    lengths = {i: _run(found[i:]) for i in starts}
    best = max(starts, key=lambda i: lengths[i])
    again = [] if given else [number for number in found[best + last :] if number <= last]
    limit = f"1 to {last}, each once"
    if lengths[best] < last:
        return Judgement("counts-to", passed=False, measured=f"in order up to {lengths[best]}", limit=limit)
    measured = f"{', '.join(map(str, again[:10]))} again after {last}" if again else limit
    return Judgement("counts-to", not again, measured, limit)


def _run(found: Sequence[int]) -> int:
    return next((i for i, number in enumerate(found) if number != i + 1), len(found))


@cache
def simplified_only() -> frozenset[str]:
    """Return the characters of Simplified Chinese that Traditional Chinese does not write (OpenCC's tables)."""
    text = files("sparkctl.operations.checks").joinpath("simplified.txt").read_text(encoding="utf-8")
    return frozenset("".join(line for line in text.splitlines() if not line.startswith("#")))


def _traditional(wanted: Traditional, text: str) -> Judgement:
    chinese = _HAN_CHARACTER.findall(text)
    simplified = [character for character in chinese if character in simplified_only()]
    share = len(simplified) / len(chinese) if chinese else 0.0
    found = f"{len(chinese)} Chinese characters, {len(simplified)} of them Simplified"
    if simplified:
        found += f" ({''.join(dict.fromkeys(simplified))[:20]})"
    passed = len(chinese) >= wanted.characters and share <= wanted.simplified
    limit = f"at least {wanted.characters}, at most {wanted.simplified:.0%} Simplified"
    return Judgement("traditional", passed, found, limit)


def fenced(text: str, languages: Sequence[str]) -> str:
    """Return the first block of code in one of the languages, else the first block, else the text."""
    blocks = _FENCE.findall(text)
    named = [code for language, code in blocks if language.lower() in languages]
    return str(next(iter(named or [code for _, code in blocks]), text))


def ran(runs: Runs, text: str, run: Callable[[str], tuple[bool, str]]) -> Judgement:
    """Return what the code of an answer computes; ``run`` runs a program and returns its end and its last line."""
    code = fenced(_THOUGHT.sub("", text).strip(), _PYTHON)
    well, last = run(f"{code}\nprint({runs.call})")
    limit = f"{runs.call} near {runs.near:g}"
    try:
        value = float(last)
    except ValueError:
        return Judgement("runs", passed=False, measured=last[:120], limit=limit)
    near = math.isclose(value, runs.near, rel_tol=_NEAR)
    return Judgement("runs", passed=well and near, measured=f"{value:g}", limit=limit)


def _python(functions: Sequence[str], text: str, *, cut: bool) -> Judgement:
    limit = f"Python that defines {', '.join(functions)}"
    if cut:  # half a function may parse by chance
        return Judgement("python", passed=False, measured="cut off by max-tokens", limit=limit)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(fenced(text, _PYTHON))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = (error.msg if isinstance(error, SyntaxError) else str(error)) or type(error).__name__
        return Judgement("python", passed=False, measured=f"does not parse: {reason}{line}", limit=limit)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    defined = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
    missing = [name for name in functions if name not in defined]
    return Judgement("python", not missing, f"no {', '.join(missing)}" if missing else "parses", limit)


def _json(schema: Mapping[str, object], text: str, *, guided: bool) -> Judgement:
    """Judge JSON: under guided decoding the answer is nothing else, and without it may be in a block of code."""
    limit = "JSON of the schema"
    try:
        value = read_json(text if guided else fenced(text, ("json",)))
    except UnreadableError as error:
        return Judgement("json-schema", passed=False, measured=error.message, limit=limit)
    # An empty registry: a schema's $ref to somewhere else is refused, and never fetched.
    validator: Draft202012Validator = Draft202012Validator(dict(schema), registry=Registry())
    try:
        refused = best_match(validator.iter_errors(value))
    except (Unresolvable, re.error, RecursionError) as error:
        return Judgement("json-schema", passed=False, measured=f"the schema cannot be used: {error}", limit=limit)
    measured = f"{refused.json_path}: {refused.message}"[:200] if refused else "accepted"
    return Judgement("json-schema", refused is None, measured, limit)
