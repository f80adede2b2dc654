"""Secrets: names in recipes, values from the operator's environment or their secrets file; never shown.

A value stands on no command line: `up` gives it to the engine, and a pasted command reads it from an env-file that only
its owner can read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sparkctl.base import document, regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule, regex
from sparkctl.base.shown import HIDDEN, SHORTEST_PIECE, Boundary, is_plain, looks_secret, may_be_secret, sounds_secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from sparkctl.world import labels
    from sparkctl.world.labels import SecretDigests
else:
    labels = LazyModule("sparkctl.world.labels")

API_KEY: Final = "VLLM_API_KEY"
"""The variable from which vLLM takes the key that clients must send."""

_SALT_BYTES: Final = 16
MADE: Final = "sparkctl-"
"""The beginning of a key that sparkctl made for a server."""
_MADE_KEY: Final = regex(rf"{MADE}[0-9a-f]{{64}}")
"""256 random bits. Without its beginning it may be anything: sha256sum makes 64 hex digits of the shortest word."""
_QUICK_DIGITS: Final = 128
"""Of SHA-512 in hexadecimal; scrypt's are 64."""
_KEPT_DIGESTS: Final = 64
_MOST_BYTES: Final = 1024 * 1024
"""The most bytes of a secrets file: a larger one is not valid."""


def stored(path: Path) -> dict[str, str]:
    """Return the operator's secrets file; one that is not there has none.

    Raises:
        InputError: it cannot be read, others can read it, or a line is not NAME=value.
    """
    if not os.path.lexists(path):
        return {}
    text = regular_file.read_text(path, _MOST_BYTES)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    return parse(text, str(path))


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
            raise InputError(message, hint="one secret a line")
        values[name.strip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    """Return a value without the quotes around it: for shells and .env files they do not belong to it."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


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
    """Return the values of some secrets that an env-file can hold: `up` must create what the command would.

    Raises:
        InputError: a value has a line break.
    """
    for name, value in values.items():
        if "\n" in value or "\r" in value:
            message = f"the secret {name} contains a line break"
            raise InputError(message, hint="docker's env-files hold one line a variable: check the value you set")
    return values


def refuse_written(service: str, values: Mapping[str, str], texts: Sequence[str], why: str) -> None:
    """Refuse to write down a secret's value that somebody wrote into a recipe or an override; ``why`` it must not be.

    A short value is searched for only as a whole word or as a variable's value, because it is part of usual words.

    Raises:
        InputError: one of ``texts`` has the value of a secret; the message names the secret.
    """
    for name, value in values.items():
        if is_plain(value) or not value:
            continue
        within = len(value) >= SHORTEST_PIECE
        if any(value in text if within else value == text.partition("=")[2] for text in texts):
            message = f"{service}: the value of the secret {name} stands in its recipe or in what is laid over it"
            raise InputError(message, hint=f"write secrets: [{name}] in its place: {why}")


def digests(values: Mapping[str, str], salt: bytes | None = None) -> SecretDigests:
    """Return what a container's label says of its secrets: enough to notice a changed value, and nothing of the value.

    The salt is the container's own (random unless given). A digest is slow to compute, so that not even a short value
    can be guessed from labels that were shown to somebody; a key that sparkctl made cannot be guessed at any speed.
    """
    if not values:
        return labels.SecretDigests()
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    made = {name: (_quick if _MADE_KEY.fullmatch(value) else _slow)(value, salt) for name, value in values.items()}
    return labels.SecretDigests(salt.hex(), made)


def changed(recorded: SecretDigests, values: Mapping[str, str]) -> list[str]:
    """Return the names of those values that are not the recorded ones, in their order."""
    salt = bytes.fromhex(recorded.salt)
    known = recorded.digests
    return [name for name, value in values.items() if name not in known or not _is_of(known[name], value, salt)]


def _is_of(digest: str, value: str, salt: bytes) -> bool:
    """Return whether a digest is that of a value; its length says how it was computed."""
    return hmac.compare_digest(digest, (_quick if len(digest) == _QUICK_DIGITS else _slow)(value, salt))


def _quick(value: str, salt: bytes) -> str:
    return hmac.digest(salt, value.encode(), "sha512").hex()


@lru_cache(_KEPT_DIGESTS)
def _slow(value: str, salt: bytes) -> str:
    """Return a digest by scrypt (RFC 7914): here 16 MiB and some 50 ms a guess, so it is kept for the next look."""
    return hashlib.scrypt(value.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32).hex()


def shown(override: str) -> str:
    """Return ``PATH=VALUE`` without the value where that may be a secret."""
    return f"{override.partition('=')[0]}={HIDDEN}" if of_overrides([override]) else Boundary().hidden(override)


def known(environ: Mapping[str, str], file: Path, names: Collection[str]) -> list[str]:
    """Return every value that must not be shown: those of the secrets file, and the environment's.

    A file that cannot be used has values all the same: whoever reads its refusal must not see them.
    """
    text = ""
    with suppress(InputError):
        text = regular_file.read_bytes(file, _MOST_BYTES).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    written = [line.partition("=")[2].strip() or line for line in lines]
    return [*of_environment(environ, names), *written, *map(_unquoted, written)]


def of_environment(environ: Mapping[str, str], names: Collection[str]) -> list[str]:
    """Return the values of an environment's secrets: of names that recipes declare, and of names that sound secret."""
    return [value for name, value in environ.items() if name in names or sounds_secret(name)]


def of_overrides(overrides: Iterable[str]) -> list[str]:
    """Return the values in ``PATH=VALUE`` that may be secrets: of variables, under secrets, of flags named like one."""
    found = []
    for override in overrides:
        path, _, value = override.partition("=")
        keys = path.rpartition(":")[2].strip().split(".")
        inner = _scalars(value)
        found += [text for below, text in inner or () if _may_hold_secret([*keys, *below])]
        if inner is None or _may_hold_secret(keys):
            found.append(value)
    return [value for value in found if not is_plain(value)]


def _may_hold_secret(keys: Sequence[str]) -> bool:
    of_env = keys[0] == "env" and (len(keys) == 1 or may_be_secret(keys[1]))
    return of_env or keys[0] in {"secrets", "secrets+"} or any(map(looks_secret, keys))


def of_variables(variables: Iterable[str]) -> list[str]:
    """Return the values in ``NAME=VALUE`` that may be secrets."""
    given = [one.partition("=") for one in variables]
    return [value for name, equals, value in given if equals and may_be_secret(name) and not is_plain(value)]


def _scalars(text: str) -> list[tuple[list[str], str]] | None:
    """Return the single values of a text in YAML, each with its keys; the name of a secret is none. None: no YAML."""
    try:
        values = document.load(text, "").root.walk()
    except InputError:
        return None
    found = [([str(key) for key in path], node.text) for path, node in values]
    return [(keys, value) for keys, value in found if not (value.isupper() and value.isidentifier())]
