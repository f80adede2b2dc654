"""A recipe deployed under a name: what it is made of, what it will take, and what is assumed.

Its command is made by its template, when something of it is first asked for (``sparkctl.recipes.command``).
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.memory.items import Where
from sparkctl.recipes.host_side import caches
from sparkctl.vllm.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging.version import Version

    from sparkctl.memory.footprint import Footprint, Sizing
    from sparkctl.mods.placed import MountedMod
    from sparkctl.planning.admission import Wanted
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.host_side.side import HostSide
    from sparkctl.recipes.hosts.ranks import RankPlace
    from sparkctl.recipes.recipe import Recipe
    from sparkctl.recipes.sizing.smaller import Resizer
    from sparkctl.vllm.kinds import ServerKind
    from sparkctl.world.labels import LaidOver, SecretDigests, ServiceLabels
    from sparkctl.world.spec import ContainerSpec

CERTIFICATE: Final = "/run/tls/certificate.pem"
KEY: Final = "/run/tls/key.pem"
"""Where ``serve.tls`` is in the container."""
MAX_SOURCE: Final = 65_536
"""Characters of one template file; the shipped ones have two thousand."""
MAX_BYTES: Final = 4 * MAX_SOURCE
"""Bytes of one template file: a character in UTF-8 has at most four."""


class Source(NamedTuple):
    """Where a model comes from: its ``folder`` on this host, or (None) its repository through the cache.

    ``here`` is the folder or the cache's snapshot that has its files; else ``missing`` says, in words, why not;
    ``damaged``: a part of it is there.
    """

    repo: str
    folder: Path | None = None
    here: Path | None = None
    missing: str | None = None
    damaged: bool = False


class Template(NamedTuple):
    """A template's name, text, and the folders that it may include from.

    ``shipped``: it and all that it includes came with sparkctl.
    """

    name: str
    text: str
    folders: tuple[Path, ...]
    shipped: bool = False


class Inputs(NamedTuple):
    """Everything that decides what a service's container will be.

    ``recipe_reference`` is what the recipe can be found by again: its name, or its file's absolute path. ``rank`` is
    its place in a group, None for a service of one host; ``recipe`` is as of that rank.
    """

    name: str
    recipe_reference: str
    laid_over: LaidOver
    recipe: Recipe
    version: Version
    template: Template
    operator: Operator
    model: Source
    draft: Source | None
    mods: tuple[MountedMod, ...]
    footprint: Footprint
    sizing: Sizing
    resizer: Resizer
    host: HostSide
    rank: RankPlace | None = None


class Command(NamedTuple):
    """A service's docker run command: its ``words``, and ``spec``, the same parsed.

    ``record`` are the labels that the words have, and ``digest`` changes with whatever changes what runs.
    """

    words: tuple[str, ...]
    spec: ContainerSpec
    record: ServiceLabels
    digest: str


class Service(NamedTuple):
    """A recipe deployed under a name.

    ``command`` returns its docker run command, which is made when it is first called. ``secrets_file`` is the env-file
    that the command names, None for a recipe without secrets; ``wanted`` is what the plan needs to know of it. ``host``
    is what its container gets of this host. ``footprint`` is estimated, and its flags follow from it; ``expected`` is
    the same with what starts on this host have taken. ``made_of`` is as in ``recipes.command``: where it is the same
    as before, the command need not be made to know it.

    What is read of the command raises InputError where the template fails, or yields no docker run command of this
    service. That was said already, when the service was read, unless its command is certain (``recipes.certain``).
    """

    name: str
    recipe_name: str
    recipe: Recipe
    command: Callable[[], Command]
    footprint: Footprint
    sizing: Sizing
    mods: tuple[MountedMod, ...]
    model: Source
    draft: Source | None
    secrets_file: Path | None
    wanted: Wanted
    resizer: Resizer
    expected: Footprint
    host: HostSide
    made_of: Callable[[], str] = str

    @property
    def words(self) -> tuple[str, ...]:
        """The docker run command."""
        return self.command().words

    @property
    def spec(self) -> ContainerSpec:
        """The same, parsed: what its container will be."""
        return self.command().spec

    @property
    def record(self) -> ServiceLabels:
        """The labels that the command has."""
        return self.command().record

    @property
    def digest(self) -> str:
        """What changes when anything changes that changes what runs."""
        return self.command().digest

    @property
    def sources(self) -> tuple[Source, ...]:
        """The models that it needs: its own, and its draft's."""
        return (self.model,) if self.draft is None else (self.model, self.draft)

    @property
    def url(self) -> str:
        """The address of the server on this host."""
        return url_of(self.recipe)

    @property
    def kind(self) -> ServerKind:
        """What its server does, by its recipe's flags and its model's architecture."""
        return kind_of(self.recipe.args, self.resizer.facts.config)

    @property
    def certificate(self) -> str | None:
        """The file of this host with the certificate that its server shows; None: it shows none, or it is not known."""
        return self.record.certificate

    def at_creation(self, image_id: str | None, secrets: SecretDigests, gpus: tuple[str, ...] = ()) -> ContainerSpec:
        """Return the container to create now: its claim is what starts here took, where one is known.

        ``gpus`` are the keys of the GPUs with their own memory that it goes on.
        """
        record = replace(self.record, **self._claims(gpus), image_id=image_id, secrets=secrets)
        spec = self.spec.with_labels(record.to_labels())
        return spec if image_id is None else caches.of_image(spec, image_id)

    def _claims(self, gpus: tuple[str, ...]) -> dict[str, Any]:
        """Return the claim and the peak as labels have them: on each GPU with its own memory, and of all together."""
        if not gpus:
            return {"claim_bytes": self.expected.steady_bytes, "peak_bytes": self.expected.peak_bound_bytes}
        on, beside = self.expected.part(Where.GPU), self.expected.part(Where.HOST)
        claim, peak = on.steady_bytes + beside.steady_bytes, on.peak_bytes + beside.peak_bytes
        own = {"gpus": gpus, "gpu_claim_bytes": on.steady_bytes, "gpu_peak_bytes": on.peak_bytes}
        return {"claim_bytes": claim, "peak_bytes": peak, **own}


def reached_at(recipe: Recipe) -> str:
    """Return where the server answers, in words: on this host, and where it is open to the network."""
    bind = recipe.serve.bind
    every = ipaddress.ip_address(bind).is_unspecified
    return f"{url_of(recipe)}, and open to the network at {recipe.serve.place}" if every else url_of(recipe)


def url_of(recipe: Recipe) -> str:
    """Return where the server answers on this host; one that is open to the network also answers on the loopback."""
    bind = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(recipe.serve.bind, recipe.serve.bind)  # noqa: S104  (compared)
    host = f"[{bind}]" if ":" in bind else bind
    return f"{'https' if recipe.encrypted else 'http'}://{host}:{recipe.serve.port}"


def model_argument(recipe: Recipe, model: Source) -> str:
    """Return what the server is told to load: the folder in the container, or the repository."""
    if model.folder is None:
        return recipe.model.repo
    return recipe.model.mount or f"/models/{Path(recipe.model.path or recipe.model.repo).name}"


def draft_argument(draft: Source) -> str:
    """Return what the server is told to draft with: the folder in the container, or the repository."""
    return draft.repo if draft.folder is None else f"/models/draft/{draft.folder.name}"
