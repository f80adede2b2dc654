"""A whole host in a container: systemd, Docker and this sparkctl, booted, rebooted, and left without power."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.command_line import Done, wait_for
from tests.support.docker_spark import HOST, RECIPE
from tests.support.engine_fixtures import STANDIN
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE: Final = "sparkctl-test/boot:latest"
FOLDER: Final = "/srv/box"
MODEL: Final = "/srv/model"
RESOURCE: Final = 24
"""CAP_SYS_RESOURCE (capabilities(7)): who has it may be less likely to be ended by the kernel than its parent."""


def may(capability: int) -> bool:
    """Return whether this machine lets anybody have a capability; a container gets no more."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("CapBnd:"))
    return bool(int(line.split()[1], 16) >> capability & 1)


class BootedHost:
    """A host, by the name of its container on the engine at ``docker_host``. Its ports are its own."""

    def __init__(self, docker_host: str, name: str, model: Path) -> None:
        self._docker_host = docker_host
        self.name = name
        self._model = model

    def docker(self, *words: str, given: bytes | None = None) -> str:
        """Run `docker` on the engine on which this host runs."""
        environment = {**os.environ, "DOCKER_HOST": self._docker_host}
        done = subprocess.run(["docker", *words], env=environment, input=given, capture_output=True, check=False)
        assert done.returncode == 0, f"docker {words[0]}: {done.stderr.decode()}"
        return done.stdout.decode().strip()

    def boot(self) -> None:
        """Make the host, and wait until it is up, with the stand-in server's image."""
        # Not --privileged: where the machine itself lacks a capability, that fails.
        rights = ["--cap-add=ALL", *([] if may(RESOURCE) else ["--cap-drop=SYS_RESOURCE"])]
        rights += [f"--security-opt={one}=unconfined" for one in ("seccomp", "apparmor", "systempaths")]
        rights += ["--cgroupns=private", "--device-cgroup-rule=a *:* rwm"]
        folders = ["--tmpfs=/run:exec", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec", "--volume=/var/lib/docker"]
        mounted = {str(REPOSITORY), sys.prefix, *({sys.base_prefix} - {"/usr"})}
        folders += [f"--volume={one}:{one}:ro" for one in sorted(mounted)] + [f"--volume={self._model}:{MODEL}:ro"]
        self.docker("run", "--detach", f"--name={self.name}", "--stop-signal=SIGRTMIN+3", *rights, *folders, IMAGE)
        self.is_up()
        archive = subprocess.run(
            ["docker", "save", STANDIN],
            env={**os.environ, "DOCKER_HOST": self._docker_host},
            capture_output=True,
            check=True,
        ).stdout
        self.docker("exec", "--interactive", self.name, "docker", "load", given=archive)

    def is_up(self) -> None:
        """Wait until systemd has started all, Docker too."""
        wait_for(lambda: self.inside("systemctl", "is-system-running").out.strip() in {"running", "degraded"}, 60)
        assert self.inside("systemctl", "is-system-running").out.strip() == "running", self.inside(
            "systemctl", "--failed", "--no-pager"
        ).out

    def reboot(self) -> None:
        """Stop all in its order, and boot again."""
        self.docker("restart", "--time=60", self.name)
        self.is_up()

    def cut_power(self) -> None:
        """End everything at once, and boot again."""
        self.docker("kill", self.name)
        self.docker("start", self.name)
        self.is_up()

    def remove(self) -> None:
        """Remove the host with its disk."""
        self.docker("rm", "--force", "--volumes", self.name)

    def inside(self, *words: str, environ: Mapping[str, str] | None = None) -> Done:
        """Run a command on the host, as root."""
        given = [f"--env={name}={value}" for name, value in (environ or {}).items()]
        done = subprocess.run(
            ["docker", "exec", *given, "--workdir=/", self.name, *words],
            env={**os.environ, "DOCKER_HOST": self._docker_host},
            capture_output=True,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def sparkctl(self, *words: str) -> Done:
        """Run a command of this sparkctl on the host."""
        environ = {"SPARKCTL_RECIPES": FOLDER, "SPARKCTL_PROFILE": "test", "SPARKCTL_ENGINE": "docker"}
        return self.inside(sys.executable, "-P", "-m", "sparkctl", *words, environ=environ)

    def write(self, path: str, text: str) -> None:
        """Write a file of the host."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1"'
        self.docker("exec", "--interactive", self.name, "sh", "-c", script, "-", path, given=text.encode())

    def recipes(self, *names: str) -> None:
        """Write a recipe of a stand-in server for each name, and a host's profile of little reserve."""
        self.write(f"{FOLDER}/recipes/hosts/test.yaml", HOST)
        for port, name in enumerate(names, 8101):
            text = RECIPE.format(model=MODEL, port=port, faults="load_s=0.3")
            self.write(f"{FOLDER}/recipes/{name}.yaml", text)

    def show(self, unit: str, *keys: str) -> list[str]:
        """Return what systemd says of a unit, in the order of the keys."""
        out = self.inside("systemctl", "show", unit, *(f"--property={key}" for key in keys)).expect(0).out
        found = dict(line.split("=", 1) for line in out.splitlines())
        return [found[key] for key in keys]

    def journal(self, unit: str, after: int = 0) -> list[str]:
        """Return what a unit said in this boot, without so many lines at the beginning."""
        words = ("journalctl", "--boot", "--no-pager", "--output=cat", f"--unit={unit}")
        return self.inside(*words).expect(0).out.splitlines()[after:]

    def lives(self) -> dict[str, str]:
        """Return the life of each container that runs on the host's engine: its id and its start."""
        running = self.inside("docker", "ps", "--quiet").expect(0).out.split()
        form = "{{.Name}} {{.Id}} {{.State.StartedAt}}"
        out = self.inside("docker", "inspect", "--format", form, *running).expect(0).out if running else ""
        return {line.split()[0].strip("/"): line.split(maxsplit=1)[1] for line in out.splitlines()}
