"""From a template to words: each value in one word, whatever it is; every mistake at its line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError, ProblemsError
from sparkctl.recipes.template import expand, package_root

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
AWKWARD = st.sampled_from(
    ["", " ", "\n", "'", '"', "\\", "$(id)", "`id`", "#", "a b", "{{ 1 }}", "{% raw %}", "\U000f0000", "\U000f0001a"]
)
# A template for the words before, the word with the value and the words after, and that word's front and back.
CONTEXTS = {
    "bare": ("{{ v }}", "", ""),
    "glued": ("pre{{ v }}post", "pre", "post"),
    "after an equals sign": ("--x={{ v }}", "--x=", ""),
    "double quotes": ('"a b {{ v }} c"', "a b ", " c"),
    "single quotes": ("'a $b {{ v }} c'", "a $b ", " c"),
    "mixed quotes": ("\"a\"{{ v }}'b c'\\ d", "a", "b c d"),
    "joined lines": ("a\\\n{{ v }}\\\nb", "a", "b"),
    "before a hash": ("{{ v }}#b", "", "#b"),
    "set": ("{% set x = v %}{{ x }}", "", ""),
    "set block": ("{% set x %}'a {{ v }}{% endset %}{{ x }}b", "'a ", "b"),
    "set block twice": ('{% set x %} {{ v }}{% endset %}{% set y %}{{ x }}"{% endset %}{{ y }}', " ", '"'),
    "macro": ('{% macro f(x) %}a {{ x }}"{% endmacro %}{{ f(v) }}', "a ", '"'),
    "tilde": ("{{ '$' ~ v ~ ' b' }}", "$", " b"),
    "loop": ("{% for x in [v] %}'{{ x }}'{% endfor %}", "", ""),
    "condition": ("{{ v if true else 1 }}", "", ""),
    "join": ("{{ [v, 'b'] | join(' ') }}", "", " b"),
    "include": ("a{% include 'value.j2' %}", "a", ""),
    "import": ("{% from 'macro.j2' import quoted %}{{ quoted(v) }}", "'", "'"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("templates")
    (path / "value.j2").write_text("{{ v }}")
    (path / "macro.j2").write_text("{% macro quoted(x) %}'{{ x }}'{% endmacro %}")
    (path / "again.j2").write_text("{% include 'again.j2' %}")
    (path / "twice.j2").write_text(
        "{% if ns.depth < 30 %}{% set ns.depth = ns.depth + 1 %}{% include 'twice.j2' %}{% include 'twice.j2' %}"
        "{% set ns.depth = ns.depth - 1 %}{% endif %}"
    )
    (path / "wrong.j2").write_text("--a\n  --name {{ nmae }}\n")
    (path / "binary.j2").write_bytes(b"\xff\xfe")
    (path / "huge.j2").write_text("é" * 200_000)
    (path / "private.j2").write_text("\U000f0000")
    (path / "folder.j2").mkdir()
    (path / "leads-out.j2").symlink_to("/etc/hostname")
    return path


@pytest.mark.a_part(8)
@pytest.mark.parametrize("where", CONTEXTS)
@given(value=TEXT | AWKWARD)
@example(value='it\'s "$(rm -rf /)" `x`\n\\ #; é漢 \U000f0000\U000f0001\0')
def test_a_value_reaches_exactly_one_word(where: str, value: str, folder: Path) -> None:
    template, front, back = CONTEXTS[where]
    words = expand(f"before {template} after", "t.j2", {"v": value}, loader_folders=[folder])
    assert words == ["before", front + value + back, "after"]


@given(st.lists(TEXT | AWKWARD, max_size=5))
def test_several_values_stay_apart(values: list[str]) -> None:
    template = "{% for value in values %}\n{{ value }}\n{% endfor %}"
    assert expand(template, "t.j2", {"values": values}, loader_folders=[]) == values


@given(TEXT)
def test_any_template_text_is_split_or_refused(source: str) -> None:
    try:
        words = expand(source, "t.j2", {}, loader_folders=[])
    except InputError:
        with pytest.raises(InputError, match=r"^t\.j2"):
            expand(source, "t.j2", {}, loader_folders=[])
    else:
        assert all(isinstance(word, str) for word in words)


PIECES = """{{ }} {% %} {# #} {%- -%} for in if else endif endfor set endset macro f() endmacro include import v x ns [
    ] ( ) , . = == ~ + * | 'a' 1 9999 range(9) tojson join loop.index _ __class__ -- \\ recursive call endcall with"""
JINJA = st.lists(st.sampled_from([*PIECES.split(), "\n"]), max_size=20).map(" ".join)


@given(JINJA)
def test_any_jinja_renders_or_is_a_clear_error(source: str) -> None:
    try:
        shown = expand(source, "t.j2", {"v": "value", "x": [1, {"a": 2}]}, loader_folders=[])
    except InputError as error:
        shown = error.message if error.message.startswith("t.j2:") else None
    assert shown is not None


def test_numbers_are_written_as_they_are() -> None:
    assert expand("{{ 8000 }} {{ 0.9 }} {{ v }}", "t", {"v": 1}, loader_folders=[]) == ["8000", "0.9", "1"]


def test_json_is_written_without_escapes_for_html() -> None:
    context = {"v": {"image": 4, "url": "a&b<c>'é"}}
    assert expand("{{ v | tojson }}", "t", context, loader_folders=[]) == ['{"image":4,"url":"a&b<c>\'é"}']


def test_docker_csv_quotes_what_needs_it() -> None:
    context = {"v": ["type=bind", 'source=/a,"b"', "target=/c"]}
    words = expand("--mount {{ v | csv }}", "t", context, loader_folders=[])
    assert words == ["--mount", 'type=bind,"source=/a,""b""",target=/c']


