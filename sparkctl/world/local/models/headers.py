"""A model's description in a hub repository: config.json, and the headers of its safetensors, never a tensor.

Requests go out by the session of huggingface_hub, with its token and its addresses. Each is made in a thread that
nobody waits for longer than some seconds: a name that is not resolved, too, takes no longer. The library's own function
for headers waits a minute for an index and tries again five times.
"""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

from huggingface_hub import HfApi, get_session, hf_hub_url
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

from sparkctl.base import shard_names
from sparkctl.base.bounded import JsonBounds, UnreadableError, read_json
from sparkctl.base.errors import InputError
from sparkctl.base.shard_names import INDEX, SEPARATE_QUANTIZATION
from sparkctl.base.units import MIB
from sparkctl.world.host import ModelFile, ModelRecord
from sparkctl.world.local.models import recorded
from sparkctl.world.ports import HubModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PATIENCE: Final = 5.0
"""Seconds for which nothing may come."""
_AT_ONCE: Final = 8
"""Requests under way at once."""
_FIRST: Final = 100_000
"""Bytes that are asked for first: most headers are shorter."""
_LENGTH: Final = 8
"""Bytes in front of a header: its length."""
_LONGEST: Final = 100_000_000
"""The largest header that the safetensors library itself reads."""
_BOUNDS: Final = JsonBounds(size=64 * MIB, parts=1_000_000)
_DIMENSIONS: Final = 8

T = TypeVar("T")
R = TypeVar("R")


class NoAnswerError(Exception):
    """The hub is silent."""

    def __init__(self, patience: float) -> None:
        super().__init__(f"the hub has not answered for {patience:g} s")


def described(repo: str, revision: str | None, endpoint: str | None, patience: float) -> HubModel:
    """Return a repository's commit, config.json and tensors; ``patience`` is in seconds.

    Raises:
        NoAnswerError: nothing came for so long.
        InputError: a file that is not what it claims, or no config.json.
        Exception: what the library and its HTTP client raise.
    """
    api = HfApi(endpoint=endpoint)
    (info,) = _each(lambda name: api.model_info(name, revision=revision, timeout=patience), [repo], patience)
    names = frozenset(sibling.rfilename for sibling in info.siblings or ())
    if "config.json" not in names:
        message = f"{repo} on the hub has no config.json: it is no model that vLLM serves by this name"
        raise InputError(message, hint="a repository of GGUF files or adapters needs the model that it was made from")
    return _Repository(repo, info.sha or revision or "main", endpoint, names, patience).described()


def listed(repo: str, revision: str | None, endpoint: str | None, patience: float) -> ModelRecord:
    """Return a repository's commit and those of its files that a server may read; ``patience`` is in seconds.

    Raises:
        NoAnswerError: nothing came for so long.
        Exception: what the library and its HTTP client raise.
    """
    api = HfApi(endpoint=endpoint)
    ask = partial(api.model_info, revision=revision, timeout=patience, files_metadata=True)
    (info,) = _each(ask, [repo], patience)
    files = [
        ModelFile(one.rfilename, one.size or 0, recorded.sum_of(one.lfs.sha256 if one.lfs else one.blob_id or ""))
        for one in info.siblings or ()
        if recorded.is_read(one.rfilename)
    ]
    return ModelRecord(recorded.commit_of(info.sha or ""), tuple(sorted(files)))


def texts(
    repo: str, revision: str | None, wanted: Sequence[str], endpoint: str | None, patience: float
) -> dict[str, bytes]:
    """Return small files of a repository, those that it has; ``patience`` is in seconds.

    Raises:
        NoAnswerError: nothing came for so long.
        Exception: what the library and its HTTP client raise.
    """
    api = HfApi(endpoint=endpoint)
    (info,) = _each(lambda name: api.model_info(name, revision=revision, timeout=patience), [repo], patience)
    names = frozenset(sibling.rfilename for sibling in info.siblings or ())
    there = [name for name in wanted if name in names]
    at = _Repository(repo, info.sha or revision or "main", endpoint, names, patience)
    return dict(zip(there, _each(at.text, there, patience), strict=True))


