"""The world that the commands act on: the operator's folders, the catalog, and the ports, made once at the door.

What it hands out is imported when it is asked for: few commands want services, images and records at once.
"""

from __future__ import annotations

import os
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from platformdirs import user_config_path, user_state_path

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.real_path import real
from sparkctl.base.shown import Boundary
from sparkctl.memory.pool import HostProfile
from sparkctl.operations import secrets
from sparkctl.operations.gateway.keys import servers
from sparkctl.operations.guard import host_places
from sparkctl.operations.hosts import ssh
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.host_side.operator import Operator, hub_cache
from sparkctl.world import opening
from sparkctl.world.engine import ENGINE_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sparkctl.mods import images
    from sparkctl.mods.images import Images
    from sparkctl.operations import deployed, records
    from sparkctl.operations.deployed import Deployed
    from sparkctl.operations.exchange import adopted
    from sparkctl.operations.hosts.connection import Reach
    from sparkctl.operations.memory import hub_models, machine
    from sparkctl.operations.records import Records
    from sparkctl.recipes import reading
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.service import Service
    from sparkctl.world.door_ports import DoorOpener
    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.host import Copies, Host, Models
    from sparkctl.world.opening import Doors
    from sparkctl.world.ports import Clock, Fetcher, Files, Hub, Ports, Report, ServiceManager, Store, Supervisor
    from sparkctl.world.web import Streams
else:
    adopted = LazyModule("sparkctl.operations.exchange.adopted")
    images = LazyModule("sparkctl.mods.images")
    deployed = LazyModule("sparkctl.operations.deployed")
    hub_models = LazyModule("sparkctl.operations.memory.hub_models")
    machine = LazyModule("sparkctl.operations.memory.machine")
    records = LazyModule("sparkctl.operations.records")
    reading = LazyModule("sparkctl.recipes.reading")


_FOLDERS: Final = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
"""The variables that say where an operator's folders are."""


