"""Paths of the host in a recipe's flags and variables: in the container they are not there unless they are mounted.

A chat template, a parser's plugin, a certificate, a folder of adapters, a tokenizer. Which host a path is of is told by
the path: `~` and the homes and data folders of hosts are this host's, and so is what is there and a flag reads; what
is below a mount, or in folders that every image has, is the container's. A file is mounted under its own path.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.base.errors import InputError, Problem
from sparkctl.recipes.host_side.mounts import OF_THE_IMAGE, is_below, with_links

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sparkctl.base.document import KeyPath
    from sparkctl.recipes.host_side.mounts import HostMount
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.world.host import Models

OF_HOSTS: Final = ("/home", "/mnt", "/media", "/data", "/srv", "/Users")
"""Folders of hosts, not of images."""
READ: Final = frozenset({
    *("allowed-local-media-path", "chat-template", "config", "generation-config", "hf-config-path"),
    *("io-processor-plugin", "lora-modules", "quantization-param-path", "reasoning-parser-plugin"),
    *("ssl-ca-certs", "ssl-certfile", "ssl-keyfile", "tokenizer", "tool-parser-plugin"),
    *("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "VLLM_TUNED_CONFIG_FOLDER"),
})  # fmt: skip
"""Flags and variables of vLLM 0.17 to 0.33, and of the libraries below it, whose values may be files that are read."""
_OF_NO_IMAGE: Final = frozenset({"ssl-certfile", "ssl-keyfile"})
"""Files that are one host's, and that no image has unless it was made to."""
NO_PATHS: Final = frozenset({"root-path", "uds", "served-model-name", "allowed-origins"})
_WRITTEN: Final = re.compile(r"download-dir|.*profiler?-dir|HF_HOME|.*(?:CACHE|PROFILER_DIR|CONFIG_ROOT).*")
"""Flags and variables that name folders in which a server writes."""
_NAMED: Final = re.compile(r"([\w.-]+)=(~?/.*)", re.DOTALL)
_RELATIVE: Final = ("./", "../")


@dataclass(slots=True)
class HostFiles:
    """The findings: the mounts, those whose source is missing with the reason, and impossible ones."""

    mounts: dict[str, HostMount] = field(default_factory=dict)
    missing: list[Problem] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)


class Finder:
    """Finds the host's paths in values. ``inside`` are the folders that the container has by its other mounts."""

    def __init__(self, models: Models, operator: Operator, inside: Iterable[str]) -> None:
        self._models = models
        self._operator = operator
        self._inside = [folder.rstrip("/") for folder in inside]
        self.found = HostFiles()

    def values(self, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return flags (``kind`` args) or variables (env) with the host's paths as the container has them."""
        return {
            name: value if name in NO_PATHS else self._value((kind, name), name, value) for name, value in given.items()
        }

    def _value(self, path: KeyPath, name: str, value: Any) -> Any:  # noqa: ANN401  (a flag's value, as YAML has it)
        if isinstance(value, dict):
            return {key: self._value(path, name, item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(path, name, item) for item in value]
        return self._text(path, name, value) if isinstance(value, str) else value

    def _text(self, path: KeyPath, name: str, text: str) -> str:
        if text.startswith(("{", "[")):
            return self._json(path, name, text)
        named = _NAMED.fullmatch(text)
        if named:
            return f"{named[1]}={self._text(path, name, named[2])}"
        if path[0] == "env" and ":" in text and text.startswith(("/", "~/")):
            return ":".join(self._text(path, name, part) for part in text.split(":"))
        if text.startswith(_RELATIVE) and name in READ:
            self._refuse(path, f"{text} depends on a folder that the container does not have", "write the whole path")
        if not self._is_host(name, text):
            return text
        host = self._operator.expand(text)
        if _WRITTEN.fullmatch(name):
            message = f"the server writes in {text}, a folder of this host, which the container does not have"
            hint = f"mount it, container: {{mounts: ['{text}:{host}:rw']}}, or leave it out: caches are kept anyway"
            self._refuse(path, message, hint)
            return text
        return self._mounted(path, text, host)

    def _json(self, path: KeyPath, name: str, text: str) -> str:
        """Return JSON with the host's paths in it replaced; a template in Jinja, or other text, as it is."""
        try:
            given = read_json(text)
        except UnreadableError:
            return text
        changed = self._value(path, name, given)
        return text if changed == given else json.dumps(changed, separators=(",", ":"), ensure_ascii=False)

    def _is_host(self, name: str, text: str) -> bool:
        if text == "~" or text.startswith("~/"):
            return True
        if not text.startswith("/") or "\n" in text or is_below(text.rstrip("/"), self._inside):
            return False
        if name in _OF_NO_IMAGE and not is_below(text, OF_THE_IMAGE):
            return True
        return is_below(text, OF_HOSTS) or (name in READ and self._models.file_problem(Path(text)) != "is not there")

    def _mounted(self, path: KeyPath, text: str, host: Path) -> str:
        target = str(host) if not is_below(str(host), OF_THE_IMAGE) else f"/host{host}"
        problem = self._models.file_problem(host)
        if problem is not None:
            hint = "put it there, or name a file of the image by a path that only the image has"
            self.found.missing.append(Problem(f"{'.'.join(map(str, path))}: {text} {problem}", hint=hint, path=path))
        try:
            for mount in with_links(self._models, host, target):
                self.found.mounts.setdefault(mount.target, mount._replace(asked=path))
        except InputError as error:
            self._refuse(path, error.message, error.hint or "")
        return target

    def _refuse(self, path: KeyPath, message: str, hint: str) -> None:
        self.found.refused.append(Problem(f"{'.'.join(map(str, path))}: {message}", hint=hint, path=path))
