"""An image from one engine to another without a registry: what `docker save` and `docker load` do, as streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.bounded import BOUNDS, read_json
from sparkctl.world.docker.errors import RULES, Rule, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from docker import APIClient

    from sparkctl.world.docker.errors import Endpoint

SILENCE_S: Final = 1800.0
"""For so long an engine may say nothing while it packs or unpacks: a choice, far above what 20 GB take."""
_PIECE: Final = 1024 * 1024
_PLATFORM: Final = (1, 48)
"""The API that saves one platform of an image of several (Docker 28): of the others an engine has no layers."""
_LOAD_RULES: Final = (
    Rule(
        r"unexpected EOF|invalid tar header|archive/tar",
        "what came is no whole image",
        "run the command again",
    ),
    *RULES,
)


def saved(client: APIClient, endpoint: Endpoint, reference: str, api: tuple[int, ...]) -> Iterator[bytes]:
    """Yield an image as a tar archive.

    Raises:
        EngineError: the engine has no such image, or stopped answering.
    """
    with endpoint.asked(f"save the image {reference}"):
        params = {}
        if api >= _PLATFORM:
            described: dict[str, Any] = client.inspect_image(reference)  # type: ignore[no-untyped-call]  # the stub's
            names = {"os": "Os", "architecture": "Architecture", "variant": "Variant"}
            params = {
                "platform": json.dumps({key: described[name] for key, name in names.items() if described.get(name)})
            }
        raw: Any = client
        answer = raw._get(  # noqa: SLF001  (get_image of the SDK names no platform)
            raw._url("/images/{0}/get", reference),  # noqa: SLF001
            params=params,
            stream=True,
            timeout=SILENCE_S,
        )
        raw._raise_for_status(answer)  # noqa: SLF001
        with answer:
            yield from answer.iter_content(_PIECE)


def load(client: APIClient, endpoint: Endpoint, pieces: Iterable[bytes]) -> None:
    """Take in an image.

    Raises:
        EngineError: the engine refuses it, has no room, or stopped answering.
    """
    doing = "load an image"
    with endpoint.asked(doing, _LOAD_RULES):
        # load_image of the SDK gives up where the engine unpacks in silence for a minute.
        raw: Any = client
        answer = raw._post(  # noqa: SLF001
            raw._url("/images/load"),  # noqa: SLF001
            data=iter(pieces),
            params={"quiet": True},
            stream=True,
            timeout=SILENCE_S,
        )
        raw._raise_for_status(answer)  # noqa: SLF001
        with answer:
            for line in answer.iter_lines():
                said = read_json(line, BOUNDS) if line else None
                if isinstance(said, dict) and "error" in said:
                    raise refusal(str(said["error"]), doing, _LOAD_RULES)


def tag(client: APIClient, image: str, reference: str) -> None:
    """Give an image another name."""
    head, slash, last = reference.rpartition("/")
    name, colon, version = last.partition(":")
    client.tag(image, f"{head}{slash}{name}", version if colon else "latest")
