"""Services to export, made of nothing but values; and readers of what was written, each as its tool reads."""

from __future__ import annotations

import codecs
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode
from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet, ServedModel
from sparkctl.vllm.kinds import ServerKind
from sparkctl.world.spec import ContainerSpec, GpuRequest, Port

if TYPE_CHECKING:
    from collections.abc import Sequence

ODD = (
    "$HOME",
    "${X}",
    "$$",
    "$(id)",
    "%h",
    "%%",
    "a b",
    "'",
    '"',
    "\\",
    "#x",
    "yes",
    "0x1f",
    "12:30",
    "~",
    "",
    "- a: b",
)
"""Words that one of the tools takes for something else where they are not written for it."""
IMAGE = "vllm/vllm-openai:v0.29.0"


def spec(name: str = "one", port: int = 8001, **changes: Any) -> ContainerSpec:  # noqa: ANN401  (any field)
    """Return a container that serves a model."""
    plain = ContainerSpec(
        image=IMAGE,
        name=name,
        command=("--model", "owner/model", "--served-model-name", name),
        ports=(Port(8000, port, "127.0.0.1"),),
        gpus=GpuRequest(-1),
    )
    return replace(plain, **changes)


def service(name: str = "one", port: int = 8001, **changes: Any) -> ExportedService:  # noqa: ANN401  (any field)
    """Return a service; fields of its container are given as such."""
    own = {key: changes.pop(key) for key in list(changes) if key in ExportedService.__slots__}
    plain = ExportedService(
        name=name,
        recipe=name,
        spec=spec(name, port, **changes),
        model=ServedModel("owner/model", None, "owner/model", 8192, "a model"),
        served_names=(name,),
        url=f"http://127.0.0.1:{port}",
        inside="http://127.0.0.1:8000",
        kind=ServerKind.GENERATE,
        secrets=(),
        mods=(),
        ready_s=600.0,
        claim_bytes=2**30,
    )
    return replace(plain, **own)


def odd(texts: list[str], **changes: Any) -> ExportedService:  # noqa: ANN401  (any field)
    """Return a service with these texts in all places where an operator writes some."""
    env = tuple((f"V{number}", text) for number, text in enumerate(texts))
    labels = tuple((f"l{number}", text) for number, text in enumerate(texts))
    return service(command=("--model", "m", *texts), env=env, labels=labels, **changes)


def declared(name: str, start: StartMode = StartMode.ALWAYS, **changes: Any) -> DeclaredService:  # noqa: ANN401
    """Return what a stack says of a service."""
    plain = DeclaredService(name, start, 0, keep=False, after=(), idle_s=None, stays_s=60, restarts=AGAIN)
    return replace(plain, **changes)


AGAIN = Restarts(10, 300, 3, 1800)


def together(*services: ExportedService, folder: str = "") -> ExportedSet:
    """Return services that are exported together."""
    return ExportedSet("box", "sparkctl export box --as it", services, folder=folder)


def read_yaml(text: str) -> Any:  # noqa: ANN401  (whatever YAML says)
    """Return a document as YAML 1.1 reads it, which takes more texts for something else than 1.2."""
    return yaml.safe_load(text)


def as_compose(value: Any) -> Any:  # noqa: ANN401
    """Return a value as compose reads it: ``$$`` is a dollar, and any other one begins a variable."""
    if isinstance(value, dict):
        return {key: as_compose(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_compose(one) for one in value]
    if isinstance(value, str):
        assert "$" not in value.replace("$$", ""), value
        return value.replace("$$", "$")
    return value


def as_systemd(line: str) -> list[str]:
    """Return the words of a line as systemd reads those of a command (systemd.syntax(7), systemd.service(5))."""
    found = []
    for match in re.finditer(r'"((?:[^"\\]|\\.)*)"|(\S+)', line):
        quoted, plain = match.groups()
        word = (
            plain if quoted is None else codecs.decode(quoted.encode("latin-1", "backslashreplace"), "unicode_escape")
        )
        assert "%" not in word.replace("%%", ""), word
        assert "$" not in word.replace("$$", ""), word
        found.append(word.replace("%%", "%").replace("$$", "$"))
    return found


def entries(text: str) -> dict[str, list[str]]:
    """Return the entries of a unit by their keys, continued lines joined."""
    found: dict[str, list[str]] = {}
    for line in re.sub(r" \\\n +", " ", text).splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def as_llama_swap(command: str) -> list[str]:
    """Return the words of a command as llama-swap reads it: line by line, and as POSIX quotes."""
    assert "${" not in command
    lines = [line.removesuffix("\\") + " " for line in command.split("\n") if not line.lstrip().startswith("#")]
    return shlex.split("".join(lines))


def as_kubernetes(texts: Sequence[str]) -> list[str]:
    """Return texts as Kubernetes expands them: ``$$`` is a dollar, and ``$(`` would begin a variable."""
    assert all("$(" not in text.replace("$$", "") for text in texts)
    return [text.replace("$$", "$") for text in texts]
