"""A command taken apart: every word is in one part, in its order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.recipes.explained.rendered import CommandPart, rendered
from sparkctl.world.docker_run import grammar

TEXT = st.text("abc/=: {}-", min_size=1, max_size=8).filter(lambda text: not text.startswith("-"))
OPTION = st.tuples(st.sampled_from(["--name", "--env", "--mount", "--publish", "-v"]), TEXT)
FLAG = st.sampled_from(["--seed", "--no-enable-x", "--x.y", "-q"])


@given(st.lists(OPTION, max_size=4), st.lists(st.tuples(FLAG, st.lists(TEXT, max_size=2)), max_size=4))
def test_all_words_are_kept_in_their_order(
    options: list[tuple[str, str]], command: list[tuple[str, list[str]]]
) -> None:
    given_options = [word for option in options for word in option]
    given_command = [word for name, values in command for word in (name, *values)]
    words = ["docker", "run", *given_options, "image", "serve", *given_command]
    found = rendered(words)
    assert [word for one in found for word in one.words] == words[2:]
    assert [one.part for one in found].count(CommandPart.IMAGE) == 1


def test_what_each_word_is() -> None:
    words = "docker run -d -e A=b=c --shm-size 8g img vllm serve /m"
    flags = "--dtype auto --no-x --served-model-name a b --y=1 -q fp8 -O2"
    found = [(one.part.value, one.name, one.value, one.text) for one in rendered([*words.split(), *flags.split()])]
    assert found == [
        ("docker", "detach", "true", "--detach"),
        ("variable", "A", "b=c", "A"),
        ("docker", "shm-size", "8g", "--shm-size"),
        ("image", "image", "img", "image"),
        ("server", "model", "/m", "--model"),
        ("server", "dtype", "auto", "--dtype"),
        ("server", "x", "false", "--x"),
        ("server", "served-model-name", "a b", "--served-model-name"),
        ("server", "y", "1", "--y"),
        ("server", "quantization", "fp8", "--quantization"),
        ("server", "optimization-level", "2", "--optimization-level"),
    ]


def test_a_switch_by_its_other_name_is_the_same_switch() -> None:
    words = "docker run img --disable-prefix-caching --no-enable-prefix-caching --enable-prefix-caching"
    found = [(one.name, one.value) for one in rendered(words.split())[1:]]
    assert found == [("enable-prefix-caching", value) for value in ("false", "false", "true")]


def test_what_is_no_command_is_refused() -> None:
    with pytest.raises(InputError, match="no image"):
        grammar.parts(["docker", "run", "--detach"])
    with pytest.raises(InputError, match="expected a docker run command"):
        rendered(["podman", "run", "x"])
