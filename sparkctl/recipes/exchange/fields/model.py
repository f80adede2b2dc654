"""The model of a server: a repository, a folder of the host that is mounted, or a folder of the hub's cache."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.recipes import values
from sparkctl.recipes.exchange.fields.draft import SourceItem
from sparkctl.recipes.exchange.fields.made import Accounted
from sparkctl.recipes.exchange.fields.mounts import folder_behind, place_mounts
from sparkctl.recipes.exchange.fields.options import given_by, without_value
from sparkctl.recipes.exchange.material import as_written, unknowns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.recipes.exchange.fields.draft import Draft
    from sparkctl.recipes.exchange.fields.flag_fields import GivenFlag, Serving
    from sparkctl.recipes.exchange.fields.options import Setup
    from sparkctl.recipes.exchange.launch import Word

_CACHED: Final = re.compile(r"models--([^/]+?)--([^/]+)(?:/snapshots/([^/]+))?")
_HUB: Final = re.compile(r"(.+)/hub/models--")
_NO_MODEL: Final = "no model"


def place_draft(draft: Draft, setup: Setup) -> None:
    """Name a draft that is a folder of the container by what is mounted there."""
    given = draft.values.get(("speculative",))
    model = given.get("model") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(model, str) or not model.startswith("/"):
        return
    for mount, item in setup.mounts:
        folder = folder_behind(mount, model)
        if folder is None:
            continue
        cached = _CACHED.search(folder)
        name = f"{cached[1]}/{cached[2]}" if cached else folder.rstrip("/").rpartition("/")[2]
        if not values.is_repository(name):
            return
        found = {**given, "model": name, **({} if cached else {"path": folder})}
        draft.values["speculative",] = found
        draft.comments["speculative",] = "the draft's repository is guessed from the name of its folder"
        if not cached:
            draft.note(_guess("speculative.model", name, folder))
        if mount.target.rstrip("/") == model.rstrip("/"):
            setup.mounts.remove((mount, item))
            draft.accounts.append(Accounted(item.place, item.text, ("speculative", "path")))
        return


def place_model(draft: Draft, setup: Setup, serving: Serving, words: Sequence[Word], *, bare: bool) -> None:
    """Put the model and the mounts into their keys; ``bare``: without a container, so its folder is the host's own."""
    flag, word = serving.late.get("model"), serving.model
    if word is not None:
        text, item = word.text, SourceItem(word.place, as_written(word.text))
        if flag is not None:
            draft.explain(flag.item, "the model is named by its position, too")
    elif flag is not None:
        text, item = str(flag.raw), flag.item
    else:
        draft.refuse(_NO_MODEL, "the server's command names no model", words[0].place if words else None)
        return
    missing = unknowns(text)
    if missing:
        told = f"the model: {without_value(missing)}; it takes {given_by(missing)}"
        draft.refuse("a value is missing", told, item.place)
        return
    revision = serving.late.get("revision")
    path = text if text.startswith(("/", "~", ".")) else None
    folder = place_mounts(draft, setup, path)
    if path is None:
        _repository(draft, text, item, revision)
    elif (cached := _CACHED.search(path) or _CACHED.search(folder or "")) is not None:
        _snapshot(draft, cached, item, revision)
    else:
        _folder(draft, path, folder if folder is not None or not bare else path, item, revision)


def _repository(draft: Draft, text: str, item: SourceItem, revision: GivenFlag | None) -> None:
    if not values.is_repository(text):
        draft.refuse(_NO_MODEL, f"{text!r} is neither a repository nor a folder", item.place)
        return
    draft.put(("model", "repo"), text, item)
    if revision is not None:
        draft.put(("model", "revision"), str(revision.raw), revision.item)


def _snapshot(draft: Draft, cached: re.Match[str], item: SourceItem, revision: GivenFlag | None) -> None:
    why = "the folder is one of the hub's cache, which the recipe mounts"
    place = draft.values.pop(("model", "path"), None)
    draft.values.pop(("model", "mount"), None)
    if place is not None and ("cache",) not in draft.values and (hub := _HUB.match(str(place))) is not None:
        draft.put(("cache",), hub[1])
        draft.accounts = [
            one._replace(path=("cache",)) if one.path == ("model", "path") else one for one in draft.accounts
        ]
    draft.put(("model", "repo"), f"{cached[1]}/{cached[2]}", item, why)
    if cached[3]:
        draft.put(("model", "revision"), cached[3])
    if revision is not None:
        draft.explain(revision.item, "a folder has no revision")


def _folder(draft: Draft, path: str, host: str | None, item: SourceItem, revision: GivenFlag | None) -> None:
    repo = (host or path).rstrip("/").rpartition("/")[2]
    if not values.is_repository(repo):
        draft.refuse(_NO_MODEL, f"the folder {host or path} does not say which model is in it", item.place)
        return
    if host is None:
        draft.refuse(_NO_MODEL, f"nothing of this host is mounted where the model is: {path}", item.place)
        return
    if not host.startswith(("/", "~")):
        draft.refuse(_NO_MODEL, f"the folder {path} depends on where the command is run", item.place)
        return
    draft.put(("model", "repo"), repo, item, "guessed from the name of its folder, which is what counts")
    draft.note(_guess("model.repo", repo, host))
    draft.put(("model", "path"), host)
    if revision is not None:
        draft.explain(revision.item, "a folder has no revision")


def _guess(key: str, name: str, folder: str) -> str:
    told = f"{key}: {name} is a guess, from the name of the folder {folder}"
    return f"{told}: where that is not here, the hub is asked for it"
