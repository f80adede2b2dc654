"""TLS to a server of this host, which has to show one certificate and no other.

A certificate of one's own is signed by nobody and names no loopback, so neither a list of authorities nor a host's name
says anything of it: what the server shows is compared with the file, byte by byte, before anything is asked.
"""

from __future__ import annotations

import ssl
from functools import cache

from sparkctl.base.errors import InputError
from sparkctl.world.certificate import certificate


@cache
def context() -> ssl.SSLContext:
    """Return what encrypts and trusts nobody by itself."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def refuse_another(shown: bytes | None, path: str | None) -> None:
    """Refuse what a server ``shown`` unless it is the certificate in the file (None: any).

    Raises:
        InputError: it is another one, or the file cannot be used.
    """
    if path is not None and shown != certificate(path):
        raise InputError(f"the server shows another certificate than {path} has")
