"""A launch as a recipe: the one way from the contents of another tool's file to the keys of a recipe."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from packaging.version import InvalidVersion

from sparkctl.base import shown
from sparkctl.recipes import values
from sparkctl.recipes.exchange.fields.draft import Draft, SourceItem
from sparkctl.recipes.exchange.fields.env import place_env
from sparkctl.recipes.exchange.fields.flag_fields import Serving, check_speculative, read_flags
from sparkctl.recipes.exchange.fields.made import Choices, Made
from sparkctl.recipes.exchange.fields.model import place_draft, place_model
from sparkctl.recipes.exchange.fields.open import write_out
from sparkctl.recipes.exchange.fields.options import given_by, read_options, without_value
from sparkctl.recipes.exchange.fields.ranks import OF_RANKS, place_ranks
from sparkctl.recipes.exchange.fields.server import server_of
from sparkctl.recipes.exchange.material import unknowns
from sparkctl.vllm import flags

if TYPE_CHECKING:
    from packaging.version import Version

    from sparkctl.recipes.exchange.fields.flag_fields import GivenFlag
    from sparkctl.recipes.exchange.fields.options import Setup
    from sparkctl.recipes.exchange.launch import Launch, Word

BARE: Final = "vllm serve"
"""The form of a server without a container."""
_TAG: Final = re.compile(r"(?:^|[-_])v?(0\.\d+(?:\.\d+)?(?:(?:rc|\.post|\.dev)\d+)*)")
_NOTHING: Final = Choices()
_DEFAULT_PORT: Final = 8000


def recipe_of(launch: Launch, choices: Choices = _NOTHING) -> Made:
    """Return the recipe of a launch, with an account of each of its words; never raises."""
    draft = Draft(choices)
    draft.leftovers += launch.leftovers
    draft.notes += launch.notes
    draft.refused = launch.refused
    if draft.refused is None:
        _read(draft, launch)
    return draft.made(choices.name or launch.name or named_after(draft.values.get(("model", "repo"))))


def named_after(repo: object) -> str:
    """Return the name of a recipe for a model if its source has none."""
    last = str(repo or "").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9_.-]+", "-", last).strip("-._") or "imported"


def _without_secrets(value: object) -> object:
    """Return a value of a file without the texts that have the form of a secret, or the name of one."""
    if isinstance(value, str):
        return shown.Boundary().hidden(value)
    if isinstance(value, dict):
        found = {key: one for key, one in value.items() if not (isinstance(one, str) and shown.looks_secret(str(key)))}
        return {key: _without_secrets(one) for key, one in found.items()}
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value


def _read(draft: Draft, launch: Launch) -> None:
    for key, value in launch.keys.items():
        kept = _without_secrets(value)
        draft.put((key,), kept)
        if kept != value:
            draft.note(f"{key}: what looks like a secret in it is left out")
    _image(draft, launch.image)
    version = _version(draft, launch)
    setup = read_options(draft, launch.options)
    server = server_of(draft, setup, launch.image, launch.command) if draft.refused is None else None
    if server is None or draft.refused is not None:
        return
    draft.put(("template",), server.template)
    serving = read_flags(draft, server.words, version)
    place_ranks(draft, {name: one for name, one in serving.late.items() if name in OF_RANKS}, launch.nodes)
    place_draft(draft, setup)
    check_speculative(draft)
    place_model(draft, setup, serving, server.words, bare=launch.form == BARE)
    _names(draft, serving)
    _address(draft, setup, serving, launch)
    place_env(draft, setup)
    _context(draft, serving)
    write_out(draft, version)
    if launch.mods:
        draft.put(("mods",), [word.text for word in launch.mods])
    if not setup.gpus and launch.form != BARE and draft.values.get(("gpus",)) is None:
        why = "the source asks for no GPU with --gpus: sparkctl gives it the Spark's one"
        draft.put(("gpus",), "all", comment=why)


def _image(draft: Draft, image: Word | None) -> None:
    if image is None:
        if draft.choices.image:
            draft.put(("image",), draft.choices.image, comment="the source names none: --image")
        else:
            draft.put(("extends",), "_hub", comment="the source names no image: that of a model by its hub name")
            draft.note("the source names no image: it is that of a model by its hub name; --image takes another one")
        return
    missing = unknowns(image.text)
    if missing:
        draft.refuse(
            "a value is missing", f"the image: {without_value(missing)}; it takes {given_by(missing)}", image.place
        )
        return
    item = SourceItem(image.place, image.text)
    try:
        values.image(image.text)
    except ValueError:
        draft.refuse("no image", f"{image.text!r} is no image", image.place)
        return
    draft.put(("image",), image.text, item)


def _version(draft: Draft, launch: Launch) -> Version:
    """Return the release whose flags the words have: the image's, else the newest that is known."""
    image = str(draft.values.get(("image",), ""))
    tagged = _TAG.search(image.rpartition("/")[2].partition("@")[0].partition(":")[2])
    written = launch.version or (tagged[1] if tagged else None)
    if launch.version is None and tagged is None and image:
        draft.put(("vllm",), flags.AUTO, comment="the image's tag does not say it: asked of the image")
    if launch.version is not None and tagged is None:
        draft.put(("vllm",), launch.version)
    try:
        return flags.known(written or flags.AUTO).version
    except InvalidVersion:
        draft.values.pop(("vllm",), None)
        return flags.releases()[-1]


