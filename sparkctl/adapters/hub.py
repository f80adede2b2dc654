"""Downloads by huggingface_hub, which shows its own progress and resumes what was cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from sparkctl.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# The weights vLLM loads are safetensors; a second copy in another format would double the download.
_UNUSED = ["*.bin", "*.pth", "*.pt", "*.gguf", "*.msgpack", "*.h5", "original/*", "consolidated*"]


class HuggingFaceHub:
    """The hub. The token is the library's own business: HF_TOKEN, or the one that `hf auth login` keeps."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def download(self, repo: str, revision: str | None, *, folder: Path | None, cache: Path) -> None:
        """Download a repository into ``folder``, or (None) into the Hugging Face cache at ``cache``.

        Raises:
            InputError: no such repository, no permission, no network, or the disk is full. What came stays, for
                the next try.
        """
        try:
            snapshot_download(
                repo,
                revision=revision,
                local_dir=folder,
                cache_dir=None if folder else cache / "hub",
                ignore_patterns=_UNUSED,
                endpoint=self._endpoint,
            )
        except GatedRepoError:
            message = f"{repo} is gated: the hub wants a token whose owner accepted the licence"
            raise InputError(message, hint="accept it on the model's page, then set HF_TOKEN and try again") from None
        except RepositoryNotFoundError:
            message = f"the hub has no repository {repo}, or not for you"
            raise InputError(message, hint="check model.repo; a private one needs HF_TOKEN") from None
        except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError) as error:
            message = f"cannot download {repo}: {str(error).splitlines()[0]}"
            raise InputError(message, hint="check the network and try again; what came is kept") from None
        except OSError as error:
            message = f"cannot download {repo}: {error.strerror or error}"
            raise InputError(message, hint="free some disk space and try again; what came is kept") from None
