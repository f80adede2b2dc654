"""What may be shown: control characters as escapes, and no secrets.

It is the one boundary between sparkctl and whoever reads its output, its reports or the logs that it keeps. Known
values are hidden wherever they stand and however they are quoted; what only looks like a secret is hidden by its
form. A short value is hidden only as a word of its own, and not inside longer words: it would hide half of a log.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

from sparkctl.base.lazy import regex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN: Final = "(hidden)"
SHORTEST_WORD: Final = 4
"""From this length (characters) a value is hidden as a word; a shorter one only as a whole: ``NAME=abc``, ``"abc"``."""
SHORTEST_PIECE: Final = 8
"""From this length (characters) a value is hidden between other letters too. Both are choices: a shorter value is part
of usual words, which would be hidden in every message."""
BEGINNING: Final = 12
"""A piece of a long value is recognized by this many characters of its beginning: messages cut off what is long."""

_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | frozenset(
    map(chr, range(0xE0100, 0xE01F0))
)
"""Characters that count as letters or marks but are invisible (Default_Ignorable_Code_Point of Unicode)."""
_COLOURS: Final = regex(r"\x1b\[[\d;]*m")
_ESCAPE: Final = regex(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?")  # ECMA-48: CSI, OSC, others
_CONTROL: Final = regex(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SAYS_NOTHING: Final = regex(r"(?i:true|false|none|null|auto)")
_PLAIN: Final = regex(r"(?i:true|false|yes|no|on|off|none|null|auto)|[\d.]{1,5}")
"""Values that are never secrets, whatever their key is: hiding them would hide words of every message."""


def is_plain(value: str) -> bool:
    """Return whether a value is a switch or a small number, which is never a secret, whatever its key is."""
    return _PLAIN.fullmatch(value) is not None


def visible(text: str) -> str:
    r"""Return a text in which every invisible character is written as an escape; line ends and tabs stay.

    Invisible are control and format characters (bidirectional ones among them), odd spaces, lone surrogates (bytes of
    the command line that are no UTF-8, shown as ``\xff``), and letters that are blank.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in "\n\t" or _is_seen(one) else _escaped(one) for one in text)


def one_line(text: str) -> str:
    r"""Return a text as ``visible`` does, line ends as ``\n`` and tabs as a space."""
    return visible(text).replace("\n", "\\n").replace("\t", " ")


def without_colours(text: str) -> str:
    """Return a text without the colours (SGR) that vLLM's log has if it is written for a terminal."""
    return _COLOURS.sub("", text)


def plain(line: str) -> str:
    """Return a line of another program's output without the codes that move a terminal's cursor or colour the text."""
    return _CONTROL.sub("", _ESCAPE.sub("", line))


def unseen(text: str) -> list[str]:
    """Return the invisible characters of a text, each once, as U+202E; a line end counts as visible."""
    return [f"U+{ord(one):04X}" for one in dict.fromkeys(text) if one != "\n" and not _is_seen(one)]


