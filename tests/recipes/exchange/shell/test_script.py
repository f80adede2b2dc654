"""Words as a shell would make them of a script, without running anything."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.recipes.exchange.material import Material, as_written
from sparkctl.recipes.exchange.shell import script

if TYPE_CHECKING:
    from pathlib import Path

HOST = {"HOME": "~", "PWD": "/work", "UID": "1000"}


def read(text: str, **variables: str) -> script.Read:
    return script.read(Material(text, "run.sh", {**HOST, **variables}))


def commands(text: str, **variables: str) -> list[list[str]]:
    """Return the words of each command, those without a value as they are written."""
    return [[as_written(word.text) for word in one.words] for one in read(text, **variables).commands]


def words(text: str, **variables: str) -> list[str]:
    (found,) = commands(text, **variables)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]),
        ("a \\\n  b", ["a", "b"]),
        ("a b # c", ["a", "b"]),
        ("a b#c", ["a", "b#c"]),
        ("a '' \"\"", ["a", "", ""]),
        ("a $'x\\ty\\x41\\101'", ["a", "x\tyAA"]),
        ('a "b\\"c\\$d\\e"', ["a", 'b"c$d\\e']),
        ("a ~/x $HOME/y ${HOME}/z", ["a", "~/x", "~/y", "~/z"]),
        ("a $(pwd)/x `pwd`/y $PWD", ["a", "/work/x", "/work/y", "/work"]),
        ('a "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"', ["a", "/work"]),
        ("a $(id -u) $(id -g)", ["a", "1000", "$(id -g)"]),
        ("X=1; a $X ${X} \"$X\" '$X' \\$X", ["a", "1", "1", "1", "$X", "$X"]),
        ("X='b  c'; a $X \"$X\" x$X", ["a", "b", "c", "b  c", "xb", "c"]),
        ('a ${X:-b c} "${X:-b c}" ${X-d} ${X:+no}e', ["a", "b", "c", "b c", "d", "e"]),
        ("X=v; a ${X:-b} ${X:+yes} ${#X}", ["a", "v", "yes", "1"]),
        ("a ${X:=b} $X", ["a", "b", "b"]),
        ("X=a/b.tar.gz; a ${X##*/} ${X%%.*} ${X%.gz} ${X/b/c} ${X^^} ${X:2:3}",
         ["a", "b.tar.gz", "a/b", "a/b.tar", "a/c.tar.gz", "A/B.TAR.GZ", "b.t"]),
        ("A=(x 'y z'); A+=(w); a \"${A[@]}\" ${A[1]} ${#A[@]}", ["a", "x", "y z", "w", "y", "z", "3"]),
        ('A=(\n  x # first\n  y\n); a pre"${A[@]}"post', ["a", "prex", "ypost"]),
        ('A=(); a ${A[@]+"${A[@]}"} b', ["a", "b"]),
        ("A=(xx y 'z z'); a ${A[@]:1} \"${A[@]:0:2}\" ${A[@]: -1} ${A[-1]}",
         ["a", "y", "z", "z", "xx", "y", "z", "z", "z", "z"]),
        ('A=(x.a y.a); a "${A[@]%.a}" ${A[@]:$N:1}', ["a", "x", "y", "${A}"]),
        ("A=(x y); a ${A[$I]} ${A[k]}", ["a", "${A}", "${A}"]),
        ('set -- p q r; a "${@:2}" ${*:1:1}', ["a", "q", "r", "p"]),
        ("P=8000; a $((P + 1)) $((2*3))", ["a", "8001", "6"]),
        ("a $EXTRA_ARGS b", ["a", "b"]),
        ('a "$EXTRA_ARGS" $MODEL', ["a", "${EXTRA_ARGS}", "${MODEL}"]),
        ("a x`# a remark` b", ["a", "x", "b"]),
        ("\ufeffa b\r\n", ["a", "b"]),
        ("a\tb", ["a", "b"]),
        ("a\rb\xa0c\x0bd", ["a\rb\xa0c\x0bd"]),
        ("a >/dev/null 2>&1 b", ["a", "b"]),
        ("X=a; X+=b; a $X", ["a", "ab"]),
        ("Y=X; X=v; a ${!Y}", ["a", "v"]),
        ('set -- p q; a $1 "$@" $#', ["a", "p", "p", "q", "2"]),
        ("a $1 ${2:-d}", ["a", "${1}", "d"]),
    ],
)  # fmt: skip
def test_the_words_of_a_command(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('if [ -z "$X" ]; then X=1; fi; a $X', "${X}"),
        ('if [ -z "${X:-}" ]; then X=1; else X=2; fi; a $X', "1"),
        ("X=2; if [ -f /etc/passwd ]; then X=1; fi; a $X", "${X}"),
        ("X=2; if [ -f /etc/passwd ]; then X=2; fi; a $X", "2"),
        ("X=2; if [ -f /etc/passwd ]; then X=3; exit 1; fi; a $X", "2"),
        ('M=0; X=1; if [ "$M" = 1 ]; then X=2; elif [[ $M == 0 ]]; then X=3; fi; a $X', "3"),
        ('X=1; [ -n "$X" ] && X=2; a $X', "2"),
        ("X=1; test -d /x && X=2; a $X", "${X}"),
        ("X=1; ! [ 1 -gt 2 ] && X=2; a $X", "2"),
        ("V=b; case $V in a) X=1;; b|c) X=2;; *) X=3;; esac; a $X", "2"),
        ("case $V in a) X=1;; *) X=1;; esac; a $X", "1"),
        ("case $V in a) X=1;; *) X=2;; esac; a $X", "${X}"),
        ("while [ $# -gt 0 ]; do case $1 in --port) X=$2; shift 2;; esac; done; a ${X:-8000}", "8000"),
        ("read -p name X; a $X", "${X}"),
        ("X=1; unset X; a ${X:-none}", "none"),
        ("X=1; (X=2); a $X", "2"),
        ("f() { local X=2; }; X=1; f; a $X", "1"),
    ],
)
def test_a_value_is_known_only_where_every_way_of_the_script_gives_it(text: str, expected: str) -> None:
    assert commands(text)[-1] == ["a", expected]


def test_a_variable_that_an_operator_gives_is_the_environment_of_the_script() -> None:
    assert words("PORT=${PORT:-8000}; a $PORT $MODEL", PORT="9", MODEL="m") == ["a", "9", "m"]
    assert words("PORT=8000; a $PORT", PORT="9") == ["a", "8000"]


def test_functions_are_read_where_they_are_called_and_loops_for_each_of_their_items() -> None:
    text = 'start() {\n  a "$1" $PORT "${2:-d}"\n}\nfor PORT in 1 2; do\n  start m$PORT\ndone\n'
    assert commands(text) == [["a", "m1", "1", "d"], ["a", "m2", "2", "d"]]
    assert commands("f() { a $1; }") == [["a", "${1}"]]
    assert commands("f() { f; f; }; f") == []


def test_what_another_shell_would_read_is_read_as_its_words() -> None:
    assert commands("sudo -E env A=1 nohup timeout 5 docker run x &") == [["docker", "run", "x"]]
    assert commands("bash -c 'docker run $X'")[0] == ["docker", "run", "${X}"]
    assert commands("ssh -p 22 host 'docker run x'")[0] == ["docker", "run", "x"]
    assert ["docker", "run", "-d", "x"] in commands("ID=$(docker run -d x)")
    (first, *_) = read("cat > start.sh <<EOF\ndocker run x\nEOF\n").commands[1:]
    assert [word.text for word in first.words] == ["docker", "run", "x"]
    assert (first.place.line, first.within) == (2, "a here-document")


def test_each_word_keeps_its_line_also_out_of_an_array() -> None:
    (command,) = read('A=(\n  --x\n)\na \\\n  b "${A[@]}"\n').commands
    assert [word.place.line for word in command.words] == [4, 5, 2]
    assert command.words[1].place.column == 3


def test_what_is_exported_is_the_environment_of_a_command() -> None:
    (command,) = read("export A=1\nB=2 C=3\nexport B\nD=4 a b\n").commands
    assert {name: word.text for name, word in command.environment} == {"A": "1", "B": "2", "D": "4"}


def test_a_file_that_a_script_includes_is_read_where_it_is_at_hand() -> None:
    material = Material("source ./config.env\n. other.sh\na $X\n", "run.sh", HOST, {"config.env": "X=1\r\n"})
    found = script.read(material)
    assert [word.text for word in found.commands[-1].words] == ["a", "1"]
    assert [word.text for word in found.unread] == ["other.sh"]


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a\nb 'c\nd", "a ' is opened and never closed", 2),
        ('a\nb "c\nd', 'a " is opened and never closed', 2),
        ("a\nb ${c", "a ${ is opened and never closed", 2),
        ("a\nb $(c", "a ( is opened and never closed", 2),
        ("a\nb `c", "a ` is opened and never closed", 2),
        ("a\nX=(b", "a ( is opened and never closed", 2),
        ("a\nif b; then c", "expected 'fi'", 2),
        ("a\nfi", "'fi' closes what nothing has opened", 2),
        ("a\n" + "( " * 100, "commands stand more than 40 deep", 2),
        ("a\nb " + '"$(' * 100, "quotes and substitutions stand more than 24 deep", 2),
    ],
)
def test_what_no_shell_would_read_is_told_with_its_place_and_what_stands_before_it_is_kept(
    text: str, message: str, line: int
) -> None:
    found = read(text)
    assert (found.errors[0].message, found.errors[0].place.line) == (message, line)
    assert found.commands[0].words[0].text == "a"


def test_variables_that_double_one_another_end() -> None:
    text = "X=aaaaaaaaaaaaaaaa\n" + "X=$X$X\n" * 60 + "a $X\n"
    assert "make more than is read" in read(text).errors[0].message
    nested = "for a in 1 2 3 4 5 6 7 8; do " * 8 + "b; " + "done; " * 8
    assert "make more than is read" in read(nested).errors[0].message


TRAPS = (
    "echo $(touch {0}/a)",
    "echo `touch {0}/b`",
    "eval 'touch {0}/c'",
    "X=$(touch {0}/d); docker run $X",
    "docker run x bash -c 'touch {0}/e'",
    "touch {0}/f",
    "exec touch {0}/g",
    "trap 'touch {0}/h' EXIT",
    "alias docker='touch {0}/i'; docker run x",
    "docker() {{ touch {0}/j; }}; docker run x",
    "source <(touch {0}/k)",
    "cat <<EOF | sh\ntouch {0}/l\nEOF",
    "echo ${{X:=$(touch {0}/m)}} $(( $(touch {0}/n) + 1 ))",
    "echo x > {0}/o",
)


def test_nothing_of_a_script_is_run(tmp_path: Path) -> None:
    text = "\n".join(TRAPS).format(tmp_path)
    read(text)
    for one in TRAPS:
        read(one.format(tmp_path))
    assert list(tmp_path.iterdir()) == []


PIECES = st.lists(
    st.sampled_from(
        [
            *"'\"\\$`(){}[];&|<>#=~* \n\tab1",
            "$(",
            "${",
            "X=",
            "<<E\n",
            "if ",
            "fi",
            "do",
            "\\\n",
            "X",
            "$X",
            "\r",
            "\xa0",
        ]
    ),
    max_size=40,
)


@given(PIECES)
def test_any_text_is_read_or_told_to_be_none(pieces: list[str]) -> None:
    found = read("".join(pieces))
    assert all(one.place.line >= 1 for one in found.errors)


TRICKY = [
    "a\\ b", "'a'\"b\"c", '"a\\\\b"', "'a\\b'", "a''b", '"$X y"', "$X", '"${X:-z}"', "${Q:-z}", "${Q-}",
    "${X%e}", "${X#v}", "${X##*a}", "${X%%a*}", "${X/a/b}", "${X//l/LL}", "${X^^}", "${X:1}", "${X:1:2}", "${#X}",
    '"${A[@]}"', "${A[@]}", '"${A[*]}"', "${A[1]}", "${#A[@]}", 'p"${A[@]}"s', "$'a\\tb'", "$((N+1))", '"$((N * 2))"',
    "a#b", "\\#c", '"\\n"', "\\\nz", '"a\\\nb"', "${X:+w}", "${Q:+w}", "{a", "a}", "--x=$X", "'{\"k\": 1}'",
    '"{\\"k\\": \\"$X\\"}"', "~x", "a~", "b 2>&1", "2 >&1 b2",
    "'2'>&1", '"${A[*]@Q}"', '"${X@Q}"', "$", '"$"', "a$", "$N$N", '"$N"$N', "$S", '"$S"', "x$S", "${S}y",
]  # fmt: skip
SETTING = "X=value; N=7; S='  one two  '; A=(first 'second third' ''); "


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash to compare with")
def test_the_words_are_those_of_bash() -> None:
    text = SETTING + "\n".join(f"printf '%s\\0' @{number} {one}" for number, one in enumerate(TRICKY)) + "\n"
    said = subprocess.run(["bash", "-c", text], check=True, capture_output=True, env={"HOME": "~"}).stdout
    ours = [word.text for one in read(text).commands for word in one.words[2:]]
    assert ours == said.decode().split("\0")[:-1]
