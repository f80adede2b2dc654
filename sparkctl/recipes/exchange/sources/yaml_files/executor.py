"""``executor_config`` of sparkrun: how its container is set up, as words of ``docker run``.

The keys and their defaults are those of spark-arena/sparkrun, orchestration/executor.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.sources.yaml_files.keys import bare

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.sources.yaml_files.keys import TakenKeys
    from sparkctl.recipes.exchange.sources.yaml_files.runner import ReadRecipe

_ONE: Final = {
    "gpus": "--gpus",
    "ipc": "--ipc",
    "shm_size": "--shm-size",
    "network": "--network",
    "user": "--user",
    "restart_policy": "--restart",
    "memory_limit": "--memory",
}
_SEVERAL: Final = {
    "cap_add": "--cap-add",
    "security_opt": "--security-opt",
    "ulimit": "--ulimit",
    "devices": "--device",
    "volumes": "--volume",
    "labels": "--label",
}
_UNSAID: Final = {"gpus": "all", "ipc": "host", "shm_size": "32gb"}
"""sparkrun's own defaults that a recipe keeps. Its others, privileged and the host's network, it does not."""


def take_executor(draft: ReadRecipe) -> None:
    """Take what a recipe says of its container, and sparkrun's defaults for what it does not say."""
    keys = draft.keys.below("executor_config")
    for key, flag in _ONE.items():
        found = keys.text(key) or (Word(_UNSAID[key], draft.place) if key in _UNSAID else None)
        if found is not None:
            draft.options += [Word(flag, found.place), found]
    for key, flag in _SEVERAL.items():
        for one in keys.texts(key):
            draft.options += [Word(flag, one.place), one]
    _take_rest(draft, keys)


def _take_rest(draft: ReadRecipe, keys: TakenKeys) -> None:
    """Take what is neither a value nor a list of values."""
    draft.privileges_said = "privileged" in keys
    if keys.flag("privileged"):
        node = keys.take("privileged")
        draft.options.append(Word("--privileged", draft.place if node is None else bare(node.place)))
    entry = keys.take("entrypoint")
    if entry is not None:
        draft.options += [Word("--entrypoint", bare(entry.place)), Word(str(entry.content), bare(entry.place))]
    for mount in draft.keys.texts("volumes"):  # not a key of sparkrun, but some authors' own runtimes read it
        draft.options += [Word("--volume", mount.place), mount]
    keys.take("auto_remove")  # --rm, or not: sparkctl keeps the container until it is taken down
    keys.rest("sparkrun's executor has this key, or it has no effect there")