def json_text(value: object, *, indent: int | None = None, ascii_only: bool = False) -> str:
    r"""Return a value as JSON in which invisible characters are written as escapes, such as ``\u202e``."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    # Invisible characters stand between quotes: outside of them json writes spaces and line ends alone.
    return "".join(one if one == "\n" or _is_seen(one) else _utf16(one) for one in text)


def _utf16(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _is_seen(character: str) -> bool:
    return character.isprintable() and character not in _BLANK


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004  (PEP 383: a byte that is no UTF-8)
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


# --- what looks like a secret ----------------------------------------------------------------------------------------

_WORDS: Final = frozenset({"SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS"})
_MAYBE: Final = frozenset({"AUTH", "AUTHORIZATION", "PASS", "PAT", "SIGNATURE", "SIG", "KEY", "TOKEN"})
_OF_LIBRARIES: Final = regex(
    r"(?:VLLM|CUDA|CUBLAS|CUDNN|NCCL|NVIDIA|TORCH|TORCHINDUCTOR|PYTORCH|TRITON|FLASHINFER|OMP|MKL|UCX|GLOO|RAY|HF|"
    r"TRANSFORMERS|TOKENIZERS|PYTHON|LD|NVTE|CUTE|CUTLASS)(?:_\w*)?"
)


def looks_secret(name: str) -> bool:
    """Return whether a variable of this name holds a secret: HF_TOKEN does, TOKENIZERS_PARALLELISM does not."""
    words = _words(name)
    if _WORDS.intersection(words) or words[-1] in {"TOKEN", "APIKEY"}:
        return True
    return words[-2:] in (["API", "KEY"], ["ACCESS", "KEY"], ["PRIVATE", "KEY"])


def may_be_secret(name: str) -> bool:
    """Return whether a variable's value must not be shown: all but known libraries' names that sound like no secret."""
    return sounds_secret(name) or not _OF_LIBRARIES.fullmatch(name)


def sounds_secret(name: str) -> bool:
    """Return whether a name has a word of secrets in it, MY_AUTH and SSH_KEY among them."""
    return looks_secret(name) or not _MAYBE.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    return name.upper().replace("-", "_").replace(".", "_").split("_")


_QUOTED: Final = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
_VALUE: Final = rf"""(?:{_QUOTED}|[^\s,;'"{{}}\[\]()]+)"""
_NAME: Final = r"[A-Za-z][A-Za-z0-9_.-]*"
_TOKEN: Final = regex(
    r"\b(?:hf_(?:(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{8,}|[a-z]{16,})|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
    r"|glpat-[\w-]{16,}|nvapi-[\w-]{16,}|xox[a-z]-[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}"
    r"|(?<!-)eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
    r"|(?<=Bearer )(?!token\b)[^\s'\"]{4,}|(?<=Authorization: Basic )[A-Za-z0-9+/]{4,}=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
"""Tokens of the hub, OpenAI, GitHub, GitLab, NVIDIA, Slack, AWS and Google; JWT; HTTP's headers; keys in PEM."""
_FLAG: Final = regex(
    rf"(?P<head>--(?P<name>(?:[a-z0-9]+[-_])*(?:api[-_]key|token|password|secret|passphrase))"
    rf"(?:['\"]?\s*,\s*|['\"]?:?[ \t]+|=))(?P<value>{_VALUE})"
)
_ASSIGNED: Final = regex(rf"(?<![\w.-])(?P<head>(?P<name>{_NAME})=)(?P<value>{_QUOTED}|[^\s'\"]+)")
_ASSIGNED_IN_QUOTES: Final = regex(rf"(?<=')(?P<head>(?:[\w.-]+:)?(?P<name>{_NAME})=)(?P<value>[^'\n]+)")
_QUOTED_KEY: Final = regex(
    rf"(?P<head>(?P<quote>['\"])(?P<name>{_NAME})(?P=quote)\s*:\s*)(?P<value>{_VALUE}|\[[^\]\n]*\])"
)
_KEY_OF_YAML: Final = regex(rf"(?<![\w.-])['\"]?(?P<name>{_NAME})['\"]?\s*:\s+")
_VALUE_OF_YAML: Final = regex(rf"\[[^\]\n]*\]?|\{{[^}}\n]*\}}?|{_QUOTED}|[^,}}\n]+")
_SECRETS_OF_YAML: Final = regex(r"((?<![\w.-])secrets['\"]?\s*:)(.*)")
_NO_NAME: Final = regex(r"(?<![\w.-])(?![A-Z_][A-Z0-9_]*(?![\w.-]))[\w.+/=-]+")
_ADDRESS: Final = regex(
    # With a password everything up to the last @ goes: people write the / and @ of a password as they are.
    r"(?P<head>\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)(?!\[)"
    r"(?:[^\s/?#@:'\"]{0,300}:(?!\d*(?:[/?#\s'\"]|$))[^\s'\"]{0,1000}@|(?<!ssh://)[^\s/?#'\"]{0,300}@)"
)
_QUERY: Final = regex(
    r"(?P<head>[?&;](?:[\w-]*(?:token|key|sig|signature|password|passwd|secret|credential|auth|policy)|key-pair-id)=)"
    r"(?P<value>[^&;\s'\"#]+)",
    re.IGNORECASE,
)


def _without_forms(text: str) -> str:
    """Return a text without the parts that have the form of a secret."""
    text = _ADDRESS.sub(rf"\g<head>{HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<head>{HIDDEN}", text)
    text = _FLAG.sub(_unless_plain, text)
    text = _ASSIGNED_IN_QUOTES.sub(_if_secret, text)
    text = _ASSIGNED.sub(_if_secret, text)
    text = _QUOTED_KEY.sub(_if_secret, text)
    return _TOKEN.sub(HIDDEN, text)


def _if_secret(match: re.Match[str]) -> str:
    name = match["name"]
    base, dot, variable = name.rpartition(".")
    of_env = dot and base.rpartition(".")[2].rpartition(":")[2] == "env"
    return _unless_plain(match) if (may_be_secret(variable) if of_env else _is_hidden(name)) else match[0]


def _is_hidden(name: str) -> bool:
    """Return whether a value assigned to this name is hidden: if it sounds secret; if not in capitals, looks so."""
    return sounds_secret(name) if name.isupper() else looks_secret(name)


def _unless_plain(match: re.Match[str]) -> str:
    value = match["value"].strip("'\"")
    if is_plain(value) or HIDDEN in value or value.startswith(("$", "<", "…")):
        return match[0]
    return match["head"] + HIDDEN


_ENDS_A_VALUE: Final = ("", " ", "\t", "\n", ",", "}", "]")


def yaml_line(text: str) -> str:
    """Return a line of a recipe or another file without the values of keys that look like a secret's.

    Entries under ``secrets:`` are names of secrets; an entry that is no valid name may be the secret itself.
    """
    kept, position = [], 0
    for key in _KEY_OF_YAML.finditer(text):
        value = _VALUE_OF_YAML.match(text, key.end())
        if key.start() >= position and sounds_secret(key["name"]) and value and not is_plain(value[0]):
            kept += [text[position : key.end()], HIDDEN]
            # After a quote that ends nothing, the rest still belongs to the value: 'o'clock'.
            position = value.end() if text[value.end() : value.end() + 1] in _ENDS_A_VALUE else len(text)
    text = "".join([*kept, text[position:]])
    return _SECRETS_OF_YAML.sub(lambda match: match[1] + _names_alone(match[2]), text)


def _names_alone(text: str) -> str:
    code, mark, comment = text.partition(" #")
    return _NO_NAME.sub(HIDDEN, code.replace(HIDDEN, "\0")).replace("\0", HIDDEN) + mark + comment


# --- values that are known -------------------------------------------------------------------------------------------


class Boundary:
    """Hides secrets: the values that it was told, and everything that looks like a secret."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._spelled: dict[str, list[str]] = {}
        self._whole: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.know(values)

    def know(self, values: Iterable[str]) -> None:
        """Hide these values from now on, as they are and as they are quoted in messages, JSON, shells and URLs."""
        for value in values:
            for spelled in _spellings(value):
                known = self._spelled.setdefault(spelled[:BEGINNING], [])
                if spelled not in known:
                    known.append(spelled)
                if len(spelled) < SHORTEST_WORD:
                    self._whole.add(spelled)
        longest = sorted(self._spelled, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_where_it_stands, longest))) if longest else None

    def hidden(self, text: str) -> str:
        """Return a text without secrets; every other character stays."""
        return _without_forms(self._without_known(text))

    def text(self, text: str) -> str:
        """Return a text as it may be shown; its lines stay lines."""
        return visible(self.hidden(text))

    def line(self, text: str) -> str:
        """Return a text as it may be shown in one line: a cell of a table, a moment of a start."""
        return one_line(self.hidden(text))

    def value(self, value: Any) -> Any:  # noqa: ANN401  (whatever JSON holds)
        """Return a JSON value without secrets: neither secrets in its texts, nor values whose key names a secret."""
        if isinstance(value, str):
            return HIDDEN if value in self._whole else self.hidden(value)
        if isinstance(value, dict):
            return {self._key(key): self._named(key, one) for key, one in value.items()}
        return [self.value(one) for one in value] if isinstance(value, list | tuple | set | frozenset) else value

    def _key(self, key: Any) -> Any:  # noqa: ANN401
        return self.hidden(key) if isinstance(key, str) else key

    def _named(self, key: object, value: object) -> object:
        secret = isinstance(key, str) and key.isupper() and looks_secret(key) and isinstance(value, str)
        return HIDDEN if secret else self.value(value)

    def _without_known(self, text: str) -> str:
        """Return a text without the known values, and without pieces that are the beginning of one."""
        if self._pattern is None:
            return text
        kept, position = [], 0
        while match := self._pattern.search(text, position):
            start = match.start()
            length = max(_common(text, start, spelled) for spelled in self._spelled[match[0]])
            kept += [text[position:start], HIDDEN]
            position = start + length
        return "".join([*kept, text[position:]])


def _spellings(value: str) -> Iterator[str]:
    """Yield the forms in which a value is written: as it is, and quoted; for a value of several lines, each line."""
    for one in {value, value.strip(), *(line.strip() for line in value.splitlines())}:
        if not one or _SAYS_NOTHING.fullmatch(one) or one in HIDDEN:
            continue
        as_json = (json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1])
        safe = one.encode(errors="surrogateescape")
        quoted = (repr(one)[1:-1], ascii(one)[1:-1], shlex.quote(one).strip("'"), quote(safe), quote_plus(safe))
        as_yaml = ("".join(map(_in_yaml, one)), one.replace("'", "''"))
        yield from {one, visible(one), one_line(one), *as_json, *as_yaml, *quoted, quote(safe, safe="")}


_NAMED_IN_YAML: Final = dict(
    zip(
        '"\\\0\a\b\t\n\v\f\r\x1b\x85\xa0\u2028\u2029', '"\\0abtnvfreN_LP', strict=True
    )  # YAML 1.2, 5.7 escaped characters
)


def _in_yaml(character: str) -> str:
    """Return a character as PyYAML writes it between double quotes (emitter.py, write_double_quoted)."""
    code = ord(character)
    if character in _NAMED_IN_YAML:
        return f"\\{_NAMED_IN_YAML[character]}"
    if 0x20 <= code < 0x7F:  # noqa: PLR2004  (printable ASCII)
        return character
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"  # noqa: PLR2004


_AFTER_ESCAPE: Final = r"(?<=\\[a-z])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4})|(?<=%[0-9A-Fa-f]{2})"
"""Where a letter before a word is the end of an escape, of JSON, of Python or of a URL."""


def _where_it_stands(beginning: str) -> str:
    """Return the pattern that finds a value by its beginning: between any letters, as a word, or as a whole value."""
    text = re.escape(beginning)
    if len(beginning) >= SHORTEST_PIECE:
        return text
    after = r"(?!\w)" if re.match(r"\w", beginning[-1]) else ""
    if len(beginning) < SHORTEST_WORD:
        return rf"(?<=[=\"'`]){text}(?![^\s\"'`,;&)}}\]])"
    before = rf"(?:(?<!\w)|{_AFTER_ESCAPE})" if re.match(r"\w", beginning[0]) else ""
    return f"{before}{text}{after}"


def _common(text: str, start: int, value: str) -> int:
    """Return how many of a value's first characters stand in a text from ``start`` on."""
    length = min(BEGINNING, len(value))
    while length < len(value) and text[start + length : start + length + 1] == value[length]:
        length += 1
    return length
