"""What touches the world: engines, the host, HTTP, time, locks. Each implements a port of ``sparkctl.ports``."""

from __future__ import annotations
