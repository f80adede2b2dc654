"""Messages of the SDK and the engine about failures, turned into a cause and a fix.

No exception of the SDK, of requests or of the socket below leaves the adapter: each call is made inside
:meth:`Endpoint.asked`. The engine's texts are those of Docker 20.10 to 29; where a text was found is beside it.
"""

from __future__ import annotations

import queue
import re
import signal
import socket
import ssl
import struct
import threading
from collections.abc import Callable  # noqa: TC003  (a NamedTuple's field)
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, TypeVar

import requests
import urllib3.exceptions
from docker.errors import APIError, DockerException, InvalidVersion, StreamParseError, TLSParameterError

from sparkctl.base.errors import EngineError, SparkctlError

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_REGISTER_TOOLKIT: Final = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"

# What the SDK may raise: its own errors, those of requests and urllib3, and the socket's; struct.error is a stream
# that breaks off inside the header of a frame.
SDK_ERRORS: Final = (
    DockerException,
    StreamParseError,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    struct.error,
)

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Rule(NamedTuple):
    """A text of the engine, what it means and what to do; both may use the pattern's named groups."""

    pattern: str
    meaning: str
    hint: str


RULES: Final = (
    Rule(
        r'container name "/?(?P<name>[^"]+)" is already in use by container "?(?P<id>[0-9a-f]{12})',
        "the name {name} is taken by the container {id}",
        "choose another name, or remove that container if it is yours: docker rm {name}",
    ),
    Rule(
        r"Bind for (?P<port>\S*?(?P<number>\d+)) failed: port is already allocated",
        "port {port} is taken by another container",
        "serve on another port; docker ps --filter publish={number} shows who has it",
    ),
    Rule(  # Docker 28: "failed to bind host port for IP:PORT:…", later without "for"; before: "listen tcp4 IP:PORT: …"
        r"(?:failed to bind host port (?:for )?|listen (?:tcp|udp)[46]? )"
        r"(?P<port>(?:\[[^\]]*\]|[\d.]*):(?P<number>\d+)).*address already in use",
        "port {port} is taken by a process of the host",
        "serve on another port; sudo ss -lntup 'sport = :{number}' shows who has it",
    ),
    Rule(  # in the same texts; "invalid argument" is an IPv6 address of one link, which needs its interface
        r"(?:failed to bind host port (?:for )?|listen (?:tcp|udp)[46]? )(?P<address>\[[^\]]*\]|[\d.]+):\d+.*"
        r"(?:cannot assign requested address|bind: invalid argument)",
        "{address} is no address of the engine's host",
        "ip address shows those that it has; 127.0.0.1 is reached from that host alone, 0.0.0.0 stands for all",
    ),
    Rule(
        r"Invalid container name \(/?(?P<name>.*?)\), only",
        "{name} is no name for a container",
        "two or more of the letters a to z and A to Z, digits, _ . and -, beginning with a letter or a digit",
    ),
    Rule(
        r"[Nn]o such image: (?P<image>\S+)",
        "the engine does not have the image {image}",
        "fetch it: docker pull {image}",
    ),
    Rule(
        r"container (?P<id>[0-9a-f]{12}) is using its referenced image|"
        r"image is being used by \S+ container (?P<same>[0-9a-f]{12})",
        "the container {id}{same} is made of it",
        "remove that container first, if nobody needs it: docker rm {id}{same}",
    ),
    Rule(
        r"bind source path does not exist: (?P<path>.+)",
        "there is no {path} on the engine's host to mount",
        "create it, or correct the path",
    ),
    Rule(  # nvidia-container-toolkit#434
        r'could not select device driver "cdi"',
        'the engine does not resolve CDI devices (could not select device driver "cdi")',
        'Docker 25 or newer, with "features": {{"cdi": true}} in /etc/docker/daemon.json, resolves them; then: sudo '
        "systemctl restart docker. Or give the recipe gpus: all",
    ),
    Rule(  # nixpkgs#337873
        r"(?P<text>could not select device driver .*)",
        "the NVIDIA container toolkit is not registered with the engine ({text})",
        f"{_REGISTER_TOOLKIT}; or give the recipe gpus: cdi:nvidia.com/gpu=all",
    ),
    Rule(  # moby#47633, nvidia-container-toolkit#1940
        r"unresolvable CDI devices? (?P<devices>[^:]+)",
        "no CDI specification on the engine's host describes {devices}",
        "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml; nvidia-ctk cdi list shows the names",
    ),
    Rule(  # NVIDIA/nvidia-docker#1283
        r"device error: (?P<device>\S+): unknown device",
        "the engine's host has no GPU {device}",
        "nvidia-smi -L lists the GPUs by index and by UUID; give the recipe one of them: gpus: …",
    ),
    Rule(  # dstack#2306
        r"invoking the NVIDIA Container Runtime Hook directly",
        "the NVIDIA container toolkit is in CDI mode and refuses --gpus (invoking the NVIDIA Container Runtime Hook "
        "directly is not supported)",
        "give the recipe gpus: cdi:nvidia.com/gpu=all",
    ),
    Rule(
        r"[Uu]nknown (?:or invalid )?runtime (?:specified|name):? ?(?P<runtime>[\w.-]+)",
        "the engine has no runtime {runtime}",
        f"for nvidia: {_REGISTER_TOOLKIT}",
    ),
    Rule(
        r"(?P<text>[^:\s][^:]*: no space left on device)",
        "the engine's disk is full ({text})",
        "docker system df shows what images and containers take; docker image prune frees unused images",
    ),
    Rule(
        r"exec format error",
        "the image is built for another kind of processor (exec format error)",
        "a DGX Spark needs an image for linux/arm64",
    ),
    Rule(
        r'exec: \\?"(?P<program>[^"\\]+)\\?": (?:executable file not found|stat )',
        "the image has no program {program}",
        "is this image's entrypoint the server itself, or does it take a whole command? see the recipe's template",
    ),
    Rule(
        r"[Cc]ontainer \S+ is (?P<state>not running|paused)",
        "it is {state}",
        "docker ps --all shows its state",
    ),
    Rule(
        r"network (?P<network>\S+) not found",
        "the engine has no network {network}",
        "docker network ls shows those that it has; docker network create {network} makes it",
    ),
    Rule(
        r"configured logging driver does not support reading",
        "its logging driver keeps nothing that can be read back",
        "use the logging driver json-file, local or journald",
    ),
    Rule(
        r"client version (?P<ours>[\d.]+) is too (?:old|new)",
        "the engine does not speak the API version {ours}",
        "update Docker Engine, or this Python's package docker",
    ),
)


