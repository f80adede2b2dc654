"""The tag of an image that is built: the same for the same parts, another for any other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.recipes.job.built_image import constraint_lines, image_tag

STEPS = [["a==1", "b==2"], ["--no-deps", "c==3"]]
STEP = st.lists(st.sampled_from(["a==1", "a==2", "b==1", "--no-deps", "a==1+cpu"]), min_size=1, max_size=3)


def test_a_tag_is_one_that_an_engine_takes_and_stays_the_same() -> None:
    assert image_tag("sha256:1", STEPS, "torch==2\n") == "sparkctl-job:36a384366eea"


def test_comments_and_blanks_of_constraints_say_nothing() -> None:
    text = "# made by pip freeze\n\ntorch==2.13.0   # on the CPU\n  numpy==2.4\n"

    assert constraint_lines(text) == ("torch==2.13.0", "numpy==2.4")
    assert image_tag("x", STEPS, text) == image_tag("x", STEPS, "torch==2.13.0\nnumpy==2.4")


@given(st.lists(STEP, max_size=3), st.lists(STEP, max_size=3))
def test_other_steps_or_another_order_are_another_image(one: list[list[str]], other: list[list[str]]) -> None:
    assert (image_tag("x", one, "") == image_tag("x", other, "")) == (one == other)


def test_another_base_and_other_constraints_are_another_image() -> None:
    tags = {image_tag(base, STEPS, text) for base in ("x", "y") for text in ("", "a==1", "a==2")}

    assert len(tags) == 6
