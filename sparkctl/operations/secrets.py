"""Secrets: names in recipes, values from the operator's environment or their secrets file; never shown.

A value stands on no command line: `up` gives it to the engine, and a pasted command reads it from an env-file that only
its owner can read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.world.labels import SecretDigests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

API_KEY: Final = "VLLM_API_KEY"
"""The variable from which vLLM takes the key that clients must send."""

_TOKENS: Final = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,})"
    r"|(?<=Bearer )[^\s'\"]{4,}|(?<=--api-key )\S+|(?<=--api-key=)\S+"
)
"""What tokens of the hub, of OpenAI's kind and of GitHub look like, and where a key stands on a command line."""
HIDDEN: Final = "(hidden)"
_SALT_BYTES: Final = 16
_SHORTEST: Final = 4
"""A value that is shorter would hide half of the words of a log."""


def parse(text: str, file: str) -> dict[str, str]:
    """Return the ``NAME=value`` lines of a secrets file; blank lines and ``#`` comments are skipped.

    Raises:
        InputError: a line is not NAME=value; the line's text is not shown.
    """
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not name.strip().isidentifier():
            message = f"{file}:{number}:1: expected NAME=value"
            raise InputError(message, hint="one secret a line, without quotes around the value")
        values[name.strip()] = value.strip()
    return values


def resolve(
    names: Sequence[str], environ: Mapping[str, str], stored: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return the values of ``names`` (the environment before the file) and the names that have none."""
    found = {name: environ.get(name) or stored.get(name, "") for name in names}
    return {name: value for name, value in found.items() if value}, [name for name, value in found.items() if not value]


def env_file(values: Mapping[str, str]) -> bytes:
    """Return the env-file of some secrets, as docker reads it.

    Raises:
        InputError: a value has a line break, which an env-file cannot hold.
    """
    return "".join(f"{name}={value}\n" for name, value in variables(values).items()).encode()


def variables(values: Mapping[str, str]) -> Mapping[str, str]:
    """Return the values of some secrets, which an env-file can hold: what `up` creates is what the command would.

    Raises:
        InputError: a value has a line break.
    """
    for name, value in values.items():
        if "\n" in value or "\r" in value:
            message = f"the secret {name} contains a line break"
            raise InputError(message, hint="docker's env-files hold one line a variable: check the value you set")
    return values


def digests(values: Mapping[str, str], salt: bytes | None = None) -> SecretDigests:
    """Return what a container's label says of its secrets: that a value is another later, and nothing of the value.

    The salt is the container's own (random unless given), and scrypt is slow (RFC 7914: here 16 MiB and some 50 ms a
    guess), so that not even a short value can be guessed from labels that were shown to somebody.
    """
    if not values:
        return SecretDigests()
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    return SecretDigests(salt.hex(), {name: _digest(value, salt) for name, value in values.items()})


def changed(recorded: SecretDigests, values: Mapping[str, str]) -> list[str]:
    """Return the names of those values that are not the recorded ones, in their order."""
    salt = bytes.fromhex(recorded.salt)
    return [
        name
        for name, value in values.items()
        if name not in recorded.digests or not hmac.compare_digest(recorded.digests[name], _digest(value, salt))
    ]


def _digest(value: str, salt: bytes) -> str:
    return hashlib.scrypt(value.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32).hex()


def shown(override: str) -> str:
    """Return ``PATH=VALUE`` without the value where that may be a secret: a variable's, or a key's."""
    path, _, value = override.partition("=")
    if path.partition(".")[0].strip() == "env" or "api-key" in override or "api_key" in override:
        return f"{path}={HIDDEN}"
    return redacted(f"{path}={value}", ())


def in_environment(environment: Iterable[tuple[str, str]]) -> list[str]:
    """Return the values of a container's environment whose names say that they are secrets."""
    words = ("TOKEN", "KEY", "SECRET", "PASSWORD")
    return [value for name, value in environment if any(word in name.upper() for word in words)]


def redacted(text: str, values: Iterable[str]) -> str:
    """Return a text without these values, and without what looks like a token."""
    for value in sorted({value for value in values if len(value) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return _TOKENS.sub(HIDDEN, text)
