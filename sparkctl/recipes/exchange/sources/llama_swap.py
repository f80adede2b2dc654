"""Configurations of llama-swap: a launch for each model that vLLM serves, and the stack that starts them on demand.

What its keys mean is in mostlygeek/llama-swap, config-schema.json; how a command becomes words in
internal/config/commands.go: no shell reads it, lines that begin with ``#`` are comments.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.fields.server import serving
from sparkctl.recipes.exchange.launch import Launch, Leftover, Refused, Word
from sparkctl.recipes.exchange.material import Material, as_written
from sparkctl.recipes.exchange.shell import script
from sparkctl.recipes.exchange.shell.script import ShellCommand
from sparkctl.recipes.exchange.shell.wrappers import base_name, unwrapped
from sparkctl.recipes.exchange.sources import docker_run, serve
from sparkctl.recipes.exchange.sources.yaml_files import runner
from sparkctl.recipes.exchange.sources.yaml_files.braces import MOST_CHARACTERS, replaced
from sparkctl.recipes.exchange.sources.yaml_files.commands import ScalarLines
from sparkctl.recipes.exchange.sources.yaml_files.keys import TakenKeys, as_text, bare, problems, scalar
from sparkctl.recipes.exchange.sources.yaml_files.keys import read as read_yaml
from sparkctl.recipes.exchange.stacked import SourceService, SourceStack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Document, Node
    from sparkctl.base.errors import Place

FORM: Final = "llama-swap configuration"
_MODELS: Final = re.compile(r"^models\s*:", re.MULTILINE)
_COMMAND: Final = re.compile(r"(?:^\s+|[{,]\s*)[\"']?cmd[\"']?\s*:", re.MULTILINE)
_MACRO: Final = re.compile(r"\$\{([A-Za-z0-9_.-]+)\}")
_SCRIPTS: Final = (".sh", ".bash", ".py")
_OTHER_SERVER: Final = re.compile(
    r"llama[.-]?cpp|llama-server|sglang|ollama|text-generation-inference|tensorrt|whisper\.cpp"
)
_FIRST_PORT: Final = 5800
"""Its own default of startPort."""
_OWN: Final = frozenset({"PORT", "MODEL_ID", "PID"})
_NEEDLESS: Final = (
    "checkEndpoint", "cmdStop", "proxy", "unloadTimeout", "useModelName", "sendLoadingState", "capabilities", "compat",
    "readyTimeout",
)  # fmt: skip
"""Keys of a model that sparkctl finds out itself, or handles in its own way."""
_OF_THE_PROGRAM: Final = (
    "logLevel", "logTimeFormat", "metricsMaxInMemory", "captureBuffer", "store", "ui", "performance",
    "sendLoadingState", "includeAliasesInList", "logToStdout", "unloadTimeout",
)  # fmt: skip
"""Keys of the whole file: settings of llama-swap itself, for which sparkctl has its own."""
_LEFT: Final = {
    "profiles": ("names that mean other models while a profile is chosen", "names: in the stack"),
    "selectors": ("names that mean one of several models", "routes: in the stack"),
    "peers": ("models of other hosts", None),
    "apiKeys": ("keys of the clients", "sparkctl keys"),
    "matrix": ("which models may be loaded together: here admission decides by memory", None),
    "routing": ("how requests are routed", "routes: in the stack"),
    "upstream": ("how upstream servers are spoken to", None),
}


def recognises(material: Material) -> bool:
    """Return whether a text is such a configuration: models with commands."""
    return _MODELS.search(material.text) is not None and _COMMAND.search(material.text) is not None


def read(material: Material) -> list[Launch]:
    """Return a launch for each model; those that vLLM does not serve are refused.

    Raises:
        ProblemsError: it is no YAML.
    """
    return [launch for launch, _ in _Config(material, read_yaml(material)).models]


def stack(material: Material) -> SourceStack:
    """Return what runs together, started on demand as llama-swap does.

    Raises:
        ProblemsError: as for ``read``.
    """
    config = _Config(material, read_yaml(material))
    config.finish()
    return SourceStack(
        name=runner.name_of(material.file),
        services=tuple(service for launch, service in config.models if launch.refused is None),
        further={"gateway": {}},
        leftovers=tuple(config.keys.leftovers),
        notes=("which models are loaded together is decided by memory, and not by groups: as many as fit",),
    )


class _Config:
    """A configuration while it is read."""

    def __init__(self, material: Material, document: Document) -> None:
        self._material = material
        self.keys = TakenKeys(document.root)
        self.keys.leftovers += problems(document)
        self._macros = _macros(self.keys.take("macros"), {})
        self._port = self.keys.number("startPort") or _FIRST_PORT
        self._ttl = self.keys.number("globalTTL") or 0
        self._timeout = self.keys.number("healthCheckTimeout")
        self._kept, self._preloaded = self._groups(), self._hooks()
        self._names: set[str] = set()
        models = self.keys.below("models")
        self.models = [self._model(models, name) for name in models]

    def finish(self) -> None:
        """Leave over what concerns no model."""
        for key in _OF_THE_PROGRAM:
            self.keys.take(key)
        for key, (why, needs) in _LEFT.items():
            self.keys.leave(key, why, needs)
        self.keys.rest()

    def _groups(self) -> frozenset[str]:
        """Return the models that no other one puts aside."""
        kept: set[str] = set()
        groups = self.keys.below("groups")
        for name in groups:
            group = groups.below(name)
            members = {word.text for word in group.texts("members")}
            kept |= members if group.flag("persistent") else set()
            for key in ("swap", "exclusive"):
                group.leave(key, "how many of a group run at once: here as many as fit by memory")
            group.rest()
        return frozenset(kept)

    def _hooks(self) -> frozenset[str]:
        hooks = self.keys.below("hooks")
        start = hooks.below("on_startup")
        preloaded = frozenset(word.text for word in start.texts("preload"))
        start.rest()
        hooks.rest()
        return preloaded

    def _model(self, models: TakenKeys, name: str) -> tuple[Launch, SourceService]:
        model = models.take(name)
        keys = TakenKeys(model, models.named(name))
        place = bare(model.key) if model is not None else self._material.place(1)
        try:
            launch = self._launch(keys, name)
        except InputError as error:
            launch = _refused(self._material, runner.UNREADABLE, error.message)
        launch = replace(launch, name=self._named(name), place=place)
        description = keys.text("description") or keys.text("name")
        further: dict[str, Any] = {} if description is None else {"description": " ".join(description.text.split())}
        keys.take("name")
        if self._timeout is not None:
            further["ready"] = {"timeout": f"{self._timeout}s"}
        metadata = keys.take("metadata")
        if metadata is not None:
            further["x-metadata"] = metadata.plain()
        service = SourceService(place, self._service(keys, name), launch.name)
        for key in _NEEDLESS:
            keys.take(key)
        keys.leave("concurrencyLimit", "more requests at once are refused there", "limits.sequences in the recipe")
        keys.leave("timeouts", "how long llama-swap waits for the server's answers")
        keys.leave("unlisted", "clients do not see it in the list of models")
        keys.rest()
        leftovers = (*launch.leftovers, *keys.leftovers)
        return replace(launch, keys={**launch.keys, **further}, leftovers=leftovers), service

    def _named(self, name: str) -> str:
        """Return the name of a recipe: the last part of the model's name, or all of it if another one has that part."""
        whole = runner.name_of(name.replace("/", "-"))
        choices = [runner.name_of(name), whole, *(f"{whole}-{number}" for number in range(2, len(self._names) + 3))]
        found = next(one for one in choices if one not in self._names)
        self._names.add(found)
        return found

    def _service(self, keys: TakenKeys, name: str) -> dict[str, Any]:
        """Return what a stack says of a model."""
        found: dict[str, Any] = {"start": "always" if name in self._preloaded else "on-demand"}
        ttl = keys.text("ttl")
        seconds = int(ttl.text) if ttl is not None and ttl.text.isdecimal() else self._ttl
        if seconds and found["start"] == "on-demand":
            found["idle"] = f"{seconds}s"
        if name in self._kept:
            found["keep"] = True
        names = [name, *(word.text for word in keys.texts("aliases"))]
        found["names"] = [one for one in dict.fromkeys(names) if one.split() == [one]]
        filters = keys.below("filters")
        forced = filters.take("setParams")
        if forced is not None and isinstance(forced.content, dict):
            found["force"] = forced.plain()
        filters.leave("stripParams", "parameters that are taken out of requests", "force: in the stack, with a value")
        filters.leave("setParamsByID", "parameters by the name that was asked for", "a service for each name")
        filters.rest()
        return found

    def _launch(self, keys: TakenKeys, name: str) -> Launch:
        node = keys.take("cmd")
        text = None if node is None else scalar(node)
        macros = _macros(keys.take("macros"), self._macros)
        environment = [self._filled(word, macros, name) for word in keys.texts("env")]
        if node is None or text is None:
            return _refused(self._material, runner.NO_SERVER, "it has no cmd")
        filled = self._filled(Word(text, bare(node.place)), macros, name)
        if "${PORT}" in filled.text:
            filled, self._port = filled._replace(text=filled.text.replace("${PORT}", str(self._port))), self._port + 1
        try:
            words = _words(filled.text, ScalarLines(node, self._material.text))
        except ValueError as error:
            return _refused(self._material, runner.UNREADABLE, f"its cmd has no words: {error}")
        pairs = [(pair.text.partition("=")[0], pair._replace(text=pair.text.partition("=")[2])) for pair in environment]
        return _started(words, tuple(pairs), self._material, bare(node.place))

    def _filled(self, word: Word, macros: Mapping[str, str], name: str) -> Word:
        """Return a text with its macros; ``${env.NAME}`` is a variable that was given, or stays."""
        given = self._material.variables
        known = {**macros, "MODEL_ID": name, **{f"env.{key}": value for key, value in given.items()}}
        text = _with_macros(word.text, known)
        if len(text) == MOST_CHARACTERS:
            raise InputError(f"{name}: its macros make more than {MOST_CHARACTERS:,} characters")
        return word._replace(text=text)


