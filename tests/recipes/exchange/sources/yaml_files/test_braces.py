"""Values in braces: each way against the one that its runner has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.sources.yaml_files.braces import Filled, filled, formatted

VALUES = {
    "port": "8000",
    "n": "2",
    "json": '{"method":"mtp","n":{n}}',
    "url": "http://localhost:{port}",
    "self": "x{self}",
}
_PIECES = st.sampled_from(
    ["vllm serve ", "{{", "}}", "{port}", "{n}", "{none}", "{", "}", '"a":1', "\n", " \\\n", "{n!r}", "{0}", "é"]
)
_TEXTS = st.lists(_PIECES, max_size=12).map("".join)


@given(_TEXTS)
def test_one_way_is_pythons_format(template: str) -> None:
    """What Python formats comes out the same; what it refuses is refused."""
    found = formatted(template, VALUES)
    try:
        expected = template.format(**VALUES)
    except (KeyError, ValueError, IndexError):
        assert isinstance(found, str)
        return
    if "{n!r}" in template.replace("{{", "").replace("}}", ""):
        return  # Python formats it; no recipe does, and it is refused
    assert isinstance(found, Filled)
    assert found.text == expected


@given(_TEXTS)
def test_each_line_knows_where_it_comes_from(template: str) -> None:
    """There is a source line for each line of the text, in order, and none beyond the source."""
    found = filled(template, VALUES)
    assert len(found.lines) == len(found.text.split("\n"))
    assert list(found.lines) == sorted(found.lines)
    assert found.lines[-1] <= template.count("\n")


@given(st.text("abc \n{}", max_size=30))
def test_a_text_without_names_stays_as_it_is(template: str) -> None:
    """Without values and without doubled braces nothing changes."""
    if "{{" not in template:
        assert filled(template, {}).text == template


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("--port {port}", "--port 8000"),
        ("""--c '{"n":{n}}'""", """--c '{"n":2}'"""),
        ("""--c '{{"n":{n},"o":{{"p":1}}}}'""", """--c '{"n":2,"o":{"p":1}}'"""),
        ("""--c '{"a":{"b":1}}'""", """--c '{"a":{"b":1}}'"""),
        ("{url}/v1", "http://localhost:8000/v1"),
        # sparkrun's own pattern ends at the first brace: what is inside a value's JSON stays.
        ("{json}", '{"method":"mtp","n":{n}}'),
        ("{unknown}", "{unknown}"),
        ("{}", "{}"),
    ],
)
def test_the_other_way_is_sparkruns(template: str, text: str) -> None:
    """Single braces of JSON stay, doubled ones become one, names with a value are replaced, in values too."""
    assert filled(template, VALUES).text == text


def test_what_has_no_value_is_named() -> None:
    """A name without a value is told; JSON is no name."""
    found = filled('{port} {model_path} {"a":1} {model_path}', VALUES)
    assert found.missing == ("model_path",)
    assert found.used == {"port"}


def test_a_value_that_holds_itself_ends() -> None:
    """Values that hold each other neither hang nor fill the memory."""
    assert filled("{self}", VALUES).text == "x" * 11 + "{self}"
    with pytest.raises(InputError, match="more than"):
        filled("{a} " * 2000, {"a": "{a}" * 64})
    with pytest.raises(InputError, match="more than"):
        formatted("{a}" * 1000, {"a": "x" * 1000})


def test_why_a_text_cannot_be_formatted() -> None:
    """The reason names what is missing, and is short."""
    assert formatted("{model_path}", VALUES) == "no default for {model_path}"
    assert formatted('{"a":1}', VALUES) == 'no name between braces: {"a"}'
    assert "not doubled" in str(formatted("}", VALUES))
    assert len(str(formatted("{" + "k" * 500 + "}", VALUES))) < 80
