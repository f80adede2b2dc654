"""The record of what runs: the labels that sparkctl writes on a service's container, written and read in one place.

Labels are the state: no file can disagree with them. Each of them stands for itself. One that is missing or damaged is
None, which is *unknown*, never 0 and never "nothing"; ``ServiceLabels.damaged`` says in words which one and why.

Three kinds of what is recorded:

* what the command says too, so that it need not be taken apart: service, recipe, served names, URL, mods, digest
* what the command does not say: what was laid over the recipe, and when the service counts as ready
* what is so at the moment of the creation: the claim, the id of the image behind its tag, and a digest of the secrets'
  values. It is in no spec digest: a better estimate never makes a running service "changed".
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

from sparkctl.base.lazy import regex

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping

SCHEMA: Final = 1
"""The version of what the labels mean. Labels of a newer one are unknown to this sparkctl."""

PREFIX: Final = "sparkctl."
LABEL_SCHEMA: Final = "sparkctl.schema"
LABEL_SERVICE: Final = "sparkctl.service"
LABEL_RECIPE: Final = "sparkctl.recipe"
LABEL_LAID_OVER: Final = "sparkctl.laid-over"
LABEL_SERVED_NAMES: Final = "sparkctl.served-names"
LABEL_URL: Final = "sparkctl.url"
LABEL_GROUP: Final = "sparkctl.group"
LABEL_CERTIFICATE: Final = "sparkctl.certificate"
LABEL_MODS: Final = "sparkctl.mods"
LABEL_READY: Final = "sparkctl.ready"
LABEL_CLAIM: Final = "sparkctl.claim"
LABEL_PEAK: Final = "sparkctl.peak"
LABEL_PINNED: Final = "sparkctl.pinned"
LABEL_GPUS: Final = "sparkctl.gpus"
LABEL_GPU_CLAIM: Final = "sparkctl.gpu-claim"
LABEL_GPU_PEAK: Final = "sparkctl.gpu-peak"
LABEL_IMAGE_ID: Final = "sparkctl.image-id"
LABEL_SECRETS: Final = "sparkctl.secrets"
LABEL_SPEC: Final = "sparkctl.spec"

LABEL_PROCESS: Final = "sparkctl.process"
"""The process that made a container (``Locks.me``): it identifies what that process left when it was killed."""
LABEL_TRIAL: Final = "sparkctl.trial"
"""On the container of one value of a sweep: it never stays, however ready it is."""
LABEL_KEPT: Final = "sparkctl.kept"
"""On a container that is to stay to be looked at, should it fail (--keep)."""
LABEL_ADOPTED: Final = "sparkctl.adopted"
"""Marks an adopted container that somebody else started: it is in the operator's state, not on the container."""
LABEL_JOB: Final = "sparkctl.job"
"""On a job's container: the job's name; ``job_labels`` has what is recorded beside it."""
LABEL_THROWAWAY: Final = "sparkctl.throwaway"
"""On a container for a moment: what it is for (reader, bake, code, image)."""

OF_THE_MOMENT: Final = frozenset(
    {
        *(LABEL_CLAIM, LABEL_PEAK, LABEL_GPUS, LABEL_GPU_CLAIM, LABEL_GPU_PEAK, LABEL_IMAGE_ID, LABEL_SECRETS),
        *(LABEL_PROCESS, LABEL_TRIAL, LABEL_KEPT),
    }
)
"""Labels that ``up`` writes differently from ``render`` (what starts here took), or that only ``up`` writes."""
IN_DIGEST: Final = frozenset({LABEL_RECIPE, LABEL_MODS})
"""sparkctl's labels that a spec's digest includes; the others repeat the command, or change from moment to moment."""
MOST_CHARACTERS: Final = 131072
"""The longest label that is read: no longer word can be given to a program (MAX_ARG_STRLEN of Linux)."""

_SERVICE: Final = regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_URL: Final = regex(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9.-]+)?\]):([1-9][0-9]{0,4})")
_BYTES: Final = regex(r"[1-9][0-9]{0,15}")
_IMAGE_ID: Final = regex(r"[A-Za-z0-9:._/@+-]{1,255}")
_DIGEST: Final = regex(r"[0-9a-f]{12}")
_HIGHEST_PORT: Final = 65535
_MOST_RANKS: Final = 1024
"""More than there are hosts of any group: a bound for what is read."""
_EXCERPT: Final = 40


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters")
    return text


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("a repetition")
    return values


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character")
    return text


Text = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=4096)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Hex = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2})*$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ServedNames = Annotated[tuple[Text, ...], Field(min_length=1), AfterValidator(_each_once)]