def _macros(node: Node | None, above: Mapping[str, str]) -> dict[str, str]:
    """Return macros by name; each may use those before it."""
    found = dict(above)
    for key, child in (node.content if node is not None and isinstance(node.content, dict) else {}).items():
        text = as_text(child)
        if text is not None and key not in _OWN:
            found[key] = _with_macros(text, found)
    return found


def _with_macros(text: str, macros: Mapping[str, str]) -> str:
    return replaced(_MACRO, lambda found: macros.get(found[2:-1]), text)


def _started(
    words: tuple[Word, ...], environment: tuple[tuple[str, Word], ...], material: Material, place: Place
) -> Launch:
    """Return the launch of a command, or of the one that it has a shell start."""
    inner = unwrapped(words)
    command = ShellCommand(inner.words, place, (*environment, *inner.environment), before=inner.before)
    if inner.text is not None:
        given = {name: value.text for name, value in command.environment}
        text = Material(inner.text.text, material.file, {**material.variables, **given}, material.beside)
        read_commands = script.read(text, [script.ShellText(text.text, inner.text.place.line)]).commands
        servers = [one for one in read_commands if docker_run.behind_verb(one.words) or serving(one.words) is not None]
        command = next(iter(servers), command)
        command = command._replace(
            environment=(*environment, *command.environment), before=(*inner.before, *command.before)
        )
    found = docker_run.launch(command, material) or serve.launch(command)
    if found is None:
        shown = base_name(command.words[0].text) if command.words else "nothing"
        reason = runner.OWN_SCRIPT if shown.endswith(_SCRIPTS) else runner.NOT_VLLM
        return _refused(material, reason, f"its cmd starts {shown}")
    if found.image is not None and _OTHER_SERVER.search(found.image.text):
        return _refused(material, runner.NOT_VLLM, f"its image is of another server: {as_written(found.image.text)}")
    inside = " ".join(word.text for word in found.options)
    unused = [name for name, _ in environment if found.image is not None and f"--env={name}=" not in inside]
    why = "it is set for docker's own command, and not in the container"
    leftovers = [Leftover(place, f"env: {name}", why, "the same under env in the recipe") for name in unused]
    return replace(found, leftovers=(*found.leftovers, *leftovers))


def _words(text: str, lines: ScalarLines) -> tuple[Word, ...]:
    """Return the words of a command as llama-swap splits it: quotes, and no shell.

    Raises:
        ValueError: a quote is not closed.
    """
    kept = ["" if line.strip().startswith("#") else re.sub(r"\\\s*$", " ", line) for line in text.split("\n")]
    scanner = shlex.shlex("\n".join(kept), posix=True, punctuation_chars=False)
    scanner.whitespace_split, scanner.commenters = True, ""
    words: list[Word] = []
    while (word := scanner.get_token()) is not None:
        words.append(Word(word, lines.place(max(0, scanner.lineno - 1))))
    return tuple(words)


def _refused(material: Material, reason: str, message: str) -> Launch:
    return Launch("", FORM, material.place(1), refused=Refused(reason, message))