def test_the_first_folder_that_has_a_file_wins(tmp_path: Path) -> None:
    for name, text in (("own/a.j2", "own"), ("shipped/a.j2", "shipped"), ("shipped/b.j2", "b")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    folders = [tmp_path / "absent", tmp_path / "own", tmp_path / "shipped"]
    template = "{% include 'a.j2' %} {% include 'b.j2' %} {% include 'c.j2' ignore missing %}"
    assert expand(template, "t", {}, loader_folders=folders) == ["own", "b"]


NAMES = {"name": "n", "gpus": {"kind": "all"}, "flag": True, "args": [], "nothing": None}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "docker run\n  --name {{ nmae }}",
            "t.j2:2:13: 'nmae' is undefined\n  2 |   --name {{ nmae }}\n    |             ^\n  did you mean name?",
        ),
        (
            "{{ zzz }}",
            ("t.j2:1:4: 'zzz' is undefined\n  1 | {{ zzz }}\n    |    ^\n  there are args, flag, gpus, name, nothing"),
        ),
        ("{{ gpus.knid }}", "t.j2:1:1: 'knid' is not one of kind\n  1 | {{ gpus.knid }}\n    | ^"),
        (
            "\n{{ args }}",
            (
                "t.j2:2:1: expected text or a number, found a list\n  2 | {{ args }}\n    | ^\n"
                "  write it with | tojson, or loop over it"
            ),
        ),
        ("{{ flag }}", "t.j2:1:1: expected text or a number, found true or false"),
        ("{{ nothing }}", "t.j2:1:1: expected text or a number, found null"),
        ("{{ 'a' ~ gpus }}", "t.j2:1:1: expected text or a number, found a map"),
        ("{{ [nothing] | join }}", "t.j2:1:1: expected text or a number, found null"),
        ("\n\n{% if flag %}", "t.j2:3:1: Unexpected end of template."),
        ("{% bogus %}", "t.j2:1:1: Encountered unknown tag 'bogus'."),
        ("{{ name | center(9) }}", "t.j2:1:1: No filter named 'center'"),
        ("{% block a %}{% endblock %}", "t.j2:1:1: templates have no block"),
        ("{% autoescape true %}{% endautoescape %}", "t.j2:1:1: templates have no autoescape"),
        ("{{ 1 / 0 }}", "t.j2:1:1: division by zero"),
        ("{% for x in 5 %}{% endfor %}", "t.j2:1:1: 'int' object is not iterable"),
        ("{{ 1e400 }}", "t.j2:1:1: templates have no number of this size"),
        ("\ue000 \U000f0000", "t.j2:1:1: templates have no private-use characters"),
        ("{{ '\\U000f0000' }}", "t.j2:1:1: templates have no private-use characters"),
        ("--a '{{ name }}", "t.j2: a ' is opened and never closed, at: 'n"),
        ("-v $HOME/{{ name }}:/a", "t.j2: no shell runs the command, so nothing would expand or run: $HOME/n:/a"),
        ("a" * 65537, "t.j2:1:1: a template has at most 65536 characters, found 65537"),
    ],
)
def test_a_mistake_is_shown_at_its_line(source: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        expand(source, "t.j2", NAMES, loader_folders=[])
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% include '../x.j2' %}", "t.j2:1:1: templates include files of their own folder by name, not '../x.j2'"),
        (
            "{% include '/etc/hosts' %}",
            "t.j2:1:1: templates include files of their own folder by name, not '/etc/hosts'",
        ),
        ("{% include 'leads-out.j2' %}", "t.j2:1:1: 'leads-out.j2' leads out of "),
        ("{% import 'absent.j2' as a %}", "t.j2:1:1: no template 'absent.j2' to include"),
        ("{% include 'folder.j2' %}", "t.j2:1:1: no template 'folder.j2' to include"),
        ("{% include ['absent.j2', 'binary.j2'] %}", "t.j2:1:1: "),
        ("{% include 'huge.j2' %}", "t.j2:1:1: cannot read "),
        ("\n{% include 'wrong.j2' %}", "wrong.j2:2:13: 'nmae' is undefined\n  2 |   --name {{ nmae }}"),
        ("{% include 'private.j2' %}", "private.j2:1:1: templates have no private-use characters"),
        (
            "{% include 'again.j2' %}",
            "again.j2:1:1: macros or includes call each other without end, or something is nested too deeply",
        ),
    ],
)
def test_an_include_that_may_not_be_is_refused(source: str, message: str, folder: Path) -> None:
    with pytest.raises(ProblemsError) as caught:
        expand(source, "t.j2", {"name": "n"}, loader_folders=[folder])
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ ''.__class__ }}", "templates may not read '__class__' of text"),
        ("{{ v['__class__'] }}", "templates may not read '__class__' of text"),
        ("{{ [v] | map(attribute='__class__') | first }}", "templates may not read '__class__' of text"),
        ("{% macro f() %}{% endmacro %}{{ f.arguments }}", "templates may not read 'arguments' of macro"),
        ("{{ [].append }}", "templates may not read 'append' of a list"),
        ("{{ v.format(v) }}", "templates may not call format"),
        ("{{ v() }}", "templates may not call text"),
        ("{{ self }}", "expected text or a number, found templatereference"),
        ("{{ v | attr('x') }}", "No filter named 'attr'"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
    ],
)
def test_what_a_template_may_not_read_is_refused(source: str, message: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        expand(source, "t.j2", {"v": "x"}, loader_folders=[])
    assert caught.value.problems[0].message == message


GROWING = "{% set ns = namespace(a=START) %}{% for i in range(64) %}{% set ns.a = STEP %}{% endfor %}"


@pytest.mark.a_part(5)
@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}" + "a" * 60000 + "{% endfor %}",
        "{% for i in range(9) | _steps(-1000000) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f(n) %}{% if n %}{% call f(n - 1) %}{% endcall %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% set ns = namespace(depth=0) %}{% include 'twice.j2' %}",
        "{{ 'x' * 1000000000 }}",
        "{{ 1000000000 * [0] }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ v | tojson(indent=1000000000) }}",
        "{{ ('x' * 60000) | replace('x', 'y' * 60000) }}",
        "{{ range(99999) | list | join('x' * 60000) }}",
        GROWING.replace("START", "'x'").replace("STEP", "ns.a + ns.a"),
        GROWING.replace("START", "'x'").replace("STEP", "ns.a ~ ns.a"),
        GROWING.replace("START", "'x'").replace("STEP", "[ns.a, ns.a]"),
        GROWING.replace("START", "'x'").replace("STEP", "{'a': ns.a, 'b': ns.a}"),
        GROWING.replace("START", "[1]").replace("STEP", "ns.a + ns.a"),
        GROWING.replace("START", "99").replace("STEP", "ns.a * ns.a"),
        "{% set x = 'a' * 130000 %}{% for i in range(9000) %}{% if 'ab' in x %}{% endif %}{% endfor %}",
        "{% set x = range(9999) | list %}{% for i in range(9000) %}{% if x[1:] is eq(x) %}{% endif %}{% endfor %}",
        "{% set a %}{{ v }}{% endset %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 60,
        "{{ " + "(" * 9000,
        "{{ 1" + " + 1" * 9000 + " }}",
        "{% for i in [1] %}" * 60 + "{% endfor %}" * 60,
        "{% set x = 'x' * 130000 %}" + "{{ x }} " * 9,
    ],
    ids=lambda source: source[:60],
)
def test_a_template_that_does_too_much_ends_soon(source: str, folder: Path) -> None:
    start = time.process_time()
    with pytest.raises(InputError, match=r"^t\.j2|^twice\.j2"):
        expand(source, "t.j2", {"v": "value"}, loader_folders=[folder])
    assert time.process_time() - start < 2


