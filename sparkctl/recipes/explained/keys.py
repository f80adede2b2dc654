"""Which keys of a recipe are behind a flag of the server, or an option of ``docker run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sparkctl.base.document import KeyPath

SERVER_KEYS: Final[dict[str, tuple[KeyPath, ...]]] = {
    "attention-backend": (("backend", "attention"),),
    "gpu-memory-utilization": (("memory",), ("memory", "utilization")),
    "host": (("serve", "bind"),),
    "kv-cache-memory-bytes": (("memory",), ("memory", "kv")),
    "limit-mm-per-prompt": (("limits", "multimodal"),),
    "linear-backend": (("backend", "linear"),),
    "max-model-len": (("limits", "context"),),
    "max-num-batched-tokens": (("limits", "batched-tokens"),),
    "max-num-seqs": (("limits", "sequences"),),
    "moe-backend": (("backend", "moe"),),
    "port": (("serve", "container-port"),),
    "revision": (("model", "revision"),),
    "served-model-name": (("serve", "name"), ("serve", "aliases")),
    "speculative-config": (("speculative",),),
    "ssl-certfile": (("serve", "tls", "certificate"),),
    "ssl-keyfile": (("serve", "tls", "key"),),
}
"""By the flag's name without dashes. A flag in ``args`` has that key, whatever this table says."""
DOCKER_KEYS: Final[dict[str, tuple[KeyPath, ...]]] = {
    "entrypoint": (("container", "entrypoint"),),
    "env-file": (("secrets",),),
    "gpus": (("gpus",),),
    "init": (("container", "init"),),
    "ipc": (("container", "ipc"),),
    "network": (("container", "network"),),
    "oom-score-adj": (("container", "oom-score-adj"),),
    "privileged": (("container", "privileged"),),
    "publish": (("serve", "bind"), ("serve", "port"), ("serve", "container-port")),
    "restart": (("container", "restart"),),
    "runtime": (("container", "runtime"),),
    "shm-size": (("container", "shm-size"),),
    "user": (("container", "user"),),
    "volume": (("container", "caches"),),
}
"""By the option's long name without dashes, those with one meaning."""
