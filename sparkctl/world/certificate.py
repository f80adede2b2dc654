"""The certificate in a PEM file, as its bytes: a server that shows these is the one that has it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB

_MOST_BYTES: Final = MIB
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def certificate(path: str) -> bytes:
    """Return the first certificate of a PEM file in DER: the server's own, those that signed it come after it.

    Raises:
        InputError: it cannot be read, or there is none in it.
    """
    text = regular_file.read_text(Path(path), _MOST_BYTES)
    try:
        begin = text.index(_BEGIN) + len(_BEGIN)
        return base64.b64decode("".join(text[begin : text.index(_END, begin)].split()), validate=True)
    except ValueError:
        raise InputError(f"{path}: expected a certificate in PEM ({_BEGIN} …), found none") from None
