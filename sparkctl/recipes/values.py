"""What the single values of a recipe may be: each check returns the value, or raises FieldError with the fix."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from packaging.version import InvalidVersion, Version

from sparkctl.base.declarations import Finding, wrong
from sparkctl.base.lazy import regex
from sparkctl.base.shown import looks_secret
from sparkctl.vllm.flags import AUTO

if TYPE_CHECKING:
    from collections.abc import Mapping

OWNED_FLAGS: Final = {
    "attention-backend": "backend.attention",
    "device-memory-utilization": "memory.utilization",
    "gpu-memory-utilization": "memory.utilization",
    "host": "serve.bind",
    "kv-cache-memory-bytes": "memory.kv",
    "limit-mm-per-prompt": "limits.multimodal",
    "linear-backend": "backend.linear",
    "max-model-len": "limits.context",
    "max-num-batched-tokens": "limits.batched-tokens",
    "max-num-seqs": "limits.sequences",
    "model": "model.repo and model.path",
    "moe-backend": "backend.moe",
    "port": "serve.port",
    "revision": "model.revision",
    "served-model-name": "serve.name and serve.aliases",
    "spec-method": "speculative.method",
    "spec-model": "speculative.model",
    "spec-tokens": "speculative.num_speculative_tokens",
    "speculative-config": "speculative",
}
"""Flags that are no business of ``args``, and the field that says the same."""

SECRET_FLAGS: Final = {"api-key": "VLLM_API_KEY", "hf-token": "HF_TOKEN"}
"""Flags that would show a secret in every list of processes, and the variable that does not."""

# docs.docker.com/reference/cli/docker/image/tag: a host with a port, lower-case path components, a tag, a digest.
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE: Final = regex(
    rf"(?:[A-Za-z0-9.-]+(?::\d+)?/)?{_COMPONENT}(?:/{_COMPONENT})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?",
    re.ASCII,
)
_REPOSITORY: Final = regex(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)
_ARGUMENT: Final = regex(r"[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[A-Za-z0-9_+-]+)*")
_VARIABLE: Final = regex(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET: Final = regex(r"[A-Z_][A-Z0-9_]*")
_GPUS: Final = regex(r"all|none|cdi:[^\s,]+|[A-Za-z0-9-]+(?:,[A-Za-z0-9-]+)*")
_ULIMIT: Final = regex(r"-?\d+(?::-?\d+)?")
_DEVICE: Final = regex(r"/[^\s:]+(?::/[^\s:]+)?(?::[rwm]{1,3})?")
_CAPABILITY: Final = regex(r"(?:CAP_)?[A-Z][A-Z_]*")
_MODES: Final = {"", "ro", "rw"}
_SIZES_OF_ITEMS: Final = ("count", "num_frames", "width", "height", "length")
"""What ``--limit-mm-per-prompt`` says of an input (vLLM 0.32.0 config/multimodal.py, ``DummyOptions``)."""
_MOST_ITEMS: Final = 999
"""Its own count, where a map has none (the same place)."""
_ACCEPTANCE: Final = regex(r"overall|position-\d+")

_OWN_DRAFTS: Final = {"ngram", "ngram_gpu", "suffix"}
"""Methods that draft without a model (vLLM 0.32.0 config/speculative.py)."""
_OWN_HEADS: Final = {"mtp", "dspark", "extract_hidden_states"}
"""Methods that may find their layers in the served checkpoint (the same); so does every ``*_mtp``, which is mtp."""


def is_image(text: str) -> bool:
    """Return whether a text may be an image's name, as Docker has it."""
    return _IMAGE.fullmatch(text) is not None


def image(text: str) -> str:
    """Accept an image's name as Docker does."""
    if not is_image(text):
        raise wrong(f"expected an image such as vllm/vllm-openai:v0.20.2, found {text!r}")
    return text


def repository(text: str) -> str:
    """Accept the name of a repository on the Hugging Face hub."""
    if not _REPOSITORY.fullmatch(text):
        hint = "a folder of this host goes into `path`" if text.startswith(("/", "~", ".")) else None
        raise wrong(f"expected owner/name as on the Hugging Face hub, found {text!r}", hint)
    return text


