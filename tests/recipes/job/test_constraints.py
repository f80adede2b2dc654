"""Constraints: NAME==VERSION lines, and why every other line is refused at its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.recipes.job.constraints import parse

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(rc1|\.post1|\+cu130)?", fullmatch=True)
NOISE = st.sampled_from(["", "  ", "# a comment", "   # another"])


@given(st.lists(st.tuples(NAMES, VERSIONS, NOISE), min_size=1, max_size=8, unique_by=lambda one: one[0]))
def test_what_pip_freeze_prints_is_kept_without_its_comments(lines: list[tuple[str, str, str]]) -> None:
    text = "".join(f"{noise}\n{name}=={version} {noise}\r\n" for name, version, noise in lines)
    found = parse(text.replace("\r", ""), "file")
    names = {name.replace("--", "-") for name, _, _ in lines}
    if len(names) == len(lines):
        assert found.problems == ()
    assert found.text == "".join(f"{name}=={version}\n" for name, version, _ in lines)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("torch", "expected NAME==VERSION, found 'torch'"),
        ("torch>=2", "expected NAME==VERSION, found 'torch>=2'"),
        ("torch===2.13", "write two equals signs"),
        ("torch[cuda]==2.13", "without its extras"),
        ("torch==2.13; python_version < '3.12'", "for some machines only"),
        ("torch @ https://example.org/torch.whl", "pip would fetch from there"),
        ("https://example.org/torch.whl", "pip would fetch from there"),
        ("torch==2.13 --hash=sha256:00", "expected NAME==VERSION"),
        ("--hash=sha256:00", "hashes belong to a requirements file"),
        ("-r other.txt", "an option of pip's"),
        ("Tool==2.0", "Tool is constrained already in line 1"),
        ("to.ol==2.0\nto_ol==3.0", "to_ol is constrained already in line 2"),
    ],
)
def test_every_other_line_is_refused_at_its_place(line: str, told: str) -> None:
    (problem,) = parse(f"tool==1.0\n{line}\n", "c.txt").problems
    assert told in str(problem)
    assert str(problem).startswith("c.txt:")


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_a_file_without_a_line_is_no_constraint(text: str) -> None:
    (problem,) = parse(text, "c.txt").problems
    assert problem.message == "expected lines NAME==VERSION, found none"


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = parse(text, "c.txt")
    assert found.text or found.problems
