"""Downloads by huggingface_hub, which resumes what was cut off, and draws bars of its own where it may."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from huggingface_hub import HfApi, get_session, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    NotASafetensorsRepoError,
    RepositoryNotFoundError,
    SafetensorsParsingError,
)
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# The weights vLLM loads are safetensors; a second copy in another format would double the download.
_UNUSED = ["*.bin", "*.pth", "*.pt", "*.gguf", "*.msgpack", "*.h5", "original/*", "consolidated*"]


class HuggingFaceHub:
    """The hub. The token is the library's own business: HF_TOKEN, or the one that `hf auth login` keeps.

    ``bars``: the library may draw its progress on stderr.
    """

    def __init__(self, endpoint: str | None = None, *, bars: bool = True) -> None:
        self._endpoint = endpoint
        self._bars = bars

    def download(self, repo: str, revision: str | None, *, folder: Path | None, cache: Path) -> None:
        """Download a repository into ``folder``, or (None) into a Hugging Face cache, whose hub folder is ``cache``.

        Raises:
            InputError: no such repository, no permission, no network, or the disk is full. What came stays, for
                the next try.
        """
        _refuse_odd(self._endpoint)
        with _told(repo), _drawn(self._bars):
            snapshot_download(
                repo,
                revision=revision,
                local_dir=folder,
                cache_dir=None if folder else cache,
                ignore_patterns=_UNUSED,
                endpoint=self._endpoint,
            )

    def headers(self, repo: str, *, cache: Path) -> tuple[Path, tuple[tuple[str, str, tuple[int, ...], int], ...]]:
        """Return where a repository's config.json is now, and its tensors: name, dtype, shape, bytes; () for none.

        The config is fetched into the cache whose hub folder is ``cache``; of the weights, the headers alone are read.

        Raises:
            InputError: as for ``download``.
        """
        _refuse_odd(self._endpoint)
        api = HfApi(endpoint=self._endpoint)
        with _told(repo), _drawn(self._bars):
            config = api.hf_hub_download(repo, "config.json", cache_dir=cache)
            try:
                found = api.get_safetensors_metadata(repo)
            except NotASafetensorsRepoError:
                return Path(config), ()
        return Path(config), tuple(
            (name, tensor.dtype, tuple(tensor.shape), tensor.data_offsets[1] - tensor.data_offsets[0])
            for file in found.files_metadata.values()
            for name, tensor in file.tensors.items()
        )


def _refuse_odd(endpoint: str | None) -> None:
    """Refuse what is no address of a hub. The value is not shown: an address may hold a password."""
    if not endpoint:
        return
    try:
        parts = urlsplit(endpoint)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        message = "HF_ENDPOINT is no address of a hub: expected http:// or https:// and a host's name"
        raise InputError(message, hint="unset it to use the public hub")


@cache
def _transport_errors() -> tuple[type[Exception], ...]:
    """Return what the HTTP library that the hub's client uses raises by itself: another one in each of its releases."""
    library = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    names = ("HTTPError", "InvalidURL", "RequestException")
    return tuple(getattr(library, name) for name in names if hasattr(library, name))


@contextmanager
def _drawn(bars: bool) -> Iterator[None]:
    """Keep the library from drawing, unless it may; whoever has turned its bars off finds them off afterwards."""
    if bars or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """Tell what the hub refused in our own words."""
    try:
        yield
    except GatedRepoError:
        message = f"{repo} is gated: the hub wants a token whose owner accepted the licence"
        raise InputError(message, hint="accept it on the model's page, then set HF_TOKEN and try again") from None
    except RepositoryNotFoundError:
        message = f"the hub has no repository {repo}, or not for you"
        raise InputError(message, hint="check model.repo; a private one needs HF_TOKEN") from None
    except HFValidationError:
        message = f"{repo!r} is no folder, and cannot be the name of a repository"
        raise InputError(message, hint="a repository is owner/name: letters, digits, - _ and ., at most 96") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError, SafetensorsParsingError) as error:
        message = f"cannot download {repo}: {str(error).splitlines()[0]}"
        raise InputError(message, hint="check the network and try again; what came is kept") from None
    except OSError as error:
        message = f"cannot download {repo}: {error.strerror or error}"
        raise InputError(message, hint="free some disk space and try again; what came is kept") from None
    except _transport_errors() as error:
        message = f"cannot download {repo}: {str(error) or type(error).__name__}"
        raise InputError(message, hint="check the network and try again; what came is kept") from None