def is_repository(text: str) -> bool:
    """Return whether a text may be the name of a repository."""
    return _REPOSITORY.fullmatch(text) is not None


def served_name(value: object) -> object:
    """Accept one name by which clients ask; several go into ``aliases``."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        more = f", aliases: [{', '.join(value[1:])}]" if value[1:] else ""
        raise wrong("expected one name, found a list of names", f"write name: {value[0]}{more}")
    if isinstance(value, str) and value != "".join(value.split()):
        first, *others = value.split() or [""]
        hint = f"write name: {first}, aliases: [{', '.join(others)}]" if others else "leave the spaces out"
        raise wrong(f"expected a name without spaces, found {value!r}", hint)
    return value


def container_path(text: str) -> str:
    """Accept an absolute path."""
    if not text.startswith("/"):
        raise wrong(f"expected an absolute path in the container, found {text!r}")
    return text


def address(text: str) -> str:
    """Accept an IP address, without the name of an interface, which docker does not take."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        hint = "127.0.0.1 is this host alone, 0.0.0.0 every network"
        raise wrong(f"expected an IP address, found {text!r}", hint) from None
    if "%" in text:
        hint = "docker publishes on no link-local address: take another of that interface (`ip address` lists them)"
        raise wrong(f"expected an IP address without an interface, found {text!r}", hint)
    return str(found)


def same_address(one: str, other: str) -> bool:
    """Return whether a port on one address is taken on the other too: 0.0.0.0 is every one of IPv4, :: of IPv6."""
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    every = first.is_unspecified or second.is_unspecified
    return first == second or (every and first.version == second.version)


def version(text: str) -> str:
    """Accept a version as PEP 440 has it, or auto."""
    if text == AUTO:
        return text
    try:
        Version(text)
    except InvalidVersion:
        raise wrong(f"expected a version such as '0.19' or '0.20.2rc1.dev49', or auto, found {text!r}") from None
    return text


MOST_NODES: Final = 64
"""Hosts of one model: a bound on what is read, far above any group of Sparks that was published (eight)."""


def gpu_count(text: str) -> int:
    """Return how many GPUs a recipe's ``gpus`` are: a GB10 has one, and only ids name others."""
    kind = text.partition(":")[0]
    return {"none": 0, "all": 1, "cdi": 1}.get(kind, len(text.split(",")))


def gpu_words(value: object) -> object:
    """Return what may be written for ``gpus`` as its one text: 0, [0, 1] and docker's ``device=0,1`` are ids."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return value.strip("'\"").removeprefix("device=") if isinstance(value, str) else value


def gpus(text: str) -> str:
    """Accept all, none, a CDI device, or ids."""
    if not _GPUS.fullmatch(text):
        raise wrong(f"expected all, none, cdi:NAME or ids with commas between them, found {text!r}")
    ids = text.split(",")
    if len(set(ids)) < len(ids):
        raise wrong(f"expected each GPU once, found {text!r}")
    return text


def ulimit(value: int | str) -> int | str:
    """Accept SOFT or SOFT:HARD."""
    if not _ULIMIT.fullmatch(str(value)):
        raise wrong(f"expected a number or SOFT:HARD, found {value!r}")
    return value


def items(value: Mapping[str, int]) -> Mapping[str, int]:
    """Accept how many items of an input a prompt may have, and how large they may be."""
    for key, number in value.items():
        if key not in _SIZES_OF_ITEMS:
            raise wrong(f"expected {', '.join(_SIZES_OF_ITEMS)}, found {key!r}", "as --limit-mm-per-prompt has them")
        if number < (key != "count"):
            raise wrong(f"{key}: expected a number above 0, found {number}")
    return value


def items_of(value: int | Mapping[str, int]) -> int:
    """Return how many items of a prompt a limit allows: vLLM's own where a map does not say it."""
    return value if isinstance(value, int) else value.get("count", _MOST_ITEMS)