@dataclass(frozen=True, slots=True)
class RecordedMod:
    """One file of a mod that a container was started with. ``md5`` is 32 hex digits, or ``unpinned``."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")
    mod: Text
    target: Annotated[Text, Field(pattern=r"^/.")]
    md5: Annotated[str, Field(pattern=r"^(?:[0-9a-f]{32}|unpinned)$")]


@dataclass(frozen=True, slots=True)
class LaidOver:
    """What was laid over a recipe: its ``stack`` ("": none), and ``PATH=VALUE`` in their order, the stack's first.

    ``priority`` is the stack's: who stays when not all fit, the higher number. ``oom_score_adj`` is what followed from
    the priorities of all services of the stack, None where the recipe says it or there is no stack.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")
    stack: Annotated[str, AfterValidator(_printable)] = ""
    priority: Annotated[int, Field(ge=-(10**9), le=10**9)] = 0
    overrides: tuple[Annotated[str, AfterValidator(_without_nul)], ...] = ()
    oom_score_adj: Annotated[int, Field(ge=-1000, le=1000)] | None = None


@dataclass(frozen=True, slots=True)
class ReadySettings:
    """When a service counts as ready, as its recipe had it: seconds, shares by position, names of checks."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")
    timeout: Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
    probe: bool
    acceptance: dict[Text, Share]
    checks: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class SecretDigests:
    """A slow digest of each secret's value, by the secret's name; ``salt`` is the container's own ("": no secrets)."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")
    salt: Hex = ""
    digests: dict[Variable, Hex] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupRank:
    """A container's rank in a group: one model over several hosts, whose group has the service's name.

    ``hosts`` are the names of hosts.yaml by rank, the head's first; ``head`` is its address on the fabric, and ``port``
    where the ranks meet there.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")
    rank: Annotated[int, Field(ge=0, lt=_MOST_RANKS)]
    hosts: Annotated[tuple[Text, ...], Field(min_length=2, max_length=_MOST_RANKS), AfterValidator(_each_once)]
    head: Text
    port: Annotated[int, Field(ge=1, le=_HIGHEST_PORT)]

    @property
    def host(self) -> str:
        """The name of the host that it is on."""
        return self.hosts[self.rank] if self.rank < len(self.hosts) else ""

    @property
    def is_worker(self) -> bool:
        """Whether another one is the head, which alone has a server."""
        return self.rank > 0


@dataclass(frozen=True, slots=True)
class ServiceLabels:
    """A container's labels as values. None is unknown. Sizes are in bytes.

    ``recipe`` is a recipe's name, or its file's absolute path where it was named by its file. ``served_names`` are
    those that clients use, the first one the server's own. ``certificate`` is the file of this host with the one that
    a server of https shows, None where it speaks http or the file is not known. ``group`` is None for a service of one
    host; a worker of a group has no ``url``. ``pinned_bytes`` of the claim are
    buffers of the host, which no process shows as its own and which are held since it is ready; 0 has no label.
    ``gpus`` are the UUIDs of the GPUs with their own memory that it was admitted on, None where it takes the host's
    alone; ``gpu_claim_bytes`` of the claim, and ``gpu_peak_bytes`` of the peak, are on each of them.
    ``image_id`` is what the engine had behind the image's tag. It and ``secrets`` are None also for a container that
    was made from a pasted command. ``damaged`` has a line for each other label that is missing, and for each that
    cannot be read.
    """

    service: str | None = None
    recipe: str | None = None
    laid_over: LaidOver | None = None
    served_names: tuple[str, ...] | None = None
    url: str | None = None
    certificate: str | None = None
    group: GroupRank | None = None
    mods: tuple[RecordedMod, ...] | None = None
    ready: ReadySettings | None = None
    claim_bytes: int | None = None
    peak_bytes: int | None = None
    pinned_bytes: int = 0
    gpus: tuple[str, ...] | None = None
    gpu_claim_bytes: int | None = None
    gpu_peak_bytes: int | None = None
    image_id: str | None = None
    secrets: SecretDigests | None = None
    digest: str | None = None
    damaged: tuple[str, ...] = field(default=(), compare=False)

    @property
    def served_name(self) -> str | None:
        """The name that a client asks by."""
        return self.served_names[0] if self.served_names else None

    @property
    def mod_names(self) -> tuple[str, ...] | None:
        """The names of the mods, each once."""
        return None if self.mods is None else tuple(dict.fromkeys(mod.mod for mod in self.mods))

    def to_labels(self) -> dict[str, str]:
        """Return the labels; unknown values have none."""
        given = ((row.label, row.write, getattr(self, row.field)) for row in _ROWS)
        known = {label: write(value) for label, write, value in given if value is not None and value != 0}
        return {LABEL_SCHEMA: str(SCHEMA), **known}


class _Row(NamedTuple):
    """A label and its field. ``read`` raises ValueError for what is not ``expected``."""

    label: str
    field: str
    expected: str
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    optional: bool = False


def _matched(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(pattern.pattern)
        return text

    return read


def _bytes(text: str) -> int:
    return int(_matched(_BYTES)(text))


def _url(text: str) -> str:
    found = _URL.fullmatch(text)
    if not found or int(found[1]) > _HIGHEST_PORT:
        raise ValueError(text)
    return text


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(text)
    return _printable(text)


def _recipe(text: str) -> str:
    if not text:
        raise ValueError("nothing")
    return _printable(text)


def _json(label: str, name: str, expected: str, kind: Any, *, optional: bool = False) -> _Row:  # noqa: ANN401  (a type)
    """Return the row of a label that holds JSON; what is as by default is left out."""

    @cache
    def adapter() -> TypeAdapter[Any]:
        """Build what reads it, which takes a tenth of a plan's time, when there is something to read."""
        return TypeAdapter(kind)

    def read(text: str) -> object:
        return adapter().validate_json(text, strict=True)

    def write(value: object) -> str:
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))

    return _Row(label, name, expected, read, write, optional)


