"""Values of systemd's files as it reads them (systemd.syntax(7), systemd.service(5))."""

from __future__ import annotations

import pytest

from sparkctl.recipes.exchange.material import Material, unknown
from sparkctl.recipes.exchange.sources import unit_files
from sparkctl.recipes.exchange.sources.unit_files import UnitLine

MATERIAL = Material("", "units/one@.service", {"HOME": "/home/me", "TWO": "a b"})


def line(value: str, key: str = "ExecStart") -> UnitLine:
    return UnitLine("Service", key, value, 3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ('"a b" \'c d\' e"f g"h', ["a b", "c d", "ef gh"]),
        ('"" x', ["", "x"]),
        (r'"q\"\\\n\t\s" \x41\101\u00e4\U0001f600', ['q"\\\n\t ', "AA\u00e4\U0001f600"]),
        (r"\d \ud800 \xff", [r"\d", r"\ud800", r"\xff"]),
        ("it's so x", ["its so x"]),
        (r'a "b\" c', ["a", 'b" c']),
        ("a \\", ["a", "\\"]),
        ("a;b | c > d #e $(id) `id`", ["a;b", "|", "c", ">", "d", "#e", "$(id)", "`id`"]),
        ("%h/x %%h %n %N", ["/home/me/x", "%h", "one.service", "one"]),
        ("$$HOME ${TWO} $TWO", ["$HOME", "a b", "a", "b"]),
        ("$NONE", [unknown("NONE")]),
        ("%i", [unknown("%i")]),
    ],
)
def test_words_are_those_of_systemd(value: str, words: list[str]) -> None:
    assert [word.text for word in unit_files.words(line(value), MATERIAL)] == words


def test_a_word_knows_the_line_on_which_it_stands() -> None:
    text = "[Service]\nExecStart=a \\\n# between\n  b \\\n  c\n"
    (found,) = unit_files.lines(text)
    assert [(word.text, word.place.line) for word in unit_files.words(found, MATERIAL)] == [
        ("a", 2),
        ("b", 4),
        ("c", 5),
    ]


def test_keys_know_their_sections() -> None:
    text = "x=0\n[Unit]\nA = 1\n; B=2\n[Service]\nC=3\n=4\nno key\n"
    found = [(one.section, one.key, one.value, one.number) for one in unit_files.lines(text)]
    assert found == [("", "x", "0", 1), ("Unit", "A", "1", 3), ("Service", "C", "3", 6)]


def test_a_value_may_be_one_word() -> None:
    assert unit_files.text(line("%h/a b:$$x:${TWO} "), MATERIAL) == "/home/me/a b:$x:a b"


def test_variables_and_what_stays_over() -> None:
    beside = Material("", "one.service", {}, {"one.env": "# no\nA='x'\nB=y=z\n"})
    every = [line('C=1 "D=two words"', "Environment"), line("-/etc/one.env", "EnvironmentFile")]
    assert unit_files.environment(every, beside) == {"A": "x", "B": "y=z", "C": "1", "D": "two words"}
    assert unit_files.beside(every[1], beside) is not None
    left = [line("x", "ExecStop"), line("always", "Restart"), line("no", "Restart"), line("/etc/x", "EnvironmentFile")]
    assert [one.what for one in unit_files.left_of_service([*every, *left], beside)] == [
        *("ExecStop=x", "Restart=always", "EnvironmentFile=/etc/x")
    ]


def test_a_unit_is_called_like_its_file() -> None:
    assert unit_files.name_of(Material("", "units/Big@.container")) == "big"
