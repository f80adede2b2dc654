"""The flags of vLLM: a field of the recipe if one means the same, else ``args``; and what one Spark cannot do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base import shown
from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.recipes import values
from sparkctl.recipes.exchange.fields.draft import SourceItem
from sparkctl.recipes.exchange.fields.options import given_by, has_secret, without_value
from sparkctl.recipes.exchange.fields.ranks import OF_RANKS
from sparkctl.recipes.exchange.material import as_written, unknowns
from sparkctl.vllm.command import words as serve_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from packaging.version import Version

    from sparkctl.recipes.exchange.fields.draft import Draft
    from sparkctl.recipes.exchange.launch import Word

_ALIASES: Final = {
    "device-memory-utilization": "gpu-memory-utilization",
    "spec-method": "speculative-config.method",
    "spec-model": "speculative-config.model",
    "spec-tokens": "speculative-config.num_speculative_tokens",
}
_BACKENDS: Final = {"moe-backend": "moe", "linear-backend": "linear", "attention-backend": "attention"}
_LIMITS: Final = {"max-num-seqs": "sequences", "max-num-batched-tokens": "batched-tokens"}
_FRACTION: Final = re.compile(r"[0-9]{0,3}\.?[0-9]{1,9}")
_ITEMS: Final = re.compile(r"(\w+)=(\d{1,9})(?:,|$)")
_MOST_SHOWN: Final = 200


class GivenFlag(NamedTuple):
    """A flag of the source: its value as a recipe would write it, and as it was read."""

    name: str
    value: Any
    raw: bool | str | tuple[str, ...]
    item: SourceItem


class Serving(NamedTuple):
    """What can only be placed when the whole launch is known: the model's word, and flags by their name."""

    model: Word | None
    late: Mapping[str, GivenFlag]


_LATE: Final = frozenset({*OF_RANKS, "host", "max-model-len", "model", "port", "revision", "served-model-name"})


def read_flags(draft: Draft, words: Sequence[Word], version: Version) -> Serving:
    """Put a server's flags into fields and ``args``."""
    texts = [word.text for word in words]
    read = serve_words.read(texts, version)
    given: dict[str, GivenFlag] = {}
    for flag in read.flags:
        item = SourceItem(words[flag.start].place, _shown(flag.name, texts[flag.start : flag.end]))
        if texts[flag.start].startswith("-") and f"-{flag.name}" == texts[flag.start].partition("=")[0]:
            draft.leave(item, "vLLM has no such short flag", None)
            continue
        one = GivenFlag(
            _ALIASES.get(flag.name, flag.name), serve_words.plain_value(flag.name, flag.value), flag.value, item
        )
        before = given.pop(one.name, None)
        if before is not None:
            draft.explain(before.item, f"it is given again in line {item.place.line}, and the last counts")
        given[one.name] = one
    model, *others = (words[at] for at in read.positional) if read.positional else (None,)
    for other in others:
        if other is not None:
            text = shown.Boundary().hidden(as_written(other.text))[:_MOST_SHOWN]
            draft.leave(SourceItem(other.place, text), "vLLM takes one model, and this word belongs to no flag", None)
    late: dict[str, GivenFlag] = {}
    for one in list(given.values()):
        if one.name in _LATE:
            late[one.name] = one
        else:
            _place(draft, one)
    return Serving(model, late)


def _shown(name: str, texts: Sequence[str]) -> str:
    """Return a flag as it may be shown, as the source writes it."""
    if name in values.SECRET_FLAGS or shown.looks_secret(name):
        return texts[0].partition("=")[0]
    return shown.Boundary().hidden(as_written(" ".join(texts)))[:_MOST_SHOWN]


def _place(draft: Draft, one: GivenFlag) -> None:
    head, _, path = one.name.partition(".")
    text = " ".join(one.raw) if isinstance(one.raw, tuple) else str(one.raw)
    missing = unknowns(text)
    if head in values.SECRET_FLAGS:
        _secret(draft, head, one)
    elif has_secret(text):
        draft.leave(one.item, "there is a secret in it, and a recipe has none", "a variable of vLLM's, under secrets")
    elif missing:
        draft.leave(one.item, without_value(missing), given_by(missing))
    elif head == "speculative-config":
        _draft_key(draft, path, one)
    elif head == "limit-mm-per-prompt":
        _multimodal(draft, path, one)
    else:
        _FIELDS.get(head, _argument)(draft, one)


def _secret(draft: Draft, head: str, one: GivenFlag) -> None:
    name = values.SECRET_FLAGS[head]
    before = draft.values.get(("secrets",), [])
    names = [*before, name] if isinstance(before, list) and name not in before else before
    draft.put(("secrets",), names, one.item)


def _utilization(draft: Draft, one: GivenFlag) -> None:
    if ("memory", "kv") in draft.values:
        draft.explain(one.item, "kv-cache-memory-bytes decides, and vLLM then takes no fraction")
    elif _FRACTION.fullmatch(str(one.raw)) and 0 < float(str(one.raw)) <= 1:
        draft.put(("memory", "utilization"), float(str(one.raw)), one.item)
    else:
        _unusable(draft, one, "a number above 0 and at most 1")


