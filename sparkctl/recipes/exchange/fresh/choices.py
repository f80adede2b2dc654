"""The parts of a recipe that follow from a model's own files, line by line, with reasons and sources. Pure.

An uncertain value is a guess, and its line says so. A key that the files do not decide, and for which no guess would be
right, is left out, with a line that says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.memory.weights.parameters import parts
from sparkctl.memory.weights.quantization import NVFP4, declared_config
from sparkctl.recipes.exchange.fresh.lines import FreshLine, LeftOut
from sparkctl.vllm import flags
from sparkctl.vllm.kinds import WRITING, ServerKind
from sparkctl.vllm.registry import by_release
from sparkctl.vllm.registry.parsers import chosen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.version import Version

    from sparkctl.recipes.exchange.fresh.images import ImageOffer
    from sparkctl.recipes.exchange.fresh.material import ModelMaterial

_ITEMS: Final = {"image": 4, "video": 1, "audio": 1}
"""Items of a prompt if nobody says how many are wanted: a guess."""
_GEMMA: Final = 4096
_MARLIN: Final = (
    "eugr/spark-vllm-docker#143, MiaAI-Lab/GLM-5.3-Flash-EXL3-2x-DGX-Sparks#1, NVIDIA/dgx-spark-playbooks nvidia/vllm"
)
_DEEPER: Final = "vLLM 0.33.0 config/speculative.py warns of deeper drafts of one layer"
_CONFIG: Final = "config.json"
SEQUENCES: Final = 4
BATCHED: Final = 2048


class Setting(NamedTuple):
    """The other inputs: the ``image``, the ``template`` if it was asked for, and whether the GPU is a GB10.

    ``version`` is the release that the image's vLLM counts as; ``written`` is the recipe's value for ``vllm``, None if
    the image's tag says it. ``drafts``: the model's own drafting layers are to be used.
    """

    name: str
    image: ImageOffer
    version: Version
    written: str | None
    template: str | None
    gb10: bool
    drafts: bool = True


def decided(model: ModelMaterial, at: Setting) -> tuple[list[FreshLine], list[LeftOut]]:
    """Return the lines of a recipe except its context, and the keys that are left out."""
    left: list[LeftOut] = []
    lines = [*_names(model, at), *_limits(model), *_kernels(model, at, left)]
    if model.kind in WRITING:
        lines += [*_parsers(model, at, left), *_drafts(model, at, left)]
    _said(model, at, left)
    return lines, left


def _names(model: ModelMaterial, at: Setting) -> Iterator[FreshLine]:
    quantized = f", {model.quantization}" if model.quantization else ""
    yield FreshLine(("description",), f"{model.repo}{quantized}", "what it is, for `sparkctl recipes`")
    yield FreshLine(("image",), at.image.image, at.image.why, at.image.source)
    if at.written is not None:
        yield FreshLine(("vllm",), at.written, "the image's tag does not say which vLLM is in it", "", guessed=True)
    if at.template is not None:
        yield FreshLine(("template",), at.template, "as it was asked for: --template")
    why = "made up: the folder does not say which repository it is of" if model.repo_guessed else "as it was asked for"
    yield FreshLine(("model", "repo"), model.repo, why, guessed=model.repo_guessed)
    if model.folder is not None:
        yield FreshLine(("model", "path"), model.folder, "the folder that was named; it is mounted read-only")
    if model.template == "" and model.kind is ServerKind.GENERATE:
        why = "it has no chat template, so it is a base model, and is asked for completions"
        yield FreshLine(("model", "chat"), value=False, why=why, source=model.where, guessed=True)
    yield FreshLine(("serve", "name"), at.name, "the name by which clients ask for it: the recipe's own")


def _limits(model: ModelMaterial) -> Iterator[FreshLine]:
    if model.kind in WRITING:
        why = "requests at once; each has its share of the cache, and more of them need more memory"
        yield FreshLine(("limits", "sequences"), SEQUENCES, why, guessed=True)
        if model.model_type.startswith("gemma4") and model.facts.inputs:
            why = "a picture is read at once, and the largest of Gemma 4 26B-A4B has 2,496 tokens"
            yield FreshLine(("limits", "batched-tokens"), _GEMMA, why, "vllm-project/recipes#441")
        else:
            why = "tokens of prompts that are read at once: more are quicker, and take memory"
            yield FreshLine(("limits", "batched-tokens"), BATCHED, why, guessed=True)
    inputs = model.facts.inputs
    if inputs:
        most = {name: _ITEMS.get(name, 1) for name in inputs}
        why = "items of a prompt beside text; 0 for each leaves the towers out, and their memory"
        yield FreshLine(("limits", "multimodal"), most, why, f"{_CONFIG} has these inputs", guessed=True)


def _kernels(model: ModelMaterial, at: Setting, left: list[LeftOut]) -> Iterator[FreshLine]:
    """Yield marlin for NVFP4 on a GB10, where the automatic choice has silently computed wrong results."""
    quantized = model.quantized
    if quantized is None or not any(one.name == NVFP4 for one in quantized.all):
        return
    if not at.gb10:
        left.append(LeftOut("backend", "this host's GPU is no GB10, and vLLM's own choice is left to it"))
        return
    found = [part for part in parts(model.config, at.version) if quantized.share(part) > 0]
    experts = any(part.component == "experts" for part in found)
    why = (
        "a GB10 (sm_121) has answered wrongly, or not at all, with other kernels for NVFP4; marlin computes in 16 bits"
    )
    if experts:
        yield FreshLine(("backend", "moe"), "marlin", why, _MARLIN)
    if any(part.component != "experts" for part in found):
        again = "the same for the layers that are no experts" if experts else why
        yield FreshLine(("backend", "linear"), "marlin", again, _MARLIN)


def _parsers(model: ModelMaterial, at: Setting, left: list[LeftOut]) -> Iterator[FreshLine]:
    template = model.template
    for kind, flag in ((by_release.REASONING, "reasoning-parser"), (by_release.TOOLS, "tool-call-parser")):
        found = chosen(kind, model.model_type, template, at.version)
        if found.name is None:
            source = f" ({found.source})" if found.source else ""
            left.append(LeftOut(f"args.{flag}", f"{found.why}{source}"))
            continue
        if kind == by_release.TOOLS:
            why = "without it a client that lets the model choose a tool gets HTTP 400"
            yield FreshLine(("args", "enable-auto-tool-choice"), value=True, why=why)
        yield FreshLine(("args", flag), found.name, found.why, found.source, guessed=found.guessed)


def _drafts(model: ModelMaterial, at: Setting, left: list[LeftOut]) -> Iterator[FreshLine]:
    """Yield the model's own drafting layers, where its checkpoint has their weights."""
    layers, there = model.drafting_layers, model.has_drafting_weights
    if not layers:
        return
    says = f"config.json names {layers} drafting layer{'s' if layers > 1 else ''}"
    if there is False:
        left.append(LeftOut("speculative", f"{says}, and the checkpoint has no weights of them"))
    elif not at.drafts:
        left.append(LeftOut("speculative", f"{says}, and they were not wanted"))
    else:
        seen = " and the checkpoint has their weights" if there else "; whether it has their weights is not known"
        yield FreshLine(("speculative", "method"), "mtp", f"{says},{seen}", _CONFIG, guessed=there is None)
        why = "one drafted token a step: try more with `sparkctl bench --sweep`"
        path = ("speculative", "num_speculative_tokens")
        yield FreshLine(path, 1, why, _DEEPER, guessed=True)


def _said(model: ModelMaterial, at: Setting, left: list[LeftOut]) -> None:
    """Say which settings need no key, so that nobody looks for them."""
    if declared_config(model.config) is not None:
        why = f"vLLM reads it from config.json by itself: {model.quantization}"
        left.append(LeftOut("args.quantization", why))
    if model.config.get("auto_map"):
        if by_release.releases_of(model.architecture):
            why = f"it brings Python of its own, and vLLM has a class for {model.architecture}, which needs none of it"
        else:
            why = "it brings Python of its own, which would run in the server; look at it before you allow it"
        left.append(LeftOut("args.trust-remote-code", why))
    if model.revision is not None:
        left.append(LeftOut("model.revision", f"it was read at {model.revision}: write it to stay at that commit"))
    if "gemma4" in model.model_type and at.version >= flags.known("0.22").version and not model.drafting_layers:
        why = "Google has a draft model for it, OWNER/NAME-assistant; 2 tokens a step beat 4 on a Spark"
        left.append(
            LeftOut("speculative", f"{why} (vllm-project/recipes Google/Gemma4.md, eugr/spark-vllm-docker#343)")
        )
