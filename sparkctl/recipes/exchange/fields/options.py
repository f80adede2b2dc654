"""The options of ``docker run``: which of them are keys of a recipe, and why the others are not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base import shown
from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.fields.draft import SourceItem
from sparkctl.recipes.exchange.material import as_written, shown_name, unknowns
from sparkctl.world.docker_run import grammar
from sparkctl.world.labels import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.recipes.exchange.fields.draft import Draft
    from sparkctl.recipes.exchange.launch import Word
    from sparkctl.world.docker_run.grammar import Given
    from sparkctl.world.spec import Mount, Port

HOME: Final = "/~"
"""Stands for the operator's home while docker's grammar, which knows no ``~``, reads a path."""
_AT_HOME: Final = re.compile(r"^~(?=/|:|$)|(?<=source=)~(?=/)|(?<=src=)~(?=/)")
_RESTARTS: Final = frozenset({"no", "on-failure", "always", "unless-stopped"})
_ARM: Final = frozenset({"linux/arm64", "linux/arm64/v8"})
_SECRET_NAME: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
ALLOWABLE: Final = {
    "capabilities": "it may do what only root of the host may",
    "devices": "it reaches devices of the host",
    "docker-socket": "whoever gets in can start any container, as root of the host",
    "privileged": "whoever gets in is root of the host",
}
"""Options that give a container power over its host: a recipe has one only if the operator allows it by this name."""
_EXPLAINED: Final = {
    "name": "the container is called like the service",
    "detach": "sparkctl starts every server in the background",
    "interactive": "a server needs no keyboard; `sparkctl logs` follows its log",
    "tty": "a server needs no terminal; `sparkctl logs` follows its log",
    "rm": "`sparkctl down` removes the container",
    "quiet": "it says how docker shows the pull",
    "sig-proxy": "it is for a container in the foreground",
}
_LEFT: Final = {
    "pull": ("sparkctl pulls an image that is not here, and no other", "pull it: docker pull"),
    "label": ("a recipe has no labels of its own", None),
    "memory": ("sparkctl counts what a server takes, and admits it or not", None),
    "memory-swap": ("sparkctl counts what a server takes, and admits it or not", None),
    "health-cmd": ("sparkctl asks the server itself whether it is healthy", None),
    "no-healthcheck": ("sparkctl asks the server itself whether it is healthy", None),
    "log-driver": ("the log is the engine's own", "set it for the engine, in its daemon.json"),
    "log-opt": ("the log is the engine's own", "set it for the engine, in its daemon.json"),
    "pid": ("processes of the host would be the container's too", "a template of your own"),
    "env-file": ("its variables are not read", "put them into env, and the names of secrets into secrets"),
    "stop-timeout": ("sparkctl has its own time for a stop", None),
}
OF_EACH_HOST: Final = frozenset({
    "VLLM_HOST_IP", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "NCCL_IB_HCA",
})  # fmt: skip
"""Variables whose values differ between the hosts of a group: if one has no value here, it is not missed."""
_NO_KEY: Final = ("a recipe has no key for it", "a template of your own")


@dataclass(slots=True)
class Setup:
    """The options that can only be placed when the whole launch is known."""

    ports: list[tuple[Port, SourceItem]] = field(default_factory=list)
    mounts: list[tuple[Mount, SourceItem]] = field(default_factory=list)
    env: dict[str, tuple[str | None, SourceItem]] = field(default_factory=dict)
    entrypoint: tuple[str, SourceItem] | None = None
    on_host: bool = False
    gpus: bool = False


def read_options(draft: Draft, words: Sequence[Word]) -> Setup:
    """Read the words between ``run`` and the image; what cannot be read stays over."""
    setup = Setup()
    texts = [word.text for word in words]
    try:
        given, end = grammar.divided(["docker", "run", *texts, "image"])
    except InputError as error:
        draft.refuse("docker option", error.message, words[0].place if words else None)
        return setup
    if end != len(texts) + 2:
        draft.refuse("docker option", "an option without its value", words[-1].place if words else None)
        return setup
    for option in given:
        item = SourceItem(words[option.start - 2].place, shown_option(option))
        _read(draft, setup, option, item)
    return setup


def shown_option(given: Given) -> str:
    """Return an option as it may be shown: a secret's value is left out."""
    text = as_written(given.text)
    name, equals, value = text.partition("=")
    if given.name == "env" and equals and (is_secret(name) or has_secret(value)):
        return f"--env {name}"
    return f"--{given.name}" if text == "true" else shown.Boundary().hidden(f"--{given.name} {text}")


