"""Certificates that nobody signed but themselves, as a homelab has them."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OPTIONS = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=spark")


def self_signed(folder: Path) -> Path:
    """Make ``cert.pem`` and ``key.pem`` in a folder, and return that."""
    files = ("-keyout", folder / "key.pem", "-out", folder / "cert.pem")
    subprocess.run(["openssl", "req", "-x509", *_OPTIONS, *files], check=True, capture_output=True)
    return folder


def of_server(folder: Path) -> ssl.SSLContext:
    """Return what a server encrypts with that has the certificate of a folder."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return made
