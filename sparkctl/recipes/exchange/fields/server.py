"""Finds a container's words for the server: behind its entrypoint, in a ``bash -c``, or from the image alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.fields.draft import SourceItem
from sparkctl.recipes.exchange.fields.options import Setup, variable
from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.material import Material, as_written
from sparkctl.recipes.exchange.shell import script
from sparkctl.recipes.exchange.shell.wrappers import BEFORE, base_name, shell_text, unwrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.fields.draft import Draft

SERVER_MODULE: Final = "vllm.entrypoints.openai.api_server"
_OPENAI: Final = re.compile(r"(?:^|/)vllm-openai[\w.-]*(?:$|[:@])")
_PYTHON: Final = re.compile(r"python(?:3(?:\.\d+)?)?")
_SHELL: Final = re.compile(r"(?:.*/)?(?:bash|sh|zsh|dash)")
_MODEL: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*|/\S+", re.ASCII)
_HARMLESS: Final = frozenset(
    {"echo", "printf", "sleep", "cd", "set", "true", ":", "date", "ulimit", "nvidia-smi", "trap"}
)
_MOST_SHOWN: Final = 120


class ServerWords(NamedTuple):
    """A server's words: ``template`` starts it, ``words`` follow ``vllm serve``."""

    template: str
    words: tuple[Word, ...]


def serving(words: Sequence[Word]) -> tuple[Word, ...] | None:
    """Return what follows ``vllm serve`` or its module in a command; None where it is another command."""
    texts = [word.text for word in words]
    if not texts:
        return None
    name = base_name(texts[0])
    if name == "vllm" and texts[1:2] == ["serve"]:
        return tuple(words[2:])
    if name in {"uv", "poetry", "pixi"} and "vllm" in texts[1:]:
        return serving(words[texts.index("vllm") :])
    if not _PYTHON.fullmatch(name):
        return None
    if SERVER_MODULE in texts and texts[texts.index(SERVER_MODULE) - 1] == "-m":
        return tuple(words[texts.index(SERVER_MODULE) + 1 :])
    script_at = next((at for at, text in enumerate(texts) if at and not text.startswith("-")), 0)
    return serving(words[script_at:]) if script_at and base_name(texts[script_at]) == "vllm" else None


def server_of(draft: Draft, setup: Setup, image: Word | None, command: Sequence[Word]) -> ServerWords | None:
    """Return the server's words, None if the container starts none; other commands of its shell become leftovers."""
    words = [*_entry(setup), *command]
    overridden = setup.entrypoint is not None
    unwrapped_words = _without_shell(draft, setup, words)
    if unwrapped_words is None:
        return None
    found = serving(unwrapped_words)
    if found is not None:
        _say_entrypoint(draft, setup)
        return ServerWords("vllm-serve", found)
    texts = [word.text for word in unwrapped_words]
    of_vllm = image is not None and _OPENAI.search(image.text) is not None
    if not overridden and texts[:1] == ["serve"]:
        draft.put(("container", "entrypoint"), "", comment="the image's own is vllm, whose command this names whole")
        return ServerWords("vllm-serve", tuple(unwrapped_words[1:]))
    flags_alone = bool(texts) and (texts[0].startswith("--") or (of_vllm and _MODEL.fullmatch(texts[0]) is not None))
    looks_served = of_vllm or any(text.split("=")[0] in {"--model", "--served-model-name"} for text in texts)
    if not overridden and flags_alone and looks_served:
        return ServerWords("vllm-openai", tuple(unwrapped_words))
    _refuse(draft, image, texts)
    return None


def _entry(setup: Setup) -> list[Word]:
    if setup.entrypoint is None or not setup.entrypoint[0]:
        return []
    text, item = setup.entrypoint
    return [Word(text, item.place)]


def _say_entrypoint(draft: Draft, setup: Setup) -> None:
    if setup.entrypoint is not None:
        draft.put(("container", "entrypoint"), "", setup.entrypoint[1])


def _refuse(draft: Draft, image: Word | None, texts: Sequence[str]) -> None:
    shown = as_written(" ".join(texts[:3]))[:_MOST_SHOWN]
    named = as_written(image.text) if image is not None else "no image"
    told = f"{named} with {shown!r}" if shown else f"{named} by itself"
    reason = "starts by its image alone" if not texts else "no vLLM server"
    draft.refuse(reason, f"{told} is no command of a vLLM server", image.place if image else None)


def _without_shell(draft: Draft, setup: Setup, words: Sequence[Word]) -> tuple[Word, ...] | None:
    """Return the one server that a ``bash -c`` starts; the words themselves if there is no shell."""
    text = shell_text(words)
    if text is None:
        inner = unwrapped(words)
        for name, value in inner.environment:
            variable(draft, setup, name, value.text, SourceItem(value.place, f"{name}=…"))
        _leave_before(draft, inner.before)
        return inner.words
    return _of_shell(draft, setup, text)


def _of_shell(draft: Draft, setup: Setup, text: Word) -> tuple[Word, ...] | None:
    """Return the one server that a shell's text starts; the container's variables, but secrets, have their values."""
    known = {name: value for name, (value, _) in setup.env.items() if value is not None}
    material = Material(text.text, text.place.file, {"HOME": "~", **known})
    read = script.read(material, [script.ShellText(text.text, text.place.line)])
    if read.errors:
        draft.refuse("unreadable shell text", read.errors[0].message, read.errors[0].place)
        return None
    servers = [one for one in read.commands if serving(one.words) is not None]
    if len(servers) != 1:
        reason = "several servers in one container" if servers else "no vLLM server"
        draft.refuse(reason, f"its shell starts {len(servers)} servers of vLLM", text.place)
        return None
    for name, value in servers[0].environment:
        variable(draft, setup, name, value.text, SourceItem(value.place, f"export {name}"))
    _leave_before(draft, servers[0].before)
    for one in read.commands:
        if one is not servers[0]:
            _other(draft, one.words, one.place)
    for word in read.unread:
        draft.leave(SourceItem(word.place, f"source {as_written(word.text)}"), "the image's own file is not read", None)
    return servers[0].words


def _leave_before(draft: Draft, before: Sequence[Word]) -> None:
    for word in before:
        draft.leave(SourceItem(word.place, as_written(word.text)), BEFORE, "an image whose entrypoint does it")


def _other(draft: Draft, words: Sequence[Word], place: Place) -> None:
    """Account for a command that the shell runs beside the server."""
    text = as_written(" ".join(word.text for word in words))[:_MOST_SHOWN]
    item = SourceItem(place, text)
    name = base_name(words[0].text) if words else ""
    if name in _HARMLESS:
        draft.explain(item, "it changes nothing of the server")
    elif name in {"pip", "pip3", "uv", "apt", "apt-get"} or "pip" in text.split()[:4]:
        draft.leave(item, "it installs into the container at each start", "an image that has it, or a baked mod")
    else:
        draft.leave(
            item, "the server's shell runs it before or beside the server", "an image that has it, or a baked mod"
        )
