"""The page's view of its server: values to show, and an object that does what its buttons say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sparkctl.operations.page.view import GatewayOnPage, ServiceOnPage


class PageDesk(Protocol):
    """The gateway, as the page sees it. Called in the gateway's loop; nothing here blocks it."""

    def gateway(self) -> GatewayOnPage:
        """Return where it listens, the requests that are not over, and the use of keys and routes."""

    def service(self, one: ServiceOnPage) -> ServiceOnPage:
        """Return a service with what the desk knows of it: what it does now, when it will be ready, what may be done.

        One that the desk does not know is as it came.
        """

    async def start(self, service: str) -> str:
        """Begin to start a service, and return what was begun, as a sentence.

        Raises:
            SparkctlError: it is not to be started.
        """

    async def stop(self, service: str) -> str:
        """Stop a service as ``down`` does, so that nothing but an operator starts it again.

        Raises:
            SparkctlError: it is not to be stopped.
        """

    async def pin(self, service: str, *, pinned: bool) -> str:
        """Keep a service as it is, whoever wants its memory, or let it go again.

        Raises:
            SparkctlError: there is none of this name.
        """

    async def cancel(self, request: str) -> str:
        """Break a request off.

        Raises:
            SparkctlError: it is over.
        """


class PageKeys(Protocol):
    """The keys of the gateway, as the page asks for them. No key is kept here, only names."""

    def needed(self) -> bool:
        """Return whether there are keys: then nothing is shown without one."""

    def named(self, key: str) -> str | None:
        """Return the name of a key, None where it is none that is known."""

    def may_administer(self, name: str) -> bool:
        """Return whether the key of this name is known still, and may start, stop and cancel."""