def acceptance(key: str) -> str:
    """Accept the name of an acceptance rate."""
    if not _ACCEPTANCE.fullmatch(key):
        raise wrong(f"expected position-0, position-1 … or overall, found {key!r}")
    return key


def secret(name: str) -> str:
    """Accept a secret's name; never say what was found, for it may be the secret itself."""
    if not _SECRET.fullmatch(name):
        message = "expected the name of a variable in capitals, such as HF_TOKEN"
        raise wrong(message, "never write a value here", secret=True)
    return name


def variable(name: str) -> str:
    """Accept the name of a variable, unless it is a secret's."""
    if not _VARIABLE.fullmatch(name):
        raise wrong(f"expected the name of a variable, found {name!r}")
    if looks_secret(name):
        hint = f"list its name: secrets: [{name}]; the value stays outside of files"
        raise wrong(f"{name} looks like a secret", hint, secret=True)
    return name


def argument(name: str) -> str:
    """Accept the name of a flag that no field owns."""
    bare = name.lstrip("-").replace("_", "-") if "." not in name else name.lstrip("-")
    owner = bare.partition(".")[0].replace("_", "-").removeprefix("no-")
    if owner in OWNED_FLAGS:
        field = OWNED_FLAGS[owner]
        raise wrong(f"--{bare} belongs to a field of the recipe, not to args", f"write it as {field}")
    if owner in SECRET_FLAGS:
        hint = f"secrets: [{SECRET_FLAGS[owner]}] does the same; its value stays outside of files and of command lines"
        raise wrong(f"a secret would stand in the command line, after --{owner}", hint, secret=True)
    if name != bare:
        raise wrong(f"expected a flag's name with dashes inside and none in front, found {name!r}", f"write {bare}")
    if name.startswith("no-"):
        raise wrong(f"expected a flag's plain name, found {name!r}", f"write {name.removeprefix('no-')}: false")
    if not _ARGUMENT.fullmatch(name):
        raise wrong(f"expected a flag's name, such as kv-cache-dtype, found {name!r}")
    return name


def speculative(method: str | None, model: str | None, own: str | None, extra: Mapping[str, object]) -> list[Finding]:
    """Return what does not go together; ``own`` is the draft's path or facts, ``extra`` the keys passed through."""
    found = [
        Finding(
            (key,), f"expected vLLM's own spelling, with underscores, found {key!r}", f"write {key.replace('-', '_')}"
        )
        for key in extra
        if "-" in key
    ]
    if method in _OWN_DRAFTS and (model or own):
        found.append(Finding(("model",), f"the method {method} drafts without a model", "remove model, path and facts"))
    elif model is None and own:
        found.append(Finding((), "path and facts need the draft's model", "add model: OWNER/NAME"))
    elif model is None and method not in _OWN_DRAFTS | _OWN_HEADS and not (method or "").endswith("_mtp"):
        said = f"the method {method}" if method else "no method"
        found.append(Finding((), f"{said} needs the draft's model", "add model: OWNER/NAME, or method: ngram"))
    return found


def host_mount(text: str) -> str:
    """Accept HOST:CONTAINER with :ro (the default) or :rw behind it."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source.startswith(("/", "~/")) or not target.startswith("/") or not target.strip("/") or mode not in _MODES:
        hint = "such as ~/templates:/templates, a path of this host and one of the container; rw if it is written to"
        raise wrong(f"expected HOST:CONTAINER[:ro|rw] with whole paths, found {text!r}", hint)
    return text


def device(text: str) -> str:
    """Accept a device node of the host."""
    if not _DEVICE.fullmatch(text):
        raise wrong(
            f"expected HOST[:CONTAINER][:rwm], found {text!r}", "such as /dev/infiniband; a GPU is gpus: cdi:NAME"
        )
    return text


def capability(text: str) -> str:
    """Accept a Linux capability."""
    if not _CAPABILITY.fullmatch(text):
        raise wrong(f"expected a capability such as SYS_PTRACE, found {text!r}", "man 7 capabilities lists them")
    return text
