"""What cannot be asked of the hub is refused before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.world.local.hub import HuggingFaceHub

if TYPE_CHECKING:
    from pathlib import Path

CLOSED = "http://127.0.0.1:9"
"""The discard port, where nobody listens."""


@pytest.mark.parametrize("repo", ["./nosuch", "a--b/x", "nosuch/x.", "a" * 300, "a\udcff/b", ""])
def test_a_name_that_no_repository_has_is_an_input_error(tmp_path: Path, repo: str) -> None:
    hub = HuggingFaceHub(CLOSED, bars=False)
    with pytest.raises(InputError, match="cannot be the name of a repository"):
        hub.headers(repo, cache=tmp_path)
    with pytest.raises(InputError, match="cannot be the name of a repository"):
        hub.download(repo, None, folder=None, cache=tmp_path)


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://a", "http://", "http://[", "http://a:99999"])
def test_an_address_that_is_none_is_an_input_error_that_does_not_show_it(tmp_path: Path, endpoint: str) -> None:
    hub = HuggingFaceHub(endpoint, bars=False)
    with pytest.raises(InputError, match="HF_ENDPOINT is no address of a hub") as caught:
        hub.headers("a/b", cache=tmp_path)
    assert endpoint not in caught.value.message.replace("http:// or https://", "")
    with pytest.raises(InputError, match="HF_ENDPOINT is no address of a hub"):
        hub.download("a/b", None, folder=None, cache=tmp_path)


def test_a_hub_that_does_not_answer_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot download a/b"):
        HuggingFaceHub(CLOSED, bars=False).headers("a/b", cache=tmp_path)