def _names(draft: Draft, serving: Serving) -> None:
    flag, repo = serving.late.get("served-model-name"), draft.values.get(("model", "repo"))
    if flag is None:
        if isinstance(repo, str):
            why = "the source gives none: vLLM serves a model under its own name"
            draft.put(("serve", "name"), _served(serving, repo), comment=why)
        return
    names = [str(one) for one in (flag.raw if isinstance(flag.raw, tuple) else (flag.raw,))]
    missing = unknowns(" ".join(names))
    if missing:
        draft.leave(flag.item, without_value(missing), given_by(missing))
        return
    names = list(dict.fromkeys(name for one in names for name in one.split()))
    if names:
        draft.put(("serve", "name"), names[0], flag.item)
    if names[1:]:
        draft.put(("serve", "aliases"), names[1:])


def _served(serving: Serving, repo: str) -> str:
    flag = serving.late.get("model")
    text = serving.model.text if serving.model is not None else str(flag.value if flag else repo)
    return text if text.startswith("/") else repo


def _address(draft: Draft, setup: Setup, serving: Serving, launch: Launch) -> None:
    host, port = serving.late.get("host"), serving.late.get("port")
    number = _port(draft, port)
    if setup.on_host or launch.form == BARE:
        draft.put(("serve", "port"), number, port.item if port else None, "" if port else "vLLM's own default")
        _bind(draft, _ip(draft, host) or "0.0.0.0", host.item if host else None)  # noqa: S104  (as the source has it)
        for _, item in setup.ports:
            draft.explain(item, "on the host's network docker publishes nothing")
        return
    if host is not None:
        draft.explain(host.item, "in its container the server listens at every address, and docker publishes one")
    if port is not None and number == _DEFAULT_PORT:
        draft.explain(port.item, "it is the default")
    elif port is not None:
        draft.put(("serve", "container-port"), number, port.item)
    _published(draft, setup, number)


def _published(draft: Draft, setup: Setup, number: int) -> None:
    """Place the ports that docker publishes; ``number`` is the server's own."""
    of_server = [pair for pair in setup.ports if pair[0].container_port == number and pair[0].protocol == "tcp"][:1]
    for pair in setup.ports:
        if pair not in of_server:
            draft.leave(pair[1], "a service has one port", None)
    if not of_server:
        draft.note("the source publishes no port of the server: its port follows from the recipe's name")
        return
    one, item = of_server[0]
    if one.host_port is not None:
        draft.put(("serve", "port"), one.host_port, item)
    _bind(draft, one.host_ip or "0.0.0.0", item)  # noqa: S104  (as docker has it)


def _bind(draft: Draft, address: str, item: SourceItem | None) -> None:
    if ipaddress.ip_address(address).is_loopback:
        draft.put(("serve", "bind"), address, item)
        return
    why = "as in the source: it answers everybody who reaches this host"
    draft.put(("serve", "bind"), address, item, why)


def _port(draft: Draft, port: GivenFlag | None) -> int:
    if port is None:
        return _DEFAULT_PORT
    most = 65535
    if isinstance(port.value, int) and 0 < port.value <= most:
        return port.value
    missing = unknowns(str(port.raw))
    draft.leave(
        port.item, without_value(missing) if missing else "it is no port", given_by(missing) if missing else None
    )
    return _DEFAULT_PORT


def _ip(draft: Draft, host: GivenFlag | None) -> str | None:
    text = str(host.raw) if host else ""
    if text == "localhost":
        return "127.0.0.1"
    try:
        return values.address(text) if text else None
    except ValueError:
        if host is not None:
            draft.note(f"{host.item.text}: it is no address, so that the server answers at every one")
        return None


def _context(draft: Draft, serving: Serving) -> None:
    flag = serving.late.get("max-model-len")
    if flag is None:
        return
    if isinstance(flag.value, int) and not isinstance(flag.value, bool) and flag.value > 0:
        draft.put(("limits", "context"), flag.value, flag.item)
    elif str(flag.raw) in {"auto", "-1"}:
        draft.explain(flag.item, "sparkctl takes the longest context of the model that fits, as vLLM does")
    else:
        missing = unknowns(str(flag.raw))
        told = without_value(missing) if missing else "it is no number of tokens"
        draft.leave(flag.item, told, given_by(missing) if missing else None)