def _kv(draft: Draft, one: GivenFlag) -> None:
    if not _is_count(one.value):
        _unusable(draft, one, "a number of bytes")
        return
    if draft.values.pop(("memory", "utilization"), None) is not None:
        why = "kv-cache-memory-bytes decides, and vLLM then takes no fraction"
        draft.accounts = [
            account._replace(path=None, why=why) if account.path == ("memory", "utilization") else account
            for account in draft.accounts
        ]
    draft.put(("memory", "kv"), one.value, one.item)


def _limit(draft: Draft, one: GivenFlag) -> None:
    if _is_count(one.value):
        draft.put(("limits", _LIMITS[one.name]), one.value, one.item)
    else:
        _unusable(draft, one, "a whole number above 0")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _backend(draft: Draft, one: GivenFlag) -> None:
    if isinstance(one.value, str) and one.value:
        draft.put(("backend", _BACKENDS[one.name]), one.value, one.item)
    else:
        _unusable(draft, one, "the name of a backend")


def _config(draft: Draft, one: GivenFlag) -> None:
    draft.leave(one.item, "the flags in its file are not read", "write them behind the command")


def _unusable(draft: Draft, one: GivenFlag, expected: str) -> None:
    draft.leave(one.item, f"expected {expected}, as vLLM does", None)


def _multimodal(draft: Draft, path: str, one: GivenFlag) -> None:
    limits: object = one.value
    for key in reversed(path.split(".")) if path else ():
        limits = {key: limits}
    if isinstance(limits, str):
        found = _ITEMS.findall(limits)
        limits = {name: int(count) for name, count in found} if _ITEMS.sub("", limits) == "" else limits
    before = draft.values.get(("limits", "multimodal"))
    if isinstance(limits, dict) and all(map(_is_limit, limits.values())):
        merged = dict(before) if isinstance(before, dict) else {}
        for name, limit in limits.items():
            known = merged.get(name)
            merged[name] = {**known, **limit} if isinstance(known, dict) and isinstance(limit, dict) else limit
        draft.put(("limits", "multimodal"), merged, one.item)
    else:
        draft.leave(one.item, "limits.multimodal takes a whole number, or a map of sizes, for each input", None)


def _is_limit(value: object) -> bool:
    """Return whether a recipe may set this limit for an input: a count, or a count and sizes."""
    if isinstance(value, dict):
        try:
            return all(type(number) is int for number in value.values()) and bool(values.items(value))
        except ValueError:
            return False
    return type(value) is int and value >= 0


def _draft_key(draft: Draft, path: str, one: GivenFlag) -> None:
    """Gather the keys of ``--speculative-config``, whole or dotted."""
    given: object = one.value
    if path:
        for key in reversed(path.split(".")):
            given = {key: given}
    elif isinstance(given, str):
        try:
            given = read_json(given)
        except UnreadableError as error:
            draft.leave(one.item, f"expected JSON, found {error.message}", None)
            return
    if not isinstance(given, dict):
        draft.leave(one.item, "expected a map of JSON", None)
        return
    before = draft.values.get(("speculative",), {})
    draft.put(("speculative",), {**before, **given} if isinstance(before, dict) else given, one.item)


def check_speculative(draft: Draft) -> None:
    """Check the collected drafting keys: if no recipe can express them, they stay as a leftover as a whole."""
    given = draft.values.get(("speculative",))
    if not isinstance(given, dict):
        return
    model, tokens = given.get("model"), given.get("num_speculative_tokens")
    problem = None
    if type(tokens) is not int or tokens < 1:
        problem = "it does not say num_speculative_tokens, and the draft's own number is not known here"
    elif isinstance(model, str) and not values.is_repository(model):
        problem = f"the draft {model} is a folder of the container"
    elif any("-" in key for key in given):
        problem = "vLLM's own keys have underscores"
    elif not all(isinstance(given.get(key), str | None) for key in ("method", "model")):
        problem = "its method and its model are texts"
    else:
        found = values.speculative(given.get("method"), model, None, given)
        problem = found[0].message if found else None
    if problem is None:
        return
    del draft.values["speculative",]
    accounts = [account for account in draft.accounts if account.path == ("speculative",)]
    draft.accounts = [account for account in draft.accounts if account.path != ("speculative",)]
    for account in accounts:
        draft.leave(
            SourceItem(account.place, account.text), problem, "speculative: with method, model and their number"
        )


def _texts(value: object) -> list[str]:
    """Return every text in a flag's value, without the keys of its maps."""
    if isinstance(value, dict | list):
        return [text for one in (value.values() if isinstance(value, dict) else value) for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def _argument(draft: Draft, one: GivenFlag) -> None:
    if any(map(has_secret, _texts(one.value))):
        hidden = one.item._replace(text=f"--{one.name}")
        draft.leave(hidden, "its value looks like a secret, which no file and no command line may hold", None)
        return
    try:
        values.argument(one.name)
    except ValueError as error:
        draft.leave(one.item, str(error) or "it is no flag's name", None)
        return
    draft.put(("args", one.name), one.value, one.item)


_FIELDS: Final[dict[str, Callable[[Draft, GivenFlag], None]]] = {
    "attention-backend": _backend,
    "config": _config,
    "gpu-memory-utilization": _utilization,
    "kv-cache-memory-bytes": _kv,
    "linear-backend": _backend,
    "max-num-batched-tokens": _limit,
    "max-num-seqs": _limit,
    "moe-backend": _backend,
}
