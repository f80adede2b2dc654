"""Keys that only sparkrun's recipes have: which server it is, what is done around it, what is known of the model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.sources.yaml_files import runner
from sparkctl.recipes.exchange.sources.yaml_files.keys import bare, scalar

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.sources.yaml_files.runner import ReadRecipe

_VLLM: Final = frozenset({"vllm", "vllm-ray", "vllm-distributed", "eugr-vllm", "eugr-vllm-ray"})
_OTHERS: Final = re.compile(r"^\s*(?:sglang\b|python3?\s+-m\s+sglang|llama-server\b|trtllm-serve|mpirun\b)")
_VERSION: Final = re.compile(r"v?(\d+\.\d+(?:\.\d+)?(?:rc\d+)?)")
_BUILDER: Final = "sparkrun builds or fetches the image by it"
_HOOK: Final = {
    "pre_exec": "it is run in the container before the server starts",
    "post_exec": "it is run in the container when the server is ready",
    "post_commands": "it is run on the host when the server is ready",
}
_ONE_HOST: Final = {
    "distribution_config": "it says which host gets which files",
    "cluster_config": "it says how several hosts are addressed",
    "layout": "it says how several hosts are used",
    "scheduler": "it says which host is chosen",
}


def take_runtime(draft: ReadRecipe) -> None:
    """Take which server it is; another one than vLLM is refused."""
    keys = draft.keys
    runtime, command = keys.text("runtime"), keys.take("command")
    text = "" if command is None else scalar(command) or ""
    if runtime is not None and runtime.text not in _VLLM and runtime.text:
        draft.refuse(runner.NOT_VLLM, f"its server is {runtime.text} (runtime)", runtime.place)
    elif command is not None and _OTHERS.match(text):
        draft.refuse(runner.NOT_VLLM, f"its server is {text.split()[0]}", bare(command.place))
    version = keys.text("runtime_version")
    if version is not None:
        match = _VERSION.match(version.text)
        draft.version = match[1] if match else None
        if match is None or match[0] != version.text:
            draft.leave(version.place, f"runtime_version: {version.text}", "it names a build, and no release of vLLM")


def take_around(draft: ReadRecipe) -> None:
    """Leave over what is done before and after the start, and what is about several hosts."""
    keys = draft.keys
    for key, why in _HOOK.items():
        keys.leave(key, why, "an image that has it done, a mod, or a script of your own")
    for key, why in _ONE_HOST.items():
        keys.leave(key, f"{why}: here there is one")
    keys.leave("stop_after_post", "it stops the server after post_exec", "a script of your own")
    keys.leave("runtime_cache", "what the server compiles is kept by sparkctl's own container.caches")
    keys.leave("readiness", "when it is ready", "ready: in the recipe")
    keys.leave("overrides", "settings under conditions that are none", "the settings in defaults")
    keys.leave("containers", "further images, by host", "image: the one for this host")
    builder = keys.text("builder")
    if builder is not None and builder.text != "docker-pull":
        draft.leave(builder.place, f"builder: {builder.text}", _BUILDER, "the image, built here, or a published one")
    keys.leave("builder_config", _BUILDER, "the image, built here, or a published one")
    config = keys.below("runtime_config")
    config.leave("build_args", "the image is built with these arguments", "the image, built here, or a published one")
    config.rest("a setting of sparkrun's runtime")
    executor = keys.text("executor")
    if executor is not None and executor.text != "docker":
        draft.leave(executor.place, f"executor: {executor.text}", "a server runs in a container of docker here")
    for key in ("sparkrun_version", "capabilities", "unsupported_capabilities", "maintainer"):
        keys.take(key)


def take_metadata(draft: ReadRecipe) -> None:
    """Take what is known of the model and was measured: the description, and the rest as keys of the operator's own."""
    node = draft.keys.take("metadata")
    if node is not None and isinstance(node.content, dict):
        plain = {key: child.plain() for key, child in node.content.items()}
        text = plain.pop("description", None)
        if isinstance(text, str) and "description" not in draft.further:
            runner.take_description(draft, Word(text, bare(node.place)))
        if plain:
            draft.further["x-metadata"] = plain
    benchmark = draft.keys.take("benchmark")
    if benchmark is not None:
        draft.further["x-benchmark"] = benchmark.plain()


def take_revision(draft: ReadRecipe) -> None:
    """Take the commit of the model: sparkrun downloads that one, whatever the command says."""
    revision = draft.keys.text("model_revision")
    if revision is not None and not any(word.text.partition("=")[0] == "--revision" for word in draft.command):
        draft.command += (Word("--revision", revision.place), revision)
