"""A generation: everything that one apply resolved and put into effect, enough to restore it. Values, kept as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sparkctl.planning.box.declared import (  # noqa: TC001  (pydantic reads it at run time)
    DeclaredGateway,
    DeclaredRoute,
    DeclaredService,
)

PENDING: Final = "pending"
"""The outcome of an apply that has not ended, or whose process was killed."""
APPLIED: Final = "applied"
FAILED: Final = "failed"
"""The outcome of an apply that failed; what ran before was restored as far as possible."""


@dataclass(frozen=True, slots=True)
class KeptMod:
    """One file of a mod as it was mounted: the mod, the path in the container, and the md5 of the verified copy."""

    mod: str
    target: str
    md5: str


@dataclass(frozen=True, slots=True)
class KeptService:
    """A service as an apply resolved it.

    ``recipe`` is the name by which the recipe was found, ``text`` the recipe as YAML after ``extends`` and all
    overrides (``overrides``, PATH=VALUE). ``words`` are its docker run command, without the values of secrets, and
    ``digest`` that of its spec. ``image`` is the name in the command, ``image_id`` the image that the engine had under
    that name, and ``image_digests`` its names by digest in registries. ``revision`` is the commit of the model's files,
    None if they are a folder of this host or the commit is not known. ``draft`` and ``draft_revision`` are the same for
    its draft model, "" without one. ``secrets`` are names. ``inputs`` is a digest of everything from which the words
    and the text were made: if it is equal, they need not be made again for a comparison. It is "" if it is not known,
    or not kept because one of the values may be a secret.
    """

    declared: DeclaredService
    recipe: str
    text: str
    words: tuple[str, ...]
    digest: str
    image: str
    image_id: str
    image_digests: tuple[str, ...] = ()
    vllm: str = ""
    model: str = ""
    revision: str | None = None
    overrides: tuple[str, ...] = ()
    mods: tuple[KeptMod, ...] = ()
    secrets: tuple[str, ...] = ()
    draft: str = ""
    draft_revision: str | None = None
    inputs: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The service's name."""
        return self.declared.name


@dataclass(frozen=True, slots=True)
class KeptGeneration:
    """What one apply resolved. ``number`` counts from 1; ``at`` is in seconds since the epoch; ``who`` is the user.

    ``stack`` is the stack's name and ``file`` the file that it was read from. ``restores`` is the generation that a
    rollback brought back. ``reserve_bytes``, ``act_bytes`` and ``floor_bytes`` are the stack's host settings, None for
    a setting that it does not have. ``routes`` and ``gateway`` are its settings for its gateway, None for none. For a
    stack over several hosts, ``services`` are those of this host, and ``whole`` is a digest of the whole stack, the
    same on each host; "" for a stack of one machine. ``elsewhere`` is what the stack says about services on other
    hosts, for the host with its gateway.
    """

    number: int
    stack: str
    file: str
    at: float
    who: str
    services: tuple[KeptService, ...]
    restores: int | None = None
    reserve_bytes: int | None = None
    act_bytes: int | None = None
    floor_bytes: int | None = None
    routes: tuple[DeclaredRoute, ...] = ()
    gateway: DeclaredGateway | None = None
    whole: str = ""
    elsewhere: tuple[DeclaredService, ...] = ()

    def service(self, name: str) -> KeptService | None:
        """Return its service of this name, None where it has none."""
        return next((one for one in self.services if one.name == name), None)


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """How an apply ended: ``outcome`` is APPLIED or FAILED, ``words`` say why it failed, ``at`` as for a generation."""

    number: int
    outcome: str
    at: float
    words: str = ""
    removed: tuple[str, ...] = field(default=())
