"""The part of the cache that a KV connector keeps in the host's memory, which on a GB10 is also the GPU's.

Read in vLLM 0.17.1 to 0.33.0 (``config/vllm.py``, ``distributed/kv_transfer/kv_connector/v1``) and in LMCache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.units import GIB
from sparkctl.memory.beside.numbers import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from packaging.version import Version

_LMCACHE_SIZE: Final = "LMCACHE_MAX_LOCAL_CPU_SIZE"
_LMCACHE_FILE: Final = "LMCACHE_CONFIG_FILE"
_LMCACHE_DEFAULT: Final = 5.0
"""GiB (LMCache v1/config.py)."""
_SIMPLE_DEFAULT: Final = 8 * GIB
"""Bytes (vLLM 0.20.2 simple_cpu_offload_connector.py)."""
_POOL_DEFAULT: Final = 32.0
"""GiB of pinned memory (vLLM 0.20.2 p2p_nccl_engine.py)."""
_NOTHING: Final = frozenset(
    {"DecodeBenchConnector", "ExampleConnector", "ExampleHiddenStatesConnector", "SharedStorageConnector"}
)
"""Connectors that keep no cache of their own in memory."""
_MP_SINCE: Final = (0, 27)
"""Since this release ``--kv-offloading-backend lmcache`` is LMCache's own server (read in 0.20.2 and 0.27.1)."""


class HostBuffer(NamedTuple):
    """Memory of the host: ``bytes``, or (``copies``) that many times the KV cache. ``doubt``: why it may be more."""

    bytes: int = 0
    source: str = ""
    copies: int = 0
    doubt: str | None = None


def offloaded(args: Mapping[str, object], env: Mapping[str, object], version: Version) -> Iterator[HostBuffer]:
    """Yield the host memory of ``--kv-offloading-size`` and ``--kv-transfer-config``."""
    size = number(args.get("kv-offloading-size"))
    config = args.get("kv-transfer-config")
    if size is None:
        if isinstance(config, dict) and config:
            yield from _of_config(config, env)
        return
    if args.get("kv-offloading-backend") == "lmcache" and version.release[:2] >= _MP_SINCE:
        yield HostBuffer(doubt="LMCache's own server keeps the cache: what it takes is not counted here")
        return
    yield HostBuffer(round(size * GIB), "kv-offloading-size in GiB (vLLM config/vllm.py: cpu_bytes_to_use)")


def _of_config(config: Mapping[str, Any], env: Mapping[str, object]) -> Iterator[HostBuffer]:
    name = str(config.get("kv_connector") or "")
    extra = config.get("kv_connector_extra_config")
    extra = extra if isinstance(extra, dict) else {}
    if name == "MultiConnector":
        inner = extra.get("connectors")
        for one in inner if isinstance(inner, list) else ():
            if isinstance(one, dict):
                yield from _of_config(one, env)
    elif name in _READ:
        yield _READ[name](config, extra, env)
    elif name and name not in _NOTHING:
        yield HostBuffer(doubt=f"{name} may keep the cache in the host's memory: it is not counted")


def _native(_config: Mapping[str, Any], extra: Mapping[str, Any], _env: Mapping[str, object]) -> HostBuffer:
    size = number(extra.get("cpu_bytes_to_use"))
    if size is None:
        return HostBuffer(doubt="OffloadingConnector says no cpu_bytes_to_use: what it takes is not counted")
    return HostBuffer(round(size), "cpu_bytes_to_use of OffloadingConnector")


def _simple(_config: Mapping[str, Any], extra: Mapping[str, Any], _env: Mapping[str, object]) -> HostBuffer:
    for key in ("cpu_bytes_to_use_per_rank", "cpu_bytes_to_use"):
        size = number(extra.get(key))
        if size is not None:
            return HostBuffer(round(size), f"{key} of SimpleCPUOffloadConnector")
    return HostBuffer(_SIMPLE_DEFAULT, "SimpleCPUOffloadConnector's default, 8 GiB")


def _lmcache(_config: Mapping[str, Any], extra: Mapping[str, Any], env: Mapping[str, object]) -> HostBuffer:
    """LMCache allocates its whole buffer at the start, whatever local_cpu says (LMCache local_cpu_backend.py)."""
    doubt = None
    if _LMCACHE_FILE in env:
        doubt = f"{_LMCACHE_FILE} names a file that the plan does not read: counted as the variables say"
    said = number(extra.get("lmcache.max_local_cpu_size"))
    size = said if said is not None else number(env.get(_LMCACHE_SIZE))
    if size is None:
        return HostBuffer(round(_LMCACHE_DEFAULT * GIB), "LMCache's default, 5 GiB", doubt=doubt)
    source = "lmcache.max_local_cpu_size" if said is not None else _LMCACHE_SIZE
    return HostBuffer(round(size * GIB), f"{source} in GiB (LMCache local_cpu_backend.py)", doubt=doubt)


def _lmcache_server(_config: Mapping[str, Any], _extra: Mapping[str, Any], _env: Mapping[str, object]) -> HostBuffer:
    return HostBuffer(doubt="LMCache's own server keeps the cache: what it takes is not counted here")


def _nixl(config: Mapping[str, Any], _extra: Mapping[str, Any], _env: Mapping[str, object]) -> HostBuffer:
    if config.get("kv_buffer_device") != "cpu":
        return HostBuffer()
    return HostBuffer(copies=1, source="kv_buffer_device cpu: a buffer on the host for each layer of the KV cache")


def _p2p(_config: Mapping[str, Any], extra: Mapping[str, Any], _env: Mapping[str, object]) -> HostBuffer:
    size = number(extra.get("mem_pool_size_gb"))
    size = _POOL_DEFAULT if size is None else size
    return HostBuffer(round(size * GIB), "mem_pool_size_gb of P2pNcclConnector, 32 unless said")


_READ: Final[dict[str, Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, object]], HostBuffer]]] = {
    "OffloadingConnector": _native,
    "SimpleCPUOffloadConnector": _simple,
    "LMCacheConnectorV1": _lmcache,
    "LMCacheConnectorV1Dynamic": _lmcache,
    "LMCacheMPConnector": _lmcache_server,
    "NixlConnector": _nixl,
    "NixlPullConnector": _nixl,
    "NixlPushConnector": _nixl,
    "P2pNcclConnector": _p2p,
}