def is_secret(name: str) -> bool:
    """Return whether the value of a variable is a secret that must not be in a file."""
    return shown.looks_secret(name) or (shown.sounds_secret(name) and shown.may_be_secret(name) and "PATH" not in name)


def has_secret(value: str) -> bool:
    """Return whether a value has the form of a secret: a token of the hub, a password in an address, a named key."""
    return shown.Boundary().hidden(value) != value


def _read(draft: Draft, setup: Setup, option: Given, item: SourceItem) -> None:
    if option.name == "env":
        name, equals, value = option.text.partition("=")
        variable(draft, setup, name, value if equals else None, item)
        return
    missing = unknowns(option.text)
    if missing and option.name != "name":
        draft.leave(item, without_value(missing), given_by(missing))
        return
    if option.name == "label" and option.text.startswith(PREFIX):
        draft.explain(item, "sparkctl writes its own labels")
        return
    if option.name in _EXPLAINED:
        draft.explain(item, _EXPLAINED[option.name])
        return
    try:
        fields = grammar.fields_of([option._replace(text=_AT_HOME.sub(HOME, option.text))])
    except InputError as error:
        why, needs = _LEFT.get(option.name, (error.message, error.hint))
        draft.leave(item, why, needs)
        return
    reader = _READERS.get(option.name)
    if reader is not None:
        reader(draft, setup, next(iter(fields.values()), None), item)
    else:
        draft.leave(item, *_LEFT.get(option.name, _NO_KEY))


def without_value(missing: Sequence[str]) -> str:
    """Return why a word with unknown values cannot be used."""
    return f"{shown_name(missing[0])} has no value here"


def given_by(missing: Sequence[str]) -> str:
    """Return how an operator can supply unknown values."""
    if missing[0].startswith("$"):
        return "its result in its place, since nothing of a source is run"
    return f"--var {missing[0]}=VALUE"


def variable(draft: Draft, setup: Setup, name: str, value: str | None, item: SourceItem) -> None:
    """Take a variable: a secret by its name, another with its value."""
    secret = is_secret(name) or (value is not None and has_secret(value))
    if secret and _SECRET_NAME.fullmatch(name):
        names = draft.values.setdefault(("secrets",), [])
        if isinstance(names, list) and name not in names:
            names.append(name)
        draft.put(("secrets",), names, item)
    elif secret:
        draft.leave(item, "a secret's name is written in capitals", f"secrets: [{name.upper()}]")
    elif value is None:
        draft.leave(item, "it comes from the caller's environment, which a recipe does not read", f"--var {name}=VALUE")
    elif (missing := unknowns(value)) and name not in OF_EACH_HOST:
        draft.leave(item, without_value(missing), given_by(missing))
    else:
        setup.env[name] = (value, item)


# --- one option each -------------------------------------------------------------------------------------------------


def _container(key: str) -> Callable[[Draft, Setup, Any, SourceItem], None]:
    def read(draft: Draft, _: Setup, value: Any, item: SourceItem) -> None:  # noqa: ANN401  (as the grammar reads it)
        draft.put(("container", key), value, item)

    return read


def _restart(draft: Draft, _: Setup, value: str, item: SourceItem) -> None:
    policy, _colon, count = value.partition(":")
    if not policy:  # "no", as the grammar has it
        draft.explain(item, "it is docker's default")
    elif policy in _RESTARTS:
        draft.put(("container", "restart"), policy, item)
    if count:
        draft.leave(item, "a recipe does not bound how often the engine restarts", None)


def _gpus(draft: Draft, setup: Setup, value: Any, item: SourceItem) -> None:  # noqa: ANN401
    setup.gpus = True
    chosen = ",".join(value.device_ids) if value.device_ids else "all"
    if value.count == 0 and not value.device_ids:
        chosen = "none"
    if value.count > 1 or not is_first(chosen):
        chosen = "all"
        draft.note(f"{item.text}: a Spark has one GPU, and the recipe takes it")
    draft.put(("gpus",), chosen, item)


def is_first(chosen: str) -> bool:
    """Return whether docker or CUDA finds the chosen GPU on a host with one GPU."""
    return chosen in {"", "0", "all", "none", "void"}


