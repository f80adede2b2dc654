"""What a flag, a variable or an option of ``docker run`` does, in one sentence of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.vllm.data import data_files

if TYPE_CHECKING:
    from collections.abc import Mapping


def of_flag(name: str) -> str | None:
    """Return what a flag of ``vllm serve`` does, None where no sentence is there; ``name`` has no dashes in front.

    Of ``compilation-config.cudagraph_mode`` it is the sentence of ``compilation-config``.
    """
    return sentences("flags").get(name.partition(".")[0])


def of_variable(name: str) -> str | None:
    """Return what an environment variable of the server does, None where no sentence is there."""
    return sentences("variables").get(name)


def of_option(name: str) -> str | None:
    """Return what an option of ``docker run`` does, by its long name without dashes; ``image`` is the image itself."""
    return sentences("docker").get(name)


def sentences(kind: str) -> Mapping[str, str]:
    """Return the sentences of a kind by name: flags, variables or docker."""
    found: Mapping[str, str] = data_files.values("flag-words.yaml")[kind]
    return found