@dataclass(frozen=True, slots=True)
class _Repository:
    """A repository at a commit, and the names of its files."""

    repo: str
    commit: str
    endpoint: str | None
    names: frozenset[str]
    patience: float

    def described(self) -> HubModel:
        config = self._config()
        found = _each(self._tensors, self._shards(), self.patience)
        return HubModel(self.commit, config, tuple(tensor for one in found for tensor in one))

    def _config(self) -> bytes:
        """Return config.json with what ModelOpt up to 0.29 says beside it of the quantization, as vLLM reads both."""
        wanted = [name for name in ("config.json", SEPARATE_QUANTIZATION) if name in self.names]
        text, *separate = _each(self._get, wanted, self.patience)
        config = _json(f"config.json of {self.repo}", text)
        if not separate or config.get("quantization_config") is not None:
            return text
        said = _json(f"{SEPARATE_QUANTIZATION} of {self.repo}", separate[0])
        return json.dumps({**config, "quantization_config": said}).encode()

    def _get(self, name: str, span: str | None = None) -> bytes:
        headers = build_hf_headers() | ({"range": f"bytes={span}"} if span else {})
        url = hf_hub_url(self.repo, name, revision=self.commit, endpoint=self.endpoint)
        answer = get_session().get(url, headers=headers, timeout=self.patience)
        hf_raise_for_status(answer)
        return bytes(answer.content)

    def text(self, name: str) -> bytes:
        """Return a file of at most a mebibyte; of a longer one, its beginning."""
        return self._get(name, f"0-{MIB - 1}")[:MIB]

    def _shards(self) -> list[str]:
        """Return the safetensors that are loaded: those of the index, else all but a second copy in another format."""
        if INDEX in self.names:
            (text,) = _each(self._get, [INDEX], self.patience)
            listed = _json(f"{INDEX} of {self.repo}", text).get("weight_map")
            shards = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
            missing = [name for name in shards if name not in self.names]
            if missing or not shards:
                found = f"{missing[0]}, which is not there" if missing else "no file"
                raise InputError(f"{INDEX} of {self.repo} on the hub names {found}", hint="is its upload unfinished?")
            return shards
        files = shard_names.loaded(name for name in self.names if "/" not in name)
        missing = sorted(shard_names.counted(files) - files)
        if missing:
            message = f"{self.repo} on the hub has no {missing[0]}, which the names of its other files count"
            raise InputError(message, hint="is its upload unfinished?")
        return sorted(files)

    def _tensors(self, name: str) -> list[tuple[str, str, tuple[int, ...], int]]:
        return tensors_of(f"{name} of {self.repo}", self._header(name))

    def _header(self, name: str) -> bytes:
        start = self._get(name, f"0-{_FIRST - 1}")
        length = int.from_bytes(start[:_LENGTH], "little")
        if len(start) < _LENGTH or length > _LONGEST:
            message = f"{name} of {self.repo} on the hub is no safetensors file"
            raise InputError(message, hint="is its upload unfinished? or it holds git-lfs pointers in place of files")
        text = start[_LENGTH : _LENGTH + length]
        if len(text) < length:
            text = self._get(name, f"{_LENGTH}-{_LENGTH + length - 1}")[:length]
        return text


def _each(ask: Callable[[T], R], wanted: Iterable[T], patience: float) -> list[R]:
    """Return the answers, in order.

    Raises:
        NoAnswerError: none came for that many seconds.
        Exception: what one of the questions raised.
    """
    waiting: queue.SimpleQueue[tuple[int, T]] = queue.SimpleQueue()
    came: queue.SimpleQueue[tuple[int, R | None, BaseException | None]] = queue.SimpleQueue()
    for number, one in enumerate(wanted):
        waiting.put((number, one))
    count = waiting.qsize()
    for _ in range(min(count, _AT_ONCE)):
        threading.Thread(target=_work, args=(ask, waiting, came), daemon=True).start()
    found: dict[int, Any] = {}
    while len(found) < count:
        try:
            number, answer, error = came.get(timeout=patience)
        except queue.Empty:
            raise NoAnswerError(patience) from None
        if error is not None:
            raise NoAnswerError(patience) if _is_late(error) else error
        found[number] = answer
    return [found[number] for number in range(count)]


def _work(
    ask: Callable[[T], R],
    waiting: queue.SimpleQueue[tuple[int, T]],
    came: queue.SimpleQueue[tuple[int, R | None, BaseException | None]],
) -> None:
    while not waiting.empty():
        try:
            number, one = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            came.put((number, ask(one), None))
        except BaseException as error:  # noqa: BLE001  (raised again where the answers are awaited)
            came.put((number, None, error))


def _is_late(error: BaseException) -> bool:
    """Return whether an error is the time-out of one of the HTTP libraries that the hub's client has used."""
    return any("Timeout" in kind.__name__ for kind in type(error).__mro__)


def tensors_of(where: str, header: bytes) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Return the tensors of a header: name, dtype, shape and bytes; ``where`` is the file in words.

    Raises:
        InputError: it is not what it claims.
    """
    found = []
    for name, entry in _json(f"the header of {where}", header).items():
        if name == "__metadata__":
            continue
        fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
        dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
        if not (isinstance(dtype, str) and _counts(shape) and _counts(offsets)) or len(offsets) != 2:  # noqa: PLR2004
            message = f"{where} on the hub: expected dtype, shape and data_offsets of tensor {name[:120]}"
            raise InputError(message, hint="its header is damaged")
        found.append((name, dtype, tuple(shape), max(0, offsets[1] - offsets[0])))
    return found


def _counts(value: object) -> TypeGuard[list[int]]:
    if not isinstance(value, list) or len(value) > _DIMENSIONS:
        return False
    return all(type(item) is int and 0 <= item < 2**63 for item in value)


def _json(where: str, text: bytes) -> dict[str, Any]:
    try:
        value = read_json(text, _BOUNDS)
    except UnreadableError as error:
        raise InputError(f"{where} on the hub: expected JSON, found {error.message}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} on the hub: expected a map, found {type(value).__name__}")
    return value
