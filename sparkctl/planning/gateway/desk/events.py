"""What the desk is told about requests, services and the box. Values.

An outcome (``ServiceStarted``, ``StartFailed``, ``ServiceStopped``, ``StopFailed``) belongs to an effect of the desk,
and each such effect has one. All other changes of a service come by ``ServicesSeen``, which gives the present state
and may be repeated: what the desk itself does to a service at that moment has precedence over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.request import DeskRequest
    from sparkctl.planning.gateway.desk.room import Fits
    from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState


# --- requests -------------------------------------------------------------------------------------------------------


class RequestAsked(NamedTuple):
    """A request has come; its ``at`` and ``place`` are the desk's to fill in. Its id is new."""

    request: DeskRequest


class RequestLeft(NamedTuple):
    """The client is gone, whatever it waited for. For an unknown request nothing happens."""

    id: str


class FirstByte(NamedTuple):
    """The first byte of its answer went to the client."""

    id: str


class RequestEnded(NamedTuple):
    """The last byte of its answer went to the client, or its server broke off."""

    id: str


class RequestRests(NamedTuple):
    """Nothing is under way on an open connection (a websocket), or something is again."""

    id: str
    rests: bool = True


# --- services -------------------------------------------------------------------------------------------------------


class ServiceStarted(NamedTuple):
    """The start that the desk asked for has ended: the service is ready."""

    service: str


class StartFailed(NamedTuple):
    """The start that the desk asked for has failed.

    ``why`` and ``fix`` are sentences; ``passes`` is False for a cause that returns at each start. ``no_room``:
    admission refused it and nothing was begun, which is no failure of the service.
    """

    service: str
    why: str
    passes: bool = True
    no_room: bool = False
    fix: str = ""


class StartGoesOn(NamedTuple):
    """The progress of a start: what it does, in words without a full stop, and the expected seconds until ready."""

    service: str
    phase: str
    eta_s: float | None = None


class ServiceStopped(NamedTuple):
    """The stop that the desk asked for has ended: the service has no process any more."""

    service: str


class StopFailed(NamedTuple):
    """The stop that the desk asked for has not ended the service."""

    service: str
    why: str


class SeenAtDesk(NamedTuple):
    """The observed state of a service, which is never ``draining``.

    ``why`` is a sentence for held, paused, stuck and off. ``busy``: it answers requests, the desk's own included.
    ``wanted``: it has to run, does not, and waits for room although nobody asks: a service of `start: always`.
    ``wait_s``: it must not be started before this many seconds have passed (the agent's back-off).
    ``requests`` are running or waiting in its server, as the server counts them.
    """

    service: str
    state: DeskState
    why: str = ""
    busy: bool = False
    wanted: bool = False
    wait_s: float = 0.0
    phase: str = ""
    eta_s: float | None = None
    requests: int = 0


class FarSeen(NamedTuple):
    """Other hosts were looked at. Nothing is known of a service that is not among them."""

    services: tuple[SeenAtDesk, ...]


class ServicesSeen(NamedTuple):
    """The agent has looked. A service that is not among them is left as it is.

    ``others_start`` is something starting that is not one of the desk's services, "" for nothing: starts are one at a
    time. The look was made after the last outcome that the desk was told. A service that the desk wanted held is
    ``held``, even if that could not be written.
    """

    services: tuple[SeenAtDesk, ...]
    others_start: str = ""


class ServerLost(NamedTuple):
    """A server refused a connection: it gets no requests until the agent has looked."""

    service: str


class ServicePinned(NamedTuple):
    """An operator pinned a service on the page, or unpinned it: while it is pinned nothing stops it."""

    service: str
    pinned: bool


# --- the box --------------------------------------------------------------------------------------------------------


class MemoryLooked(NamedTuple):
    """The look that the desk asked for. ``fits`` is None if nobody could look; then ``why`` says so as a sentence."""

    fits: Fits | None
    why: str = ""


class GuardClosed(NamedTuple):
    """No start is admitted (``why`` is a sentence); "": starts are admitted again.

    ``waits``: the state ends by itself, as with an apply, so requests wait for its end as for a start.
    """

    why: str
    waits: bool = False


class StackDeclared(NamedTuple):
    """All services of the applied stack; sent at the beginning and after each change."""

    services: tuple[DeskDeclared, ...]


class DeskTick(NamedTuple):
    """Time has passed (``due.due_s``)."""


DeskEvent: TypeAlias = (
    RequestAsked
    | RequestLeft
    | FirstByte
    | RequestEnded
    | RequestRests
    | ServiceStarted
    | StartFailed
    | StartGoesOn
    | ServiceStopped
    | StopFailed
    | ServicesSeen
    | FarSeen
    | ServerLost
    | ServicePinned
    | MemoryLooked
    | GuardClosed
    | StackDeclared
    | DeskTick
)
