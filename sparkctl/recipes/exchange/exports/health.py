"""How other tools ask a server whether it serves, and the parts of a container that only `up` knows."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.exports.promises import HEALTH
from sparkctl.recipes.host.caches import COMPILED

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.exports.exported import ExportedService
    from sparkctl.world.spec import Mount

_ASK: Final = 'import urllib.request as r; r.urlopen("{url}", timeout=5)'
_ASK_TLS: Final = (
    'import ssl, urllib.request as r; r.urlopen("{url}", timeout=5, context=ssl._create_unverified_context())'
)


def asking(service: ExportedService) -> tuple[str, ...]:
    """Return the words that ask from inside of the container, by the Python that every image of a vLLM has.

    They end with 0 where the server says that it serves. Its certificate need not be for the address inside.
    """
    program = _ASK_TLS if service.encrypted else _ASK
    return ("python3", "-c", program.format(url=f"{service.inside}{HEALTH}"))


def is_by_tag(mount: Mount) -> bool:
    """Return whether a mount is the folder of what a server compiled, by the image's tag."""
    return mount.target == COMPILED and mount.source is not None and PurePosixPath(mount.source).name == "by-tag"
