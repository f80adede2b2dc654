"""Other tools that judge what is exported to them: docker compose, and the generator of podman's Quadlet.

They are Debian 13's, unpacked and not installed: neither needs a service, nor anything but the C library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import debian
from .state import COMPOSE_VARIABLE, QUADLET_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from .state import State

PACKAGES = ("docker-compose", "podman")
PLACES = {
    COMPOSE_VARIABLE: "usr/libexec/docker/cli-plugins/docker-compose",
    QUADLET_VARIABLE: "usr/libexec/podman/quadlet",
}


def fetch(state: State) -> dict[str, Path]:
    """Fetch the tools and return them by the variables that tell the tests of them."""
    root = debian.unpacked(state, NAME, PACKAGES)
    return {variable: root / place for variable, place in PLACES.items()}


NAME = f"tools-{debian.SUITE}"


def there(state: State) -> dict[str, Path]:
    """Return those that were fetched."""
    found = {variable: state.cache / NAME / place for variable, place in PLACES.items()}
    return {variable: path for variable, path in found.items() if path.exists()}
