"""The shell texts of a file: a script is one, a document has one in each of its blocks of code."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.shell.script import ShellText, cleaned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.recipes.exchange.material import Material

_DOCUMENTS: Final = frozenset({".md", ".markdown", ".mdx", ".rst"})
_SCRIPTS: Final = frozenset({"", ".sh", ".bash", ".zsh", ".txt", ".command", ".example", ".env", ".in"})
_NO_SCRIPTS: Final = frozenset({"makefile", "dockerfile", "containerfile", "justfile", "license"})
_FENCE: Final = re.compile(r"^([ \t>]*)(`{3,}|~{3,})[ \t]*([\w.+-]*)[^\n`]*$")
_SHELLS: Final = frozenset({"", "bash", "sh", "shell", "console", "zsh", "shell-session", "text", "terminal", "code"})
_PROMPT: Final = re.compile(r"^[ \t]*(?:[\w.@:~/-]*\$|>) +(?=\S)")
_PASTED: Final = re.compile(r"\s*[\w.@:~/-]*\$ (?=\S)")
_SHEBANG: Final = re.compile(r"#![^\n]*\b(?:bash|sh|zsh|dash)\b")
_MOST_INDENTED: Final = 40


def may_be_shell(material: Material) -> bool:
    """Return whether a file's name is one of a script or of a document."""
    name = posixpath.basename(material.file).lower()
    suffix = posixpath.splitext(name)[1]
    if name.partition(".")[0] in _NO_SCRIPTS:
        return False
    return suffix in _SCRIPTS | _DOCUMENTS or _SHEBANG.match(material.text) is not None or name in {"-", "<stdin>"}


def shell_texts(material: Material) -> Iterator[ShellText]:
    """Yield the shell texts of a file."""
    if not is_document(material):
        script = cleaned(material.text)
        pasted = _PASTED.match(script) is not None
        lines = [_PROMPT.sub("", line) if pasted else line for line in script.split("\n")]
        yield ShellText("\n".join(lines), 1)
        return
    for language, text in blocks(material):
        if language in _SHELLS:
            yield text


def is_document(material: Material) -> bool:
    """Return whether a file is a document, whose code stands in blocks."""
    return posixpath.splitext(material.file.lower())[1] in _DOCUMENTS


def blocks(material: Material) -> Iterator[tuple[str, ShellText]]:
    """Yield the blocks of code of a document, each with the language that it is said to be of."""
    inside: list[str] | None = None
    closing, indent, first, language = "", "", 0, ""
    for number, line in enumerate(cleaned(material.text).split("\n"), start=1):
        fence = _FENCE.match(line)
        if inside is None and fence is not None:
            indent, closing, inside, first, language = fence[1], fence[2], [], number + 1, fence[3].lower()
        elif inside is not None and line.strip(" \t>").startswith(closing) and not line.strip(" \t>").strip(closing[0]):
            yield language, ShellText("\n".join(inside) + "\n", first)
            inside = None
        elif inside is not None:
            bare = line.removeprefix(indent) if len(indent) < _MOST_INDENTED else line.lstrip()
            inside.append(_PROMPT.sub("", bare))
    if inside:
        yield language, ShellText("\n".join(inside) + "\n", first)
