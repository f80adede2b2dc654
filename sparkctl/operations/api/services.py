"""What the Python API does with services: started, stopped, read; ``Spark`` has these methods beside its own.

Each is done to all of a service, also where it runs over several hosts as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule
from sparkctl.operations.memory.asked_set import AskedSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.services import named_services, running
    from sparkctl.operations.services.running import Stopped
    from sparkctl.operations.status import services as deployed
    from sparkctl.operations.status.services import ServiceNow, ServiceStatus
    from sparkctl.recipes.service import Service
else:
    deployed = LazyModule("sparkctl.operations.status.services")
    running = LazyModule("sparkctl.operations.services.running")
    named_services = LazyModule("sparkctl.operations.services.named_services")


class ServiceMethods:
    """The methods of a Spark that are about services that run, or shall."""

    _world: World

    def up(
        self,
        *names: str,
        overrides: Sequence[str] = (),
        strict: bool = False,
        replace: bool = False,
        keep: bool = False,
        fit: bool = False,
        download: bool = False,
        named: str | None = None,
    ) -> list[Service]:
        """Start a set and prove each of its services healthy; return them. What is up stays up.

        Those whose starts have room together start together, unless one of them sizes its cache by the free memory.
        Called for one after another, it starts them so. The name of a service that was started over several hosts
        (``up_on_hosts``) means the same hosts.

        Args:
            names: recipes and stacks.
            overrides: what is laid over them, as for ``plan``.
            strict: a flag that a recipe's vLLM does not have is an error.
            replace: stop and start again what runs but differs from its recipe.
            keep: leave a container that failed, to look at it.
            fit: take the first smaller setting with which the set fits, where it does not as it is.
            download: download the models that are not on this host.
            named: the name of the one service, in place of its recipe's.

        Raises:
            SetDoesNotFitError: with the plan; nothing was touched.
            InputError: a file or a name that cannot be used, a model that is not here, a secret without a value, or
                a service that differs from its recipe and may not be replaced; nothing was touched.
            EngineError: the engine refuses, or a port or a name is taken.
            ModError: a mod's file is not what it has to be.
            NotReadyError: a service did not become ready; its container is removed unless ``keep``.
            CheckError: it does not answer as its recipe requires.
        """
        asked = AskedSet(names, tuple(overrides), strict=strict, replace=replace, keep=keep, named=named)
        return named_services.up(self._world, asked, fit=fit, download=download)

    def attach(self, name: str) -> Service:
        """Wait for a service that somebody else started, prove it as ``up`` does, and return it.

        Raises:
            InputError: no service of this name is deployed, or its recipe is gone.
            EngineError, ModError, NotReadyError, CheckError: as for ``up``; what failed is removed only where it
                was left by a killed command and what ran before comes back in its place.
        """
        return running.attach(self._world, name)

    def restart(self, name: str) -> Service:
        """Stop a service and start its container again, as it is; prove it as ``up`` does, and return it.

        A service over several hosts is stopped on all of them and started as one; what is returned is its head.

        Raises:
            InputError: no service of this name is deployed, its recipe is gone, or it is half a group.
            DoesNotFitError: the memory that it gave back is not free any more; it stays stopped.
            EngineError, ModError, NotReadyError, CheckError: as for ``up``; its container stays, and those of a service
                over several hosts are ended.
        """
        return named_services.restart(self._world, name)

    def down(self, *names: str, everything: bool = False) -> Stopped:
        """Stop and remove services by their names, those of recipes or stacks. Models, images and mods stay.

        A service over several hosts is ended on all of them.

        Args:
            names: services, recipes or stacks.
            everything: every container of this engine alone, in place of names: of a service over several hosts, the
                rank that is here.

        Raises:
            InputError: no names and not everything, or a name that is none; nothing was stopped.
            EngineError: the engine refuses, or a host is not reached: a rank there may still run.
        """
        return named_services.down(self._world, names, everything=everything)

    def services(self) -> list[ServiceNow]:
        """Return the services that have a container, by name, and what each does."""
        return deployed.services(self._world)

    def status(self, name: str) -> ServiceStatus:
        """Return what a service does: starting, ready, busy, stuck, failing or dead, and how fast it is.

        It is looked at for a second, and for up to twenty where a slow service cannot be told from a stuck one sooner.
        Of a service over several hosts its head is looked at, which has its server.

        Raises:
            InputError: no service of this name is deployed.
            NotReadyError: it is half of a service over several hosts.
        """
        return named_services.status(self._world, name)

    def logs(self, name: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Return a service's log line by line, as its server wrote it.

        Of a service over several hosts it is that of all ranks by time, each line after its rank.

        Args:
            name: the service.
            tail: of what is there already, only so many lines.
            follow: go on until the service ends; not for one over several hosts.

        Raises:
            InputError: no service of this name is deployed, or one over several hosts is to be followed.
        """
        return named_services.log(self._world, name, tail=tail, follow=follow)