def _plain(value: Any) -> object:  # noqa: ANN401  (any value of a label)
    """Return what JSON can say of a value; fields that are as by default are left out."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if not is_dataclass(value):
        return value
    given = {each.name: getattr(value, each.name) for each in fields(value)}
    default = {
        each.name: each.default if each.default_factory is MISSING else each.default_factory() for each in fields(value)
    }
    return {name: _plain(each) for name, each in given.items() if each != default[name]}


_ROWS: Final = (
    _Row(LABEL_SERVICE, "service", "a service's name", _matched(_SERVICE)),
    _Row(LABEL_RECIPE, "recipe", "a recipe's name or file", _recipe),
    _json(LABEL_LAID_OVER, "laid_over", "stack, priority and overrides as JSON", LaidOver),
    _json(LABEL_SERVED_NAMES, "served_names", "a JSON list of names", ServedNames),
    _Row(LABEL_URL, "url", "the server's address, such as http://127.0.0.1:8000", _url),
    _Row(LABEL_CERTIFICATE, "certificate", "an absolute path", _path, optional=True),
    _json(LABEL_GROUP, "group", "rank, hosts, head and port as JSON", GroupRank, optional=True),
    _json(LABEL_MODS, "mods", "a JSON list of mods with target and md5", tuple[RecordedMod, ...]),
    _json(LABEL_READY, "ready", "timeout, probe, acceptance and checks as JSON", ReadySettings),
    _Row(LABEL_CLAIM, "claim_bytes", "a number of bytes", _bytes),
    _Row(LABEL_PEAK, "peak_bytes", "a number of bytes", _bytes),
    _Row(LABEL_PINNED, "pinned_bytes", "a number of bytes", _bytes, optional=True),
    _json(LABEL_GPUS, "gpus", "a JSON list of GPUs", ServedNames, optional=True),
    _Row(LABEL_GPU_CLAIM, "gpu_claim_bytes", "a number of bytes", _bytes, optional=True),
    _Row(LABEL_GPU_PEAK, "gpu_peak_bytes", "a number of bytes", _bytes, optional=True),
    _Row(LABEL_IMAGE_ID, "image_id", "an image's id", _matched(_IMAGE_ID), optional=True),
    _json(LABEL_SECRETS, "secrets", "digests of secrets as JSON", SecretDigests, optional=True),
    _Row(LABEL_SPEC, "digest", "12 hex digits", _matched(_DIGEST)),
)
"""Every label but the schema's, in the order in which they are written."""


def read(labels: Mapping[str, str]) -> ServiceLabels:
    """Return what a container's labels say. Nothing in them is an error: what cannot be read is unknown.

    Labels of a newer schema are all unknown but the service's name, since they may mean something else.
    """
    schema = labels.get(LABEL_SCHEMA, "")
    if schema not in {"", str(SCHEMA)}:
        found, _ = _readings({name: labels[name] for name in labels if name == LABEL_SERVICE})
        expected = f"{LABEL_SCHEMA}: expected {SCHEMA}, found {_excerpt(schema)}: written by another sparkctl"
        return ServiceLabels(**found, damaged=(expected,))
    found, damaged = _readings(labels)
    if LABEL_ADOPTED in labels:
        damaged = [
            f"sparkctl did not start it: sparkctl up {found.get('service', '')} --replace puts its own in its place"
        ]
    return ServiceLabels(**found, damaged=tuple(damaged))


def is_ours(labels: Mapping[str, str]) -> bool:
    """Return whether sparkctl made a container: a service's, a job's, or one for a moment."""
    return LABEL_SERVICE in labels or LABEL_JOB in labels or bool(labels.get(LABEL_THROWAWAY))


def _readings(labels: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    damaged = [] if LABEL_SCHEMA in labels else [f"{LABEL_SCHEMA} is missing"]
    for row in _ROWS:
        text = labels.get(row.label)
        if text is None:
            damaged += [] if row.optional else [f"{row.label} is missing"]
            continue
        try:
            found[row.field] = row.read(_short(text))
        except ValueError:
            damaged.append(f"{row.label}: expected {row.expected}, found {_excerpt(text)}")
    group = found.get("group")
    if group is not None and group.is_worker and LABEL_URL not in labels:
        damaged.remove(f"{LABEL_URL} is missing")
    return found, damaged


def _short(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        raise ValueError("too long")
    return text


def _excerpt(text: str) -> str:
    """Return the beginning of a label, with every character escaped that could move a terminal's cursor."""
    cut = f"… ({len(text):,} characters)" if len(text) > _EXCERPT else ""
    return f"{json.dumps(text[:_EXCERPT])}{cut}"
