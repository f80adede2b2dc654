"""Whether the docker command line and the adapter create the same container, by what ``docker inspect`` shows.

What is left out of the comparison is written here and nowhere else:

* Of the whole only ``Path``, ``Args``, ``Image``, ``Platform``, ``Config``, ``HostConfig``, ``Mounts`` and, of
  NetworkSettings, each network's aliases are compared: the rest is the engine's own (ids, times, paths, addresses).
* null, "", [] and {} are the same as a missing key: the command line sends some empty, the SDK leaves them out.
* ``Config.Hostname``, when none was ordered: the engine writes the beginning of the container's id.
* ``Config.AttachStdin``, ``AttachStdout``, ``AttachStderr`` and ``StdinOnce``: ``docker create`` prepares for an
  ``attach``, ``docker run --detach`` and the adapter do not; they say what the client did, not what runs.
* ``HostConfig.ConsoleSize``: the size of the terminal in which the command line ran.
* The names that the engine invents for unnamed volumes (64 hex digits) in ``Mounts``.
* The order of ``Config.Env``, ``HostConfig.Binds``, ``HostConfig.Ulimits`` and ``Mounts``: the command line keeps
  these in Go maps, and the engine lists mounts in any order. The order of one variable's repetitions is kept.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.world.docker.engine import DockerEngine
    from sparkctl.world.spec import ContainerSpec

COMPARED = ("Path", "Args", "Image", "Platform", "Config", "HostConfig", "Mounts")
CLIENTS_OWN = {"AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce", "ConsoleSize"}
INVENTED = re.compile(r"[0-9a-f]{64}")


def assert_same_container(
    engine: DockerEngine,
    docker_host: str,
    spec: ContainerSpec,
    *ways: Sequence[str],
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Create ``spec`` by the adapter and by the command line, and compare; nothing is left.

    ``ways`` are the words of ``docker create …`` that an operator would write; without any, the spec's own. Spec and
    words name the container, which gets other names while it is compared. ``environment`` is the operator's, and that
    of ``engine``.
    """
    ways = ways or (grammar.words(spec, "create"),)
    names = [f"{spec.name}-{number}" for number in range(len(ways) + 1)]
    try:
        for name, words in zip(names[1:], ways, strict=True):
            place = list(words).index("--name") + 1
            _docker(docker_host, [*words[1:place], name, *words[place + 1 :]], environment)
        engine.create(replace(spec, name=names[0]))
        by_adapter, *by_command_line = _inspected(docker_host, names, environment)
    finally:
        for name in names:
            engine.remove(name)
    for words, found in zip(ways, by_command_line, strict=True):
        assert list(_differences(found, by_adapter)) == [], words


def normalised(inspected: dict[str, Any]) -> dict[str, Any]:
    """Return what is compared."""
    value = {key: inspected[key] for key in COMPARED}
    value["Networks"] = {
        name: network.get("Aliases") for name, network in inspected["NetworkSettings"]["Networks"].items()
    }
    if value["Config"]["Hostname"] == inspected["Id"][:12]:
        del value["Config"]["Hostname"]
    value["Config"]["Env"] = sorted(value["Config"]["Env"] or (), key=lambda variable: variable.partition("=")[0])
    value["HostConfig"]["Binds"] = sorted(value["HostConfig"]["Binds"] or ())
    value["HostConfig"]["Ulimits"] = sorted(value["HostConfig"]["Ulimits"] or (), key=lambda limit: limit["Name"])
    value["Mounts"] = sorted(value["Mounts"], key=lambda mount: mount["Destination"])
    return dict(_without_empty(value))


def _differences(by_command_line: Any, by_adapter: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 (JSON)
    if isinstance(by_command_line, dict) and isinstance(by_adapter, dict):
        for key in sorted(by_command_line.keys() | by_adapter.keys()):
            yield from _differences(by_command_line.get(key), by_adapter.get(key), f"{path}.{key}".lstrip("."))
    elif by_command_line != by_adapter:
        yield f"{path}: {by_command_line!r} by the command line, {by_adapter!r} by the adapter"


def _inspected(docker_host: str, names: Sequence[str], environment: Mapping[str, str]) -> list[dict[str, Any]]:
    found = json.loads(_docker(docker_host, ["inspect", "--type", "container", *names], environment))
    return [normalised(one) for one in found]


def _docker(docker_host: str, words: Sequence[str], environment: Mapping[str, str]) -> str:
    command = ["docker", "--host", docker_host, *words]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _without_empty(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        inner = {key: _without_empty(each) for key, each in value.items() if key not in CLIENTS_OWN}
        return {key: each for key, each in inner.items() if each not in (None, "", [], {})}
    if isinstance(value, list):
        return [_without_empty(each) for each in value]
    if isinstance(value, str) and INVENTED.search(value):
        return INVENTED.sub("(invented)", value)
    return value