def test_a_template_may_be_as_long_as_it_may_be() -> None:
    start = time.process_time()
    words = expand("{{ v }} " * 4000 + "text " * 6000, "t.j2", {"v": "x"}, loader_folders=[])
    assert words == ["x"] * 4000 + ["text"] * 6000
    assert time.process_time() - start < 4


@pytest.mark.parametrize(
    ("source", "root"),
    [
        ("docker run", None),
        ("{# a #}{% set package_root = '/a/b' %}{{ undefined_anywhere }}", "/a/b"),
        ("{% if x %}{% set package_root = '/a' %}{% endif %}", None),
    ],
)
def test_the_package_root_is_read_without_rendering(source: str, root: str | None) -> None:
    assert package_root(source) == root


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("\n{% set package_root = x %}", "t.j2:2:1: expected package_root to be an absolute path in quotes"),
        ("{% set package_root = 'a' %}", "t.j2:1:1: expected package_root to be an absolute path in quotes"),
        ("{% set package_root = %}", "t.j2:1:1: Expected an expression, got 'end of statement block'"),
    ],
)
def test_a_package_root_that_cannot_be_read_is_an_error(source: str, message: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        package_root(source, "t.j2")
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("source", ["{{ " + "9" * 5000 + " }}", "{{ " + "(" * 5000, "{{ 1 }}" * 20_000])
def test_a_source_that_cannot_be_read_is_an_input_error_before_anything_is_rendered(source: str) -> None:
    with pytest.raises(InputError):
        package_root(source)
    with pytest.raises(InputError):
        expand(source, "t.j2", {}, loader_folders=[])
