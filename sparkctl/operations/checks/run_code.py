"""Code that a model wrote, run where it can do nothing: in a container without network, mounts and GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from sparkctl.base.errors import EngineError
from sparkctl.base.units import MIB, format_duration
from sparkctl.world.spec import ContainerSpec, HealthCheck
from sparkctl.world.throwaway import throwaway

if TYPE_CHECKING:
    from sparkctl.world.engine import Engine
    from sparkctl.world.ports import Clock

TIMEOUT_S: Final = 20.0
_MEMORY: Final = 512 * MIB
_PIDS: Final = 64
_LOOK_S: Final = 0.2


class CodeRunner:
    """Runs Python in throwaway containers of one image, which has to contain it; ``process`` is ``Locks.me``."""

    def __init__(self, engine: Engine, clock: Clock, image: str, process: str) -> None:
        self._engine = engine
        self._clock = clock
        self._image = image
        self._process = process

    def run(self, code: str) -> tuple[bool, str]:
        """Return whether a program ended well, and its last line, or why it did not. The container is gone afterwards.

        Raises:
            EngineError: the engine refuses.
        """
        with throwaway(self._engine, self._spec(code), "code", self._process) as created:
            self._engine.start(created)
            return self._ended(created)

    def _spec(self, code: str) -> ContainerSpec:
        return ContainerSpec(
            image=self._image,
            name=f"sparkctl-code-{uuid4().hex[:12]}",
            entrypoint="python3",
            command=("-I", "-c", code),
            network="none",
            memory=_MEMORY,
            memory_swap=_MEMORY,
            pids_limit=_PIDS,
            user="65534:65534",
            env=(("NVIDIA_VISIBLE_DEVICES", "void"),),
            log_driver="json-file",
            log_opts=(("max-file", "1"), ("max-size", "1m")),
            health=HealthCheck(disable=True),
        )

    def _ended(self, created: str) -> tuple[bool, str]:
        began = self._clock.monotonic()
        while True:
            now = self._engine.container(created)
            if now is None:
                raise EngineError("the container in which the model's code ran was removed by somebody else")
            if now.state in {"exited", "dead"}:
                last = next(iter(self._engine.logs(created, tail=1)), "")
                return now.exit_code == 0, last or f"exit code {now.exit_code} and no word"
            if self._clock.monotonic() - began >= TIMEOUT_S:
                return False, f"it did not end within {format_duration(TIMEOUT_S)}"
            self._clock.sleep(_LOOK_S)