class World:
    """The ports that an operation may use, and the ``report`` for its messages. Tests make one of fakes.

    ``simulated`` is whether its engine is the simulated Spark. ``boundary`` hides secrets from whoever reads; it
    is told every value that is known. ``reach`` is how other hosts are reached, and ``kept_of`` opens the folder of
    this machine in which the records of another host are. ``on`` is the host that it is the world of, "": this machine.
    ``about`` is told of which hosts is spoken from then on; () is this engine alone.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        operator: Operator,
        environ: Mapping[str, str],
        report: Report,
        profile: str | HostProfile | None,
        doors: Doors,
        simulated: bool = False,
    ) -> None:
        self.catalog = catalog
        self.operator = operator
        self.environ = environ
        self.report = report
        self.simulated = simulated
        self.reach: Reach = ssh.by_ssh
        self.kept_of: Callable[[Path], Store] = ssh.kept_of
        self.on = ""
        self.about: Callable[[Sequence[str]], None] = lambda _: None
        self._doors = doors
        self._profile = profile
        self.boundary = Boundary(secrets.known(environ, self._secrets_file, self._secret_names))
        self.boundary.know(servers.every(operator.state))

    @cached_property
    def ports(self) -> Ports:
        """All the doors; the engine's is opened when this is first used."""
        return adopted.known(self._doors.ports(), self.operator.state, self.report)

    @property
    def engine(self) -> Engine:
        """The engine."""
        return self.ports.engine

    @property
    def streams(self) -> Streams:
        """Streamed completions."""
        return self.ports.streams or self._doors.streams()

    @cached_property
    def files(self) -> Files:
        """The files of this machine, which are there also when the engine is not."""
        return self._doors.files()

    @cached_property
    def own_files(self) -> Files:
        """The files of the machine that sparkctl runs on, where ``files`` are those of another host."""
        return (self._doors.own_files or self._doors.files)()

    @cached_property
    def clock(self) -> Clock:
        """The clock of this machine, which is there also when the engine is not."""
        return self._doors.clock()

    @cached_property
    def manager(self) -> ServiceManager:
        """The service manager, which starts programs together with this host."""
        return self._doors.manager()

    @property
    def door(self) -> DoorOpener:
        """Opens the gateway's door to clients."""
        return self._doors.door

    @cached_property
    def supervisor(self) -> Supervisor:
        """The supervisor that started this process and watches it."""
        return self._doors.supervisor()

    @cached_property
    def disk_models(self) -> Models:
        """The models on this machine's disk, also where the engine's are simulated."""
        return self._doors.models()

    @cached_property
    def copies(self) -> Copies:
        """The files of models on this machine's disk, for copies between hosts."""
        return self._doors.copies()

    @cached_property
    def hub(self) -> Hub:
        """The hub that models come from."""
        return self._doors.hub(self.environ.get("HF_ENDPOINT"))

    @cached_property
    def fetcher(self) -> Fetcher:
        """The network, for files of mods."""
        return self._doors.fetcher()

    @cached_property
    def host(self) -> Host:
        """The host, which is there also when the engine is not."""
        return self._doors.host()

    @cached_property
    def records(self) -> Records:
        """The stored starts of this engine; available even if the engine is not."""
        return records.Records(self._doors.store())

    @cached_property
    def profile(self) -> HostProfile:
        """The host's profile: its total and its reserve; where none is named, that of the kinds of its GPUs."""
        if isinstance(self._profile, HostProfile):
            return self._profile
        if self._profile is not None:
            return self.catalog.load("host", self._profile, HostProfile)
        return machine.profile(self.catalog, self.host.gpus())

    def loader(self, models: Models, images: Images | None = None, profile: HostProfile | None = None) -> Loader:
        """Return what turns names into services; ``images`` are asked where their packages are.

        ``profile`` is another host's. The hub is asked of a model of which nothing else is known.
        """
        return reading.Loader(
            self.catalog, models, self.operator, profile or self.profile, images, hub=partial(hub_models.facts, self)
        )

    def offline_loader(self, models: Models, images: Images | None = None) -> Loader:
        """Return the same for a command that must not wait: of the hub, what it said before is all that counts."""
        kept = partial(hub_models.kept, self)
        return reading.Loader(self.catalog, models, self.operator, self.profile, images, hub=kept)

    @cached_property
    def images(self) -> Images:
        """The known facts about the engine's images; nothing is kept for simulated ones: faults change their files."""
        return self.images_of(self.engine, ask=True)

    @cached_property
    def known_images(self) -> Images:
        """The same for a command that touches nothing: what was asked before."""
        return self.images_of(self.engine, ask=False)

    def images_of(self, engine: Engine, *, ask: bool) -> Images:
        """Return what is known of an engine's images; ``ask``: what is not known may be asked of them."""
        kept = None if engine.info().kind == "sim" else self.operator.state
        return images.Images(engine, self.ports.files, kept, ask=ask)

    def services(self, loader: Loader, located: Sequence[Located], *, later: bool = False) -> list[Service]:
        """Return the services of recipes, and tell what is doubtful about them; ``later`` as for the loader."""
        services = loader.services(located, later=later)
        for warning in dict.fromkeys(map(str, loader.warnings)):
            self.report.warn(warning)
        return services

    def service_names(self, names: Sequence[str], there: Collection[str]) -> list[str]:
        """Return the services that names mean, each once: a stack's, else the name itself where it is one of ``there``.

        ``there`` are the services that are deployed. A name that nothing has is left as it is.
        """
        found: list[str] = []
        for name in names:
            known = self.catalog.knows_stack(name) or (name not in there and self.catalog.knows(name))
            found += [member.service for member in self.catalog.members(name)] if known else [name]
        return list(dict.fromkeys(found))

    def one_service(self, name: str) -> str:
        """Return the one service that a name means: itself, or of a stack its only one.

        Raises:
            InputError: it is a stack of several.
            EngineError: the engine does not answer.
        """
        found = self.service_names([name], deployed.names(self.engine))
        if len(found) > 1:
            raise InputError(f"{name} is a stack of {len(found)} services", hint=f"name one of them: {' '.join(found)}")
        return found[0]

    def secret_values(self, service: Service) -> tuple[dict[str, str], list[str]]:
        """Return the values of a service's secrets, and the names that have none.

        A key of its own (``serve.own-key``) is no missing one: where it is not made yet, it will be.

        Raises:
            InputError: the secrets file, or that of its own key, is not as it has to be.
        """
        values, missing = secrets.resolve(service.recipe.secrets, self.environ, self.stored_secrets)
        if service.recipe.serve.own_key and secrets.API_KEY in missing:
            missing.remove(secrets.API_KEY)
            own = self._own_key(service.name)
            values |= {} if own is None else {secrets.API_KEY: own}
        return values, missing

    def required_secrets(self, service: Service) -> dict[str, str]:
        """Return the values of a service's secrets; its own key is made if there is none yet.

        Raises:
            InputError: one has none; its name and where to put the value. Or as for ``secret_values``.
        """
        values, missing = self.secret_values(service)
        if service.recipe.serve.own_key and secrets.API_KEY not in values:
            values[secrets.API_KEY] = servers.made(self.operator.state, service.name, self.files)
            self.boundary.know([values[secrets.API_KEY]])
        if missing:
            hint = f"set it in your environment, or as NAME=value in {self._secrets_file} (mode 600)"
            raise InputError(f"{service.name}: no value for {', '.join(missing)}", hint=hint)
        return values

    def refuse_elsewhere(self) -> None:
        """Refuse an engine that is not on this host (EngineError), where memory, models and mods are another's."""
        deployed.refuse_elsewhere(self.engine)

    def deployed(self) -> list[Deployed]:
        """Return what is deployed, each service once; what is set aside only where nothing has taken its place.

        Whether it is ready is asked only where the server's address is this host's.
        """
        here = self.engine.info().elsewhere is None
        host, http = (self.ports.host, self.ports.http) if here else (None, None)
        return deployed.current(deployed.deployed(self.engine, host, http, self.api_key))

    @property
    def api_key(self) -> str | None:
        """The operator's key for the servers that want one."""
        values, _ = secrets.resolve([secrets.API_KEY], self.environ, self.stored_secrets)
        return values.get(secrets.API_KEY)

    def key_of(self, container: Container) -> str | None:
        """Return the key that a container's server wants: the one that it was started with, else the operator's."""
        return deployed.key_of(container, self.api_key)

    def key_at(self, service: str) -> str | None:
        """Return the key that a service without a container would be started with: the operator's, else its own.

        Raises:
            InputError: as for ``secret_values``.
        """
        return self.api_key or self._own_key(service)

    def _own_key(self, service: str) -> str | None:
        found = servers.known(self.operator.state, service, self.files)
        self.boundary.know([] if found is None else [found])
        return found

    @cached_property
    def stored_secrets(self) -> dict[str, str]:
        """The operator's secrets file, ``secrets.env`` in their configuration folder.

        Raises:
            InputError: it cannot be read, others can read it, or a line is not NAME=value.
        """
        return secrets.stored(self._secrets_file)

    @property
    def _secrets_file(self) -> Path:
        return self.operator.config / "secrets.env"

    @cached_property
    def _secret_names(self) -> frozenset[str]:
        return self.catalog.secret_names()

    def hide_secrets_of(self, container: Container) -> None:
        """Hide, from now on, the secrets that a container was started with: the operator may have others by now."""
        self.boundary.know(secrets.of_environment(dict(container.env), self._secret_names))


