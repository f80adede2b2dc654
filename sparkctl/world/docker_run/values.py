"""The values of ``docker run``'s options: text to value and back, each as docker's own command line reads it.

What is accepted was tried on docker 28.2 with ``docker create`` and ``docker inspect``. A reader raises InputError
without the option's name, which the grammar puts in front; a writer gives a spelling that reads back the same.
"""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import regex
from sparkctl.world.spec import Device, Ulimit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_INTEGER: Final = regex(r"[+-]?(0|[1-9][0-9]*)")
_SIZE: Final = regex(
    r"(\+?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?) ?(?:([kmgtp])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE
)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
# docker counts sizes in float64, which holds every integer below this one.
_EXACT: Final = 2**53
_INT64: Final = 2**63 - 1
_DURATION: Final = regex(r"\+?((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_DURATION_PART: Final = regex(r"([\d.]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_NANOSECONDS: Final = {
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ns": 1,
}
_CPUS: Final = regex(r"(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_NAME: Final = regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# github.com/distribution/reference, regexp.go: [DOMAIN[:PORT]/]PATH[:TAG][@DIGEST]
_PATH: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
IMAGE: Final = regex(
    rf"(?:(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?{_PATH}(?:/{_PATH})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
# github.com/docker/go-units, ulimit.go
ULIMITS: Final = frozenset(
    [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)
# tags.cncf.io/container-device-interface, pkg/parser: VENDOR/CLASS=NAME
_CDI: Final = regex(
    r"[a-zA-Z](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?/[a-zA-Z](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?"
    r"=[a-zA-Z0-9](?:[a-zA-Z0-9_.:-]*[a-zA-Z0-9])?"
)
_CAPABILITY: Final = regex(r"(?:CAP_)?([A-Z0-9_]+)")


def expected(what: str, found: str) -> InputError:
    """Return the error for a value that is not ``what``."""
    return InputError(f"expected {what}, found {found!r}")


def one_of(choices: Collection[str], *, prefixes: tuple[str, ...] = ()) -> Callable[[str], str]:
    """Return a reader for one of the choices, or for one of the prefixes followed by a name."""

    def read(text: str) -> str:
        if text in choices or any(text.startswith(prefix) and len(text) > len(prefix) for prefix in prefixes):
            return text
        names = [*(choice for choice in sorted(choices) if choice), *(f"{prefix}NAME" for prefix in prefixes)]
        raise expected(f"one of {', '.join(names)}", text)

    return read


def integer(low: int, high: int = _INT64) -> Callable[[str], int]:
    """Return a reader of a decimal integer from ``low`` to ``high``; docker reads 010 as 8, so it is refused."""

    def read(text: str) -> int:
        if _INTEGER.fullmatch(text) and len(text) <= len(str(_INT64)) + 1 and low <= int(text) <= high:
            return int(text)
        raise expected(f"an integer from {low}" + ("" if high == _INT64 else f" to {high}"), text)

    return read


def boolean(text: str) -> bool:
    """Read a boolean as Go's strconv.ParseBool does."""
    if text not in _TRUE | _FALSE:
        raise expected("true or false", text)
    return text in _TRUE


def nonempty(text: str) -> str:
    """Read a text that is not empty."""
    if not text:
        raise InputError("expected a value, found an empty word")
    return text


def image(text: str) -> str:
    """Read an image reference."""
    if not IMAGE.fullmatch(text):
        raise InputError(
            f"not an image: {text!r}", hint="an image is written [HOST/]PATH[:TAG], the path in lower case"
        )
    return text


def container_name(text: str) -> str:
    """Read a container's name; an empty one leaves the choice to docker."""
    if text and not _NAME.fullmatch(text):
        raise expected("letters, digits, '_', '.' and '-', at least two", text)
    return text


def absolute(text: str) -> str:
    """Read an absolute path, or an empty text."""
    if text and not text.startswith("/"):
        raise expected("an absolute path", text)
    return text


def size(text: str) -> int:
    """Read bytes as docker does: ``k m g t p`` are powers of 1024 with or without ``b`` or ``ib``, in either case."""
    match = _SIZE.fullmatch(text)
    count = float(match[1]) * 1024 ** _POWERS[(match[2] or "").lower()] if match else -1.0
    if not 0 <= count < _EXACT:
        raise expected("a size such as 512m or 32g (powers of 1024)", text)
    return int(count)


def write_size(count: int) -> str:
    """Write bytes with the largest unit that divides them."""
    for unit, power in reversed(_POWERS.items()):
        if unit in "kmg" and count and count % 1024**power == 0:
            return f"{count // 1024**power}{unit or 'b'}"
    return f"{count}b"


def size_or_unlimited(text: str) -> int:
    """Read bytes, or -1 for no limit."""
    return -1 if text == "-1" else size(text)


def write_size_or_unlimited(count: int) -> str:
    """Write bytes, or -1."""
    return "-1" if count == -1 else write_size(count)


def duration(text: str) -> int:
    """Read Go's time.Duration (``1m30s``, ``500ms``) as nanoseconds."""
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    parts = _DURATION_PART.findall(match[1]) if match and len(text) <= len(str(_INT64)) * 2 else []
    total = int(sum(Decimal(number) * _NANOSECONDS[unit] for number, unit in parts))
    if not parts or total > _INT64:
        raise expected("a duration such as 30s, 1m30s or 500ms", text)
    return total


def write_duration(nanoseconds: int) -> str:
    """Write nanoseconds in whole units: ``1m30s``."""
    parts = []
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        count, nanoseconds = divmod(nanoseconds, _NANOSECONDS[unit])
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


def cpus(text: str) -> str:
    """Read a number of CPUs with at most nine decimals, without zeros that say nothing."""
    whole, _, decimals = text.partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    if not _CPUS.fullmatch(text) or len(decimals) > 9 or len(whole) > 9:  # noqa: PLR2004  (docker counts nano-CPUs)
        raise expected("a number of CPUs such as 1.5", text)
    return f"{whole}.{decimals}" if decimals else whole


def restart(text: str) -> str:
    """Read a restart policy; ``no`` is the default, and written as nothing."""
    policy, _, count = text.partition(":")
    if policy not in {"", "no", "always", "unless-stopped", "on-failure"} or (count and policy != "on-failure"):
        raise expected("no, always, unless-stopped or on-failure[:N]", text)
    retries = integer(0, 2**31 - 1)(count) if count else 0
    return f"{policy}:{retries}" if retries else policy.removeprefix("no")


def address(text: str) -> str:
    """Read an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise expected("an IP address", text) from None
    if "%" in text:
        raise expected("an IP address without a zone", text)
    return text


def extra_host(text: str) -> str:
    """Read ``HOST:IP`` or ``HOST=IP``, as docker keeps it: ``HOST:IP``."""
    host, _, where = text.partition("=" if "=" in text else ":")
    if not host or not where:
        raise expected("HOST:IP or HOST:host-gateway", text)
    where = where[1:-1] if where.startswith("[") and where.endswith("]") else where
    if ":" in host:
        raise expected("a host name before the address", text)
    return f"{host}:{where if where == 'host-gateway' else address(where)}"


def ulimit(text: str) -> Ulimit:
    """Read ``NAME=SOFT[:HARD]``; -1 is unlimited."""
    name, _, limits = text.partition("=")
    if name not in ULIMITS or not limits:
        raise expected(f"NAME=SOFT[:HARD], NAME one of {', '.join(sorted(ULIMITS))}", text)
    soft_text, colon, hard_text = limits.partition(":")
    soft = integer(-1)(soft_text)
    hard = integer(-1)(hard_text) if colon else soft
    if hard != -1 and (soft == -1 or soft > hard):
        raise expected("a soft limit that is not above the hard one", text)
    return Ulimit(name, soft, hard)


def write_ulimit(limit: Ulimit) -> str:
    """Write ``NAME=SOFT:HARD``."""
    return f"{limit.name}={limit.soft}:{limit.hard}"


def cdi_device(text: str) -> str | None:
    """Read a CDI name (``nvidia.com/gpu=all``), or None for what is not one."""
    return text if _CDI.fullmatch(text) else None


def device(text: str) -> Device:
    """Read ``HOST[:CONTAINER][:PERMISSIONS]``."""
    host, *rest = text.split(":")
    permissions = rest.pop() if rest and (len(rest) > 1 or (set(rest[0]) <= set("rwm") and rest[0])) else "rwm"
    inside = rest.pop() if rest else host
    if rest or not host.startswith("/") or not inside.startswith("/"):
        raise expected("a path /dev/…[:/dev/…][:rwm] or a CDI name such as nvidia.com/gpu=all", text)
    if not permissions or set(permissions) > set("rwm") or sorted(set(permissions)) != sorted(permissions):
        raise expected("permissions of r, w and m, each once", permissions)
    return Device(host, inside, permissions)


def write_device(node: Device) -> str:
    """Write a device with only what differs from docker's defaults."""
    if node.permissions != "rwm":
        return f"{node.host_path}:{node.container_path}:{node.permissions}"
    return node.host_path if node.container_path == node.host_path else f"{node.host_path}:{node.container_path}"


def capability(text: str) -> str:
    """Read a Linux capability as docker keeps it: ``CAP_SYS_PTRACE``, ``ALL``."""
    match = _CAPABILITY.fullmatch(text.upper())
    if match is None:
        raise expected("a capability such as SYS_PTRACE", text)
    return "ALL" if match[1] == "ALL" else f"CAP_{match[1]}"


def security_opt(text: str) -> str:
    """Read a security option that the engine reads as it is written."""
    key, separator, value = text.replace(":", "=", 1).partition("=")
    if not separator and key != "no-new-privileges":
        raise expected("KEY=VALUE or no-new-privileges", text)
    if key == "systempaths" or (key == "seccomp" and value not in {"unconfined", "builtin"}):
        raise InputError(
            f"{text!r} is carried out by the docker command line, not by the engine",
            hint="sparkctl creates containers through the engine: leave it out, or use seccomp=unconfined",
        )
    return text


def network(text: str) -> str:
    """Read a network's name; docker's long form (``name=…,alias=…``) is refused."""
    if not text or "=" in text:
        raise InputError(
            f"expected a network's name, found {text!r}", hint="write --network NAME --network-alias ALIAS"
        )
    return text


def tmpfs(text: str) -> tuple[str, str]:
    """Read ``PATH[:OPTIONS]``."""
    path, _, options = text.partition(":")
    return absolute(nonempty(path)), options


def write_tmpfs(item: tuple[str, str]) -> str:
    """Write ``PATH[:OPTIONS]``."""
    return ":".join(part for part in item if part)


def pair(text: str) -> tuple[str, str]:
    """Read ``KEY[=VALUE]``; no value is an empty one."""
    key, _, value = text.partition("=")
    if not key:
        raise expected("KEY=VALUE", text)
    return key, value


def write_pair(item: tuple[str, str]) -> str:
    """Write ``KEY=VALUE``."""
    return f"{item[0]}={item[1]}"


def sysctl(text: str) -> tuple[str, str]:
    """Read ``KEY=VALUE``."""
    if "=" not in text:
        raise expected("KEY=VALUE", text)
    return pair(text)


def variable(text: str) -> tuple[str, str | None]:
    """Read ``NAME=VALUE``, or ``NAME`` for the value that the operator's environment has."""
    key, value = pair(text)
    return key, value if "=" in text else None


def write_variable(item: tuple[str, str | None]) -> str:
    """Write ``NAME=VALUE`` or ``NAME``."""
    return item[0] if item[1] is None else f"{item[0]}={item[1]}"
