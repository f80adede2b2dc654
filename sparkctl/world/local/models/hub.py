"""Downloads by huggingface_hub, which resumes interrupted ones, and draws its own progress bars if permitted."""

from __future__ import annotations

import importlib
import logging
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from huggingface_hub import get_session, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import logging as library_log
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from sparkctl.base.errors import InputError
from sparkctl.world.local.models import headers, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sparkctl.world.host import ModelRecord
    from sparkctl.world.ports import HubModel

_WITHOUT = "check the network; without it, name model facts (model.facts) or a folder that holds the model (model.path)"
_REFUSALS: dict[type[Exception], tuple[str, str]] = {
    GatedRepoError: (
        "{repo} is gated: the hub wants a token whose owner accepted the licence",
        "accept it on the model's page, then set HF_TOKEN and try again",
    ),
    RevisionNotFoundError: (
        "{repo} has no such revision on the hub",
        "check model.revision: a branch, a tag or a commit",
    ),
    RepositoryNotFoundError: (
        "the hub has no repository {repo}, or not for you",
        "check its name (model.repo); a private one needs HF_TOKEN",
    ),
    HFValidationError: (
        "{repo!r} is no folder, and cannot be the name of a repository",
        "a repository is owner/name: letters, digits, - _ and ., at most 96",
    ),
}
"""The hub's refusals in our own words, by the first class that matches an error."""
_OF_THE_NETWORK = (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError)


class HuggingFaceHub:
    """The hub. The token is the library's own business: HF_TOKEN, or the one that `hf auth login` keeps.

    ``bars``: the library may draw its progress on stderr. ``patience``: for how many seconds nothing may come of what a
    repository says of its model.
    """

    def __init__(self, endpoint: str | None = None, *, bars: bool = True, patience: float = headers.PATIENCE) -> None:
        self._endpoint = endpoint
        self._patience = patience
        self._bars = bars

    def download(self, repo: str, revision: str | None, *, folder: Path | None, cache: Path) -> None:
        """Download a repository into ``folder``, or (None) into a Hugging Face cache, whose hub folder is ``cache``.

        Raises:
            InputError: no such repository, no permission, no network, or the disk is full. What came stays, for
                the next try.
        """
        _refuse_odd(self._endpoint)
        with _told(repo, "download"), _drawn(self._bars):
            snapshot_download(
                repo,
                revision=revision,
                local_dir=folder,
                cache_dir=None if folder else cache,
                ignore_patterns=list(recorded.UNUSED),
                endpoint=self._endpoint,
            )

    def described(self, repo: str, revision: str | None) -> HubModel:
        """Return what a repository says of its model: its config.json, and of its weights the headers alone.

        Raises:
            InputError: no such repository, no permission, no network, a hub that does not answer, or files that are
                not what they claim.
        """
        _refuse_odd(self._endpoint)
        with _told(repo, "read"), _drawn(bars=False), _silent():
            return headers.described(repo, revision, self._endpoint, self._patience)

    def texts(self, repo: str, revision: str | None, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return small files of a repository at a revision; without those that it has not, and at most a MiB of each.

        Raises:
            InputError: no such repository, no permission, no network, or a hub that does not answer.
        """
        _refuse_odd(self._endpoint)
        with _told(repo, "read"), _drawn(bars=False), _silent():
            return headers.texts(repo, revision, names, self._endpoint, self._patience)

    def listed(self, repo: str, revision: str | None) -> ModelRecord:
        """Return the commit of a revision and the files that a server may read, with their sums; one question.

        Raises:
            InputError: no such repository or revision, no permission, no network, or a hub that does not answer.
        """
        _refuse_odd(self._endpoint)
        with _told(repo, "read"), _drawn(bars=False), _silent():
            return headers.listed(repo, revision, self._endpoint, self._patience)


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
    """Stop the library from drawing unless it may; if a user has turned its bars off, they stay off afterwards."""
    if bars or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the library from logging: what went wrong is told once, by the error that it raises."""
    before = library_log.get_verbosity()
    library_log.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        library_log.set_verbosity(before)


@contextmanager
def _told(repo: str, verb: str) -> Iterator[None]:
    """Tell what the hub refused in our own words; ``verb`` is what was tried: download or read."""
    failed, kept = f"cannot {verb} {repo}", "; what came is kept" if verb == "download" else ""
    again = f"check the network and try again{kept}" if kept else _WITHOUT
    try:
        yield
    except tuple(_REFUSALS) as error:
        kind = next(kind for kind in _REFUSALS if isinstance(error, kind))
        message, hint = _REFUSALS[kind]
        raise InputError(message.format(repo=repo), hint=hint) from None
    except headers.NoAnswerError as error:
        raise InputError(f"{failed}: {error}", hint=_WITHOUT) from None
    except OSError as error:
        network = isinstance(error, _OF_THE_NETWORK)
        said = _first_line(error) if network else error.strerror or str(error)
        hint = again if network else f"free some disk space and try again{kept}"
        raise InputError(f"{failed}: {said}", hint=hint) from None
    except _transport_errors() as error:
        raise InputError(f"{failed}: {_first_line(error)}", hint=again) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