def real_world(
    *,
    engine: str | None = None,
    folder: str | None = None,
    profile: str | None = None,
    report: Report,
    tell: Callable[[str], None],
    bars: bool = False,
) -> World:
    """Return the world of this machine and this operator; ``tell`` is told of each call to the engine.

    ``bars``: libraries that draw their progress (the hub's, pip) may do so, on stderr.

    What is not given is as the environment says: SPARKCTL_ENGINE, SPARKCTL_RECIPES, SPARKCTL_PROFILE.

    Raises:
        InputError: the engine or the folder of recipes is none, or the operator's folders are not known.
    """
    operator = _operator(os.environ)
    folder = folder or os.environ.get("SPARKCTL_RECIPES")
    roots = [Root(operator.config, "yours"), Root(shipped_root(), "shipped")]
    if folder and not regular_file.is_folder(Path(folder)):
        message = f"--recipes (or SPARKCTL_RECIPES) names {folder}, which is no folder"
        raise InputError(message, hint="name a folder that holds recipes/, mods/ or templates/")
    if folder:
        roots.insert(0, Root(real(Path(folder)), "given"))
    kind = engine or os.environ.get("SPARKCTL_ENGINE") or _default_engine(os.environ)
    if kind not in ENGINE_NAMES:
        message = f"the engine (or SPARKCTL_ENGINE) is {kind!r}, expected {' or '.join(ENGINE_NAMES)}"
        raise InputError(message, hint="leave it out, or name one of these")
    return World(
        catalog=Catalog(roots),
        operator=operator if kind == "sim" else operator._replace(run=host_places.of_host(os.environ, operator.state)),
        environ=os.environ,
        report=report,
        profile=profile or os.environ.get("SPARKCTL_PROFILE") or None,
        doors=opening.doors(kind, operator.state, tell, bars=bars),
        simulated=kind == "sim",
    )


def _default_engine(environ: Mapping[str, str]) -> str:
    """Return docker where there is an NVIDIA driver or the operator named an engine, else the simulated Spark."""
    driver = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()
    return "docker" if driver or environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT") else "sim"


def _operator(environ: Mapping[str, str]) -> Operator:
    """Return the operator's folders; none of them is made.

    Raises:
        InputError: the home is not known, a variable that names a folder is no absolute path, or the working folder
            was removed.
    """
    for name in _FOLDERS:
        value = environ.get(name)
        if value is not None and not value.startswith("/") and (value.strip() or name == "HOME"):
            message = f"{name} is {value!r}, expected an absolute path"
            raise InputError(message, hint=f"set {name}" + ("" if name == "HOME" else " or unset it"))
    try:
        home = Path.home()
    except RuntimeError:
        message = f"no home folder is known: HOME is not set, and the user id {os.getuid()} has no entry in passwd"
        raise InputError(message, hint="set HOME to a folder of yours") from None
    try:
        Path.cwd()
    except OSError as error:
        message = f"the working folder cannot be used: {error.strerror}"
        raise InputError(message, hint="was it removed? cd to a folder that is there") from None
    cache = hub_cache(environ, home)
    return Operator(home, user_config_path("sparkctl"), user_state_path("sparkctl"), cache)
