"""What an HTTP client is given where a test has no use for TLS."""

from __future__ import annotations

import ssl
from typing import Final

NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Knows no authority: a client without one reads those of this machine, in 40 ms of CPU for each request."""