def _device(draft: Draft, setup: Setup, value: list[Any], item: SourceItem) -> None:
    one = value[0]
    if isinstance(one, str):
        setup.gpus = True
        draft.put(("gpus",), f"cdi:{one}", item)
        return
    if one.host_path.startswith("/dev/nvidia"):
        draft.explain(item, "the GPU's devices come with gpus")
        return
    inside = "" if one.container_path == one.host_path else f":{one.container_path}"
    permissions = "" if one.permissions == "rwm" else f":{one.permissions}"
    if allowed(draft, "devices", item):
        _append(draft, ("container", "devices"), f"{one.host_path}{inside}{permissions}", item)


def allowed(draft: Draft, what: str, item: SourceItem) -> bool:
    """Return whether the operator allows it; otherwise it is a leftover, with the word that would allow it."""
    if what in draft.choices.allow:
        draft.note(f"{item.text}: {ALLOWABLE[what]}; it is there because --allow {what} says so")
        return True
    draft.leave(item, ALLOWABLE[what], f"--allow {what}")
    return False


def _append(draft: Draft, path: tuple[str, ...], value: object, item: SourceItem) -> None:
    before = draft.values.get(path)
    kept = [*before, value] if isinstance(before, list) and value not in before else before or [value]
    draft.put(path, kept, item)


def _privileged(draft: Draft, _: Setup, value: bool, item: SourceItem) -> None:
    if not value:
        draft.explain(item, "it is docker's default")
    elif allowed(draft, "privileged", item):
        draft.put(("container", "privileged"), True, item)


def _capabilities(draft: Draft, _: Setup, value: list[str], item: SourceItem) -> None:
    if allowed(draft, "capabilities", item):
        for one in value:
            _append(draft, ("container", "capabilities"), one.removeprefix("CAP_"), item)


def _ulimits(draft: Draft, _: Setup, value: list[Any], item: SourceItem) -> None:
    for one in value:
        limit = one.soft if one.soft == one.hard else f"{one.soft}:{one.hard}"
        draft.put(("container", "ulimits", one.name), limit, item)


def _shm_size(draft: Draft, _: Setup, value: int, item: SourceItem) -> None:
    draft.put(("container", "shm-size"), size(value), item)


def size(count: int) -> str | int:
    """Return bytes as a recipe writes them."""
    for unit, one in (("GiB", 1024**3), ("MiB", 1024**2)):
        if count and count % one == 0:
            return f"{count // one} {unit}"
    return count


def _network(draft: Draft, setup: Setup, value: str, item: SourceItem) -> None:
    setup.on_host = value == "host"
    if value in {"bridge", "default"}:
        draft.explain(item, "it is docker's default")
    else:
        draft.put(("container", "network"), value, item)


def _platform(draft: Draft, _: Setup, value: str, item: SourceItem) -> None:
    if value in _ARM:
        draft.explain(item, "a Spark is that")
    else:
        draft.leave(item, f"a Spark is linux/arm64, and not {value}", None)


def _pull(draft: Draft, _: Setup, value: str, item: SourceItem) -> None:
    if value == "missing":
        draft.explain(item, "sparkctl does so")
    else:
        draft.leave(item, *_LEFT["pull"])


def _user(draft: Draft, _: Setup, value: str, item: SourceItem) -> None:
    draft.put(("container", "user"), value, item)


def _published(_: Draft, setup: Setup, value: list[Any], item: SourceItem) -> None:
    setup.ports += [(port, item) for port in value]


def _mounted(_: Draft, setup: Setup, value: list[Any], item: SourceItem) -> None:
    setup.mounts += [(mount, item) for mount in value]


def _entrypoint(_: Draft, setup: Setup, value: str, item: SourceItem) -> None:
    setup.entrypoint = (value, item)


_READERS: Final[dict[str, Callable[[Draft, Setup, Any, SourceItem], None]]] = {
    "cap-add": _capabilities,
    "device": _device,
    "entrypoint": _entrypoint,
    "gpus": _gpus,
    "init": _container("init"),
    "ipc": _container("ipc"),
    "mount": _mounted,
    "network": _network,
    "oom-score-adj": _container("oom-score-adj"),
    "platform": _platform,
    "privileged": _privileged,
    "publish": _published,
    "pull": _pull,
    "restart": _restart,
    "runtime": _container("runtime"),
    "shm-size": _shm_size,
    "ulimit": _ulimits,
    "user": _user,
    "volume": _mounted,
}
