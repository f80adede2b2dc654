"""The source's words beside the words that the recipe renders, and why they differ, word by word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import InvalidVersion

from sparkctl.base.errors import InputError, Place
from sparkctl.recipes.exchange.fields.options import shown_option
from sparkctl.recipes.exchange.fields.server import serving
from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.host_side.caches import MODELS, MODELS_OF_USERS
from sparkctl.vllm import flags
from sparkctl.vllm.command import words as serve_words
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.recipes.exchange.fields.made import Accounted, Made, Path

_SEPARATORS: Final = re.compile(r"[:,= ]")
_NOWHERE: Final = Place("the command", 0, 0)


class WordDifference(NamedTuple):
    """A word of the source (None: only the rendered command has it), the rendered word for it, and why they differ.

    ``why`` is "" if both say the same.
    """

    source: str | None
    place: Place | None
    rendered: str | None
    why: str


class _RenderedWord(NamedTuple):
    name: str
    text: str


_FLAG_OF: Final = {
    ("backend", "attention"): "attention-backend",
    ("backend", "linear"): "linear-backend",
    ("backend", "moe"): "moe-backend",
    ("limits", "batched-tokens"): "max-num-batched-tokens",
    ("limits", "context"): "max-model-len",
    ("limits", "multimodal"): "limit-mm-per-prompt",
    ("limits", "sequences"): "max-num-seqs",
    ("memory", "kv"): "kv-cache-memory-bytes",
    ("memory", "utilization"): "gpu-memory-utilization",
    ("model", "revision"): "revision",
    ("serve", "name"): "served-model-name",
    ("speculative",): "speculative-config",
}
_OPTION_OF: Final = {
    ("cache",): "mount",
    ("container", "capabilities"): "cap-add",
    ("container", "devices"): "device",
    ("container", "mounts"): "mount",
    ("container", "ulimits"): "ulimit",
    ("gpus",): "gpus",
    ("mods",): "mount",
    ("model", "path"): "mount",
    ("secrets",): "env-file",
    ("serve", "bind"): "publish",
    ("serve", "container-port"): "port",
    ("serve", "port"): "publish",
    ("speculative", "path"): "mount",
}
_ADDED: Final = {
    "api-server-count": "one process answers",
    "detach": "sparkctl starts every server in the background",
    "device": "the GPU, by the name that the recipe has for it",
    "env": "where the server keeps what it compiles",
    "env-file": "the values of secrets, from the operator's own file",
    "gpu-memory-utilization": "the service's own share, for vLLM takes its fraction of all memory",
    "gpus": "the Spark's GPU",
    "kv-cache-memory-bytes": "pinned, for vLLM's own sizing counts every other process of unified memory as its own",
    "label": "how sparkctl finds the service again",
    "max-model-len": "the longest context of the model that fits",
    "max-num-batched-tokens": "open in the source: what its vLLM takes",
    "max-num-seqs": "open in the source: what its vLLM takes",
    "model": "the model, as this template names it",
    "mount": "the cache of models, or files of mods",
    "name": "the service's name, so that every command names it alike",
    "oom-score-adj": "out of memory the least important service goes first",
    "port": "the server's port in the container",
    "publish": "where the service answers",
    "served-model-name": "open in the source: vLLM serves a model under its own name",
    "volume": "what the server compiles, kept for the next start of the same image",
}
_OR_NAMES: Final[dict[Path, str]] = {("serve", "bind"): "host", ("serve", "port"): "port"}
"""On the host's network the server's own flags set these."""
_UNRENDERED: Final = {("cache",): "said by cache, which nothing is read from: the model is a folder"}
_OF_DOCKER: Final = frozenset({"detach", "name"})
_CACHES: Final = (MODELS, MODELS_OF_USERS)
_OTHERWISE: Final = "a template or another field says it"


def differences(made: Made, words: Sequence[str]) -> list[WordDifference]:
    """Return a row for each word of the source, in its order, and one for each word that only the rendered command has.

    ``words`` are those that the recipe renders; without any, the rows are about the source alone.
    """
    rendered = _rendered(made, words)
    left = {(one.place, one.what): one for one in made.leftovers}
    used: set[_RenderedWord] = set()
    found: list[WordDifference] = []
    for account in made.accounts:
        stays = left.get((account.place, account.text))
        if account.path is not None:
            row, of = _kept(account, rendered)
            used.update(of)
        elif stays is not None:
            row = WordDifference(account.text, account.place, None, f"stays over: {stays.why}")
        else:
            same = [one for one in rendered if one.name in _OF_DOCKER and account.text.startswith(f"--{one.name}")]
            used.update(same)
            row = WordDifference(account.text, account.place, same[0].text if same else None, account.why or "")
        found.append(row)
    return [*found, *_added(made, [one for one in rendered if one not in used])]


def _added(made: Made, rendered: Sequence[_RenderedWord]) -> Iterator[WordDifference]:
    """Yield what only the rendered command has; the labels are one row."""
    labels = [one for one in rendered if one.name == "label"]
    for one in rendered:
        if one.name != "label":
            yield WordDifference(None, None, one.text, _why_added(made, one))
    if labels:
        yield WordDifference(None, None, f"--label … ({len(labels)} times)", _ADDED["label"])


def _kept(account: Accounted, rendered: Sequence[_RenderedWord]) -> tuple[WordDifference, list[_RenderedWord]]:
    path = account.path or ()
    names = {_name(path), _OR_NAMES.get(path)}
    of = [one for one in rendered if one.name in names and _is_of(account, path, one)]
    text = " ".join(one.text for one in of) or None
    if not rendered:
        return WordDifference(account.text, account.place, None, f"the recipe's {'.'.join(path)}"), []
    why = "" if text is not None and _plain(text) == _plain(account.text) else _said(path, text)
    return WordDifference(account.text, account.place, text, why), of


def _said(path: Path, text: str | None) -> str:
    key = ".".join(path)
    if text is None and path in _UNRENDERED:
        return _UNRENDERED[path]
    return f"said by {key}" if text is not None else f"said by {key}: {_OTHERWISE}"


def _plain(text: str) -> str:
    return text.replace("=", " ").replace("'", "").replace('"', "").replace(" ", "")


def _name(path: Path) -> str:
    if path[:1] == ("args",):
        return path[1].partition(".")[0]
    if path[:1] == ("env",):
        return "env"
    known = _FLAG_OF.get(path) or _OPTION_OF.get(path) or _OPTION_OF.get(path[:2])
    return known or (path[-1] if path else "")


def _is_of(account: Accounted, path: Path, one: _RenderedWord) -> bool:
    if path[:1] == ("env",):
        return one.text.startswith(f"--env {path[1]}=")
    if one.name != "mount":
        return True
    target = one.text.partition("target=")[2].partition(",")[0]
    if path == ("cache",):
        return target.startswith(_CACHES)
    return any(target.startswith(part) for part in _SEPARATORS.split(account.text) if part.startswith("/"))


def _why_added(made: Made, one: _RenderedWord) -> str:
    of_path = [comment for path, comment in made.comments.items() if _name(path) == one.name]
    return of_path[0] if of_path else _ADDED.get(one.name, "sparkctl's template has it")


def _rendered(made: Made, words: Sequence[str]) -> list[_RenderedWord]:
    if not words:
        return []
    try:
        given, end = grammar.divided(words)
    except InputError:
        return []
    found = [_RenderedWord(option.name, shown_option(option)) for option in given]
    found.append(_RenderedWord("image", words[end]))
    command = [Word(word, _NOWHERE) for word in words[end + 1 :]]
    server = serving(command)
    texts = [word.text for word in (command if server is None else server)]
    try:
        version = flags.known(str(made.keys.get("vllm", flags.AUTO))).version
    except InvalidVersion:
        version = flags.releases()[-1]
    read = serve_words.read(texts, version)
    found += [_RenderedWord("repo", texts[at]) for at in read.positional]
    return [*found, *_of_flags(read, texts)]


def _of_flags(read: serve_words.ServeWords, texts: Sequence[str]) -> Iterator[_RenderedWord]:
    for flag in read.flags:
        name = "repo" if flag.name == "model" else flag.name.partition(".")[0]
        yield _RenderedWord(name, " ".join(texts[flag.start : flag.end]))