def within(timeout_s: float, call: Callable[[], T]) -> T:
    """Make a call whose answer is a stream: the SDK switches its timeout off for those, and waits without an end.

    Raises:
        TimeoutError: it took longer than ``timeout_s`` seconds; a thread goes on waiting.
    """
    outcome: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()

    def run() -> None:
        try:
            value = call()
        except (*SDK_ERRORS, SparkctlError) as error:
            outcome.put(partial(_raise, error))
        else:
            outcome.put(lambda: value)

    threading.Thread(target=run, name="a stream of the engine", daemon=True).start()
    try:
        return outcome.get(timeout=timeout_s)()
    except queue.Empty:
        raise TimeoutError from None


def to_its_end(call: Callable[[], T]) -> T:
    """Make a call, and wait for its end also where a signal comes meanwhile, which is then raised.

    The engine does what it was asked for, whether somebody waits for the answer or not: whoever cleans up must come
    after it. Only a program's first thread has signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    came: list[int] = []
    handled = {number: signal.getsignal(number) for number in _ENDING}
    deferred = {number: handler for number, handler in handled.items() if callable(handler)}
    for number in deferred:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        return call()
    finally:
        for number, handler in deferred.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _raise(error: BaseException) -> NoReturn:
    raise error


def _silent(_doing: str) -> None:
    """Report nothing to anybody."""


class Endpoint(NamedTuple):
    """The engine as the operator named it, how long it may take to answer, and who is told of each call.

    ``of`` is the name of another host whose engine it is: its address is then a socket of ours that says nothing.
    """

    address: str
    timeout_s: float
    tell: Callable[[str], None] = _silent
    of: str = ""

    @property
    def socket(self) -> Path | None:
        """The socket on this host that the address names, None for another address."""
        path = self.address.removeprefix("unix://")
        return Path(path) if path.startswith("/") else None

    @contextmanager
    def asked(self, doing: str, rules: tuple[Rule, ...] = RULES) -> Iterator[None]:
        """Make a call; ``doing`` completes "cannot …" in the message, and ``rules`` explain what the engine says.

        Raises:
            EngineError: instead of everything that the SDK raises.
        """
        self.tell(doing)
        try:
            yield
        except SDK_ERRORS as error:
            raise self._explain(error, doing, rules) from error

    def _explain(self, error: BaseException, doing: str, rules: tuple[Rule, ...]) -> EngineError:
        chain = list(_chain(error))
        for cause in chain:
            if isinstance(cause, APIError):
                return refusal(str(cause.explanation or cause), doing, rules)
        for cause in chain:
            explained = self._connection(cause, doing)
            if explained is not None:
                return explained
        return EngineError(f"cannot {doing}: {error}")

    def _connection(self, cause: BaseException, doing: str) -> EngineError | None:
        """Return what a failure of the connection itself means, or None when this cause says nothing."""
        where, text = self.of or self.address, str(cause)
        for kinds, message, hint in (
            (
                (PermissionError,),
                f"no permission to use the Docker engine at {where}",
                "join the group docker and log in again: sudo usermod -aG docker $USER",
            ),
            (
                (FileNotFoundError,),
                f"no Docker engine at {where}",
                "is it installed and running? sudo systemctl start docker",
            ),
            (
                (ConnectionRefusedError,),
                f"no Docker engine answers at {where} (connection refused)",
                "is it running? sudo systemctl start docker",
            ),
            (
                (socket.gaierror, ssl.SSLError, TLSParameterError),
                f"no connection to the Docker engine at {where}: {text}",
                "check DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or the docker context",
            ),
            (
                (InvalidVersion,),
                f"the Docker engine at {where} is too old: {text}",
                "update Docker Engine to 20.10 or newer",
            ),
            (
                (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError),
                f"the engine stopped answering: no reply from {where} within {self.timeout_s:g} s (to {doing})",
                "sudo systemctl status docker; its log: journalctl -u docker",
            ),
            (
                (ConnectionError, struct.error, urllib3.exceptions.ProtocolError),
                f"the engine at {where} broke the connection off (to {doing})",
                "was it stopped or restarted? sudo systemctl status docker",
            ),
        ):
            if isinstance(cause, kinds):
                there = f"sparkctl hosts doctor says how {self.of} is"
                return EngineError(message, hint=there if self.of else hint)
        if "paramiko" in text:
            message = f"no connection to the Docker engine at {where}: ssh:// needs the Python package paramiko"
            return EngineError(message, hint="install docker[ssh] into the environment of sparkctl")
        return None


def refusal(text: str, doing: str, rules: tuple[Rule, ...] = RULES) -> EngineError:
    """Return the operator's error for a text with which the engine refused something: the first rule that fits."""
    for rule in rules:
        found = re.search(rule.pattern, text)
        if found:
            groups = found.groupdict("")
            meaning, hint = rule.meaning.format(**groups), rule.hint.format(**groups)
            return EngineError(f"cannot {doing}: {meaning}", hint=hint)
    return EngineError(f"cannot {doing}: {text.strip()}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the innermost cause first: requests and urllib3 keep it in their arguments, the SDK as the cause."""
    seen: dict[int, BaseException] = {}
    pending = [error]
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen[id(current)] = current
        inner = [current.__cause__, current.__context__, *current.args]
        pending += [each for each in inner if isinstance(each, BaseException)]
    yield from reversed(seen.values())
