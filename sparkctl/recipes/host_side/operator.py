"""The operator's own folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

STANDARD_CACHE: Final = "~/.cache/huggingface"
"""How a recipe spells the cache of Hugging Face's libraries, wherever the operator keeps it."""


class Operator(NamedTuple):
    """The operator's own folders; ``hub_cache`` is their cache of models where it is not in the standard place.

    ``own_state`` is the state folder of the machine that sparkctl runs on, where ``state`` is that of another host.
    ``run`` is where guard, agent and commands of this host meet; None on a simulated Spark, whose memory no guard sees.
    """

    home: Path
    config: Path
    state: Path
    hub_cache: Path | None = None
    run: Path | None = None
    own_state: Path | None = None

    def expand(self, path: str) -> Path:
        """Return ``path`` with a leading ``~`` as the operator's home."""
        if path == "~":
            return self.home
        return self.home / path[2:] if path.startswith("~/") else Path(path)

    def hub(self, cache: str | None) -> Path:
        """Return the folder with models--OWNER--NAME of a recipe's ``cache``; None is the standard one."""
        if cache in {None, STANDARD_CACHE} and self.hub_cache is not None:
            return self.hub_cache
        return self.expand(cache or STANDARD_CACHE) / "hub"

    @property
    def states(self) -> tuple[Path, Path]:
        """The state folders of the host that is worked on, and of this machine."""
        return self.state, self.own_state or self.state

    @property
    def compiled(self) -> Path:
        """The folder in which what servers compiled is kept, by image."""
        return self.home / ".cache" / "sparkctl" / "compiled"

    def mod_folder(self, mod: str) -> Path:
        """Return the operator's own folder of a mod: files that cannot be shipped, and their pins."""
        return self.config / "mods" / mod

    def secrets_file(self, service: str) -> Path:
        """Return the env-file that a service's command names, for its owner alone; ``render --stage`` makes it."""
        return self.state / "secrets" / f"{service}.env"


def hub_cache(environ: Mapping[str, str], home: Path) -> Path | None:
    """Return where the environment says that Hugging Face's libraries keep models; None: in the standard place.

    In their order: HF_HUB_CACHE, the older HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME (huggingface_hub 0.36,
    constants.py). A path that is not absolute means another folder in each working folder, and counts as not set.
    """
    for name, below in (
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ):
        value = environ.get(name, "")
        path = home / value[2:] if value.startswith("~/") else Path(value)
        if path.is_absolute() and "\0" not in value:
            return path / below
    return None
