"""The keys of the servers behind a gateway: one for each service, random, and known to nobody but sparkctl.

A server on the loopback answers every user of the host, and every page of a browser there that finds its port. With a
key of its own it answers the gateway, and sparkctl's other commands, which read it here.
"""

from __future__ import annotations

import re
import secrets
import stat
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.operations.secrets import MADE

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.ports import Files

FOLDER: Final = "server-keys"
"""Below the operator's state folder: a file a service, named as its container is."""
_BYTES: Final = 32
"""256 random bits, as the keys of clients have: a choice."""
_KEY: Final = re.compile(f"(?:{MADE})?[0-9a-f]{{{2 * _BYTES}}}")
"""Those of before have no beginning."""
_MOST_BYTES: Final = 1024
"""The most bytes of one key's file: a larger one is not valid."""
_OTHERS: Final = 0o077


def known(state: Path, service: str, files: Files) -> str | None:
    """Return the key that was made for a service, None where none was.

    Raises:
        InputError: others can read its file, or it is no key.
    """
    path = state / FOLDER / service
    content = files.content(path)
    if content is None:
        return None
    hint = f"remove it, and start {service} again: another one is made"
    if _mode(path) & _OTHERS:
        raise InputError(f"{path} can be read by others", hint=hint)
    text = content.decode(errors="replace").strip()
    if not _KEY.fullmatch(text):
        raise InputError(f"{path} holds no key of a server", hint=hint)
    return text


def made(state: Path, service: str, files: Files) -> str:
    """Return the key of a service, which is made if there is none yet: if two make it at once, one wins.

    Raises:
        InputError: as for ``known``; or it cannot be read or written.
    """
    found = known(state, service, files)
    if found is None:
        files.create(state / FOLDER / service, f"{MADE}{secrets.token_hex(_BYTES)}\n".encode(), mode=0o600)
        found = known(state, service, files)
    if found is None:
        message = f"the key of {service} cannot be read: {state / FOLDER / service}"
        raise InputError(message, hint="is it yours? it is a file of mode 600 that sparkctl makes")
    return found


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def every(state: Path) -> list[str]:
    """Return whatever may be a key, to be hidden: also of files that are not as they have to be."""
    folder = state / FOLDER
    try:
        paths = [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []
    found = []
    for path in paths:
        try:
            found.append(regular_file.read_bytes(path, _MOST_BYTES).decode(errors="replace").strip())
        except InputError:
            continue  # what cannot be read cannot be shown
    return [text for text in found if text]
