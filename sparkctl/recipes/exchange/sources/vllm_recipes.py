"""Model files of vllm-project/recipes: one variant on one kind of hardware, as that site's command builder puts it.

The order of the layers is that of its src/lib/command-synthesis.js (``resolveCommand``), for one GPU: what the model
needs, the variant, the strategy, the hardware, the features; a later flag replaces an earlier one.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.sources.yaml_files import runner
from sparkctl.recipes.exchange.sources.yaml_files.keys import TakenKeys, bare, scalar
from sparkctl.recipes.exchange.sources.yaml_files.keys import read as read_yaml
from sparkctl.vllm.flags import releases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.base.document import Node
    from sparkctl.recipes.exchange.launch import Launch
    from sparkctl.recipes.exchange.material import Material

FORM: Final = "vllm-project recipe"
VARIANT: Final = "variant"
HARDWARE: Final = "hardware"
NODES: Final = "nodes"
"""The names of ``--var`` that choose among what a file has, and how many Sparks share its model."""
SPARK: Final = "dgx_spark_gb10"
_DEFAULT: Final = "default"
_SPARK_GB: Final = 128
"""From taxonomy.yaml, ``hardware_profiles.dgx_spark_gb10.vram_gb``; a variant gives its need in the same unit."""
_GENERATION: Final = ("blackwell", "nvidia")
"""Other names for this hardware in a file, the most specific first (same source)."""
_ONE_HOST: Final = "single_node_tp"
_SEVERAL: Final = "multi_node_tp"
_PARALLEL: Final = "--tensor-parallel-size"
_IMAGE: Final = "vllm/vllm-openai"
_MOST_DIGITS: Final = 9
_NEWEST: Final = "the newest release whose flags are known here"
_NIGHTLY: Final = "vllm/vllm-openai:nightly"
_CUDA: Final = ("nvidia", "cu130", "cu129")
_LEFT: Final = {
    "guide": "text for people",
    "dependencies": "what is installed beside vLLM: the image has to have it",
    "kv_offload_support": "it says which offloading was tried",
    "strategy_hardware": "it says which strategy is for which hardware",
    "strategy_min_gpus": "it says how many GPUs a strategy needs",
    "hardware_notes": "text for people",
    "kv_cache_strategy_hardware": "it says which offloading is for which hardware",
}


def recognises(material: Material) -> bool:
    """Return whether a text is such a file: a model, variants and strategies at its top."""
    return all(f"\n{key}:" in f"\n{material.text}" for key in ("model", "variants", "compatible_strategies"))


def read(material: Material) -> list[Launch]:
    """Return the launch of the variant that is chosen: by ``--var variant=NAME``, or the one that fits a Spark.

    Raises:
        ProblemsError: it is no YAML.
    """
    draft = runner.ReadRecipe(material, read_yaml(material), FORM)
    hardware = material.variables.get(HARDWARE, SPARK)
    chosen = _Chosen(draft, hardware)
    chosen.check()
    layers = list(chosen.layers())
    draft.command = (*chosen.start(), *_last_of_each(chain.from_iterable(layer.args for layer in layers)))
    env = {name: pair for layer in layers for name, *pair in layer.env}
    draft.options += [Word(text, draft.place) for text in ("--gpus", "all", "--ipc", "host")]
    for name, (key, value) in env.items():
        draft.options += [Word("--env", key.place), Word(f"{name}={value.text}", value.place)]
    chosen.take_image()
    for part, why in _LEFT.items():
        draft.keys.leave(part, why)
    draft.keys.rest()
    runner.publish(draft)
    return [draft.launch()]


class _AddedWords(NamedTuple):
    """The additions of one part of a file: words, and variables with the words that name them."""

    args: tuple[Word, ...] = ()
    env: tuple[tuple[str, Word, Word], ...] = ()


class _Chosen:
    """The variant of a file that is read, on one kind of hardware."""

    def __init__(self, draft: runner.ReadRecipe, hardware: str) -> None:
        self._draft = draft
        self._hardware = hardware
        nodes = draft.material.variables.get(NODES, "")
        self._nodes = max(1, int(nodes)) if nodes.isdecimal() and len(nodes) <= _MOST_DIGITS else 1
        draft.nodes = self._nodes
        self._kind = _ONE_HOST if self._nodes == 1 else _SEVERAL
        keys = draft.keys
        self._meta = keys.below("meta")
        self._model = keys.below("model")
        self._variants = keys.below("variants")
        self._name = self._chosen(draft.material.variables.get(VARIANT))
        self._variant = self._variants.below(self._name)
        self._tell_others()

    # --- which variant ---------------------------------------------------------------------------------------------

    def _chosen(self, asked: str | None) -> str:
        """Return the name of the variant: the one that is asked for, the default one, or the largest that fits."""
        names = list(self._variants)
        if asked is not None:
            if asked not in names:
                self._draft.refuse(runner.NO_SERVER, f"it has no variant {asked}: there are {', '.join(names)}")
            return asked
        fitting = [name for name in names if self._fits(name)]
        if _DEFAULT in fitting or not fitting:
            if not fitting:
                least = min((self._needs(name) for name in names), default=0)
                have = "a Spark has" if self._nodes == 1 else f"{self._nodes} Sparks have"
                message = f"its smallest variant needs {least} GB, and {have} {self._nodes * _SPARK_GB}"
                more = -(-least // _SPARK_GB)
                self._draft.refuse(runner.TOO_LARGE, f"{message} (--nodes {more} or more shares it between Sparks)")
            return _DEFAULT
        return max(fitting, key=self._needs)

    def _needs(self, name: str) -> int:
        found = _peek(self._variants, name, "vram_minimum_gb")
        return int(found) if found.isdecimal() and len(found) <= _MOST_DIGITS else 0

    def _fits(self, name: str) -> bool:
        if self._hardware != SPARK:
            return True
        node = self._variants.take(name)
        variant = TakenKeys(node)
        allowed = [word.text for word in variant.texts("supported_hardware")]
        brand = variant.below("precision_hardware").text("brand")
        return (
            self._needs(name) <= self._nodes * _SPARK_GB
            and (not allowed or SPARK in allowed)
            and (brand is None or brand.text.lower() == _GENERATION[1])
            and not name.startswith(("amd", "mi3"))
        )

    def _tell_others(self) -> None:
        names = list(self._variants)
        for name in names:
            self._variants.take(name)
        others = [name for name in names if name != self._name]
        if others:
            text = f"this is the variant {self._name}; others: {', '.join(others)}"
            self._draft.notes.append(f"{text} (--variant NAME)")

    def check(self) -> None:
        """Refuse what no vLLM serves, or no single host."""
        draft, keys = self._draft, self._draft.keys
        title = self._meta.text("title")
        description = self._variant.text("description")
        runner.take_description(draft, *filter(None, (description and title and _joined(title, description), title)))
        tasks = {word.text for word in self._meta.texts("tasks")}
        if "omni" in keys or "omni" in tasks:
            draft.refuse(runner.NOT_VLLM, "it is served by vLLM-Omni")
        keys.take("omni")
        declared = self._meta.below("hardware").text(self._hardware)
        if declared is not None and declared.text == "unsupported":
            draft.refuse(runner.OTHER_HARDWARE, f"its source says that {self._hardware} cannot run it", declared.place)
        strategies = keys.texts("compatible_strategies")
        default = keys.text("default_strategy")
        names = [word.text for word in strategies]
        if self._nodes == 1 and strategies and not any(name.startswith("single_node_") for name in names):
            message = "its strategies are for several hosts (--nodes 2 reads it for two)"
            draft.refuse(runner.SEVERAL_NODES, message, strategies[0].place)
        elif self._nodes > 1 and strategies and _SEVERAL not in names:
            message = f"its strategies ({', '.join(names)}) share no model between hosts"
            draft.refuse(runner.SEVERAL_NODES, message, strategies[0].place)
        if default is not None and default.text != self._kind:
            why = "it is for several GPUs: here there is one" if self._nodes == 1 else f"it is read as {_SEVERAL}"
            draft.leave(default.place, f"default_strategy: {default.text}", why)

    # --- what it adds up to ----------------------------------------------------------------------------------------

    def start(self) -> tuple[Word, ...]:
        """Return ``vllm serve MODEL``."""
        model = self._variant.text("model_id") or self._model.text("model_id")
        self._model.take("model_id")
        if model is None:
            self._draft.refuse(runner.NO_SERVER, "it names no model")
            return ()
        return (Word("vllm", model.place), Word("serve", model.place), model)

    def layers(self) -> Iterator[_AddedWords]:
        """Yield what each part adds, the earlier first."""
        overrides = self._variant.below("hardware_overrides")
        first = [_layer(self._model, "base_args", "base_env"), _layer(self._variant)]
        first.append(_layer(overrides.below(self._hardware)))
        yield from first
        split = [word for layer in first for word in layer.args if word.text == _PARALLEL]
        if self._nodes > 1:
            place = split[-1].place if split else self._draft.place
            yield _AddedWords((Word(_PARALLEL, place), Word(str(self._nodes), place)))
        elif split and self._hardware == SPARK:  # the site's own strategy says it again, for the GPUs of one host
            yield _AddedWords((split[-1], split[-1]._replace(text="1")))
        strategy = self._strategy()
        yield from (_layer(strategy, "vllm_args", "env"), _layer(strategy))
        of_strategy = strategy.below("hardware_overrides")
        of_file = self._draft.keys.below("hardware_overrides")
        own = self._of_generation(of_strategy)
        if own is not None:
            yield _layer(own)
        else:
            yield from (_layer(part) for part in map(self._of_generation, (of_file, overrides)) if part is not None)
        yield _layer(of_strategy.below(self._hardware))
        yield from self._features()
        for left in (overrides, of_strategy, of_file):
            for name in left:  # other hardware's
                left.take(name)
        strategy.take("tp")
        strategy.rest()

    def _strategy(self) -> TakenKeys:
        strategies = self._draft.keys.below("strategy_overrides")
        for name in strategies:  # those for several GPUs
            strategies.take(name)
        return strategies.below(self._kind)

    def _of_generation(self, overrides: TakenKeys) -> TakenKeys | None:
        if self._hardware != SPARK:
            return None
        found = next((name for name in _GENERATION if name in overrides), None)
        return None if found is None else overrides.below(found)

    def _features(self) -> Iterator[_AddedWords]:
        """Yield the additions of features that the site turns on by default; the other features are only noted."""
        keys = self._draft.keys
        features = keys.below("features")
        off = {word.text for word in keys.texts("opt_in_features")}
        off |= {word.text for word in keys.below("hardware_opt_in_features").texts(self._hardware)}
        modes = self._variant.below("default_modes")
        forced = set(modes)
        for name in features:
            node = features.take(name)
            if node is None:
                continue
            feature = TakenKeys(node, features.named(name), keys.leftovers)
            others = [word.text for word in feature.texts("strategies")]
            args = _feature(feature, modes.text(name), self._name, self._hardware)
            shown = f"features.{name}: {' '.join(word.text for word in args)}"
            if name in off - forced:
                why = "a feature that is off unless it is asked for"
                self._draft.leave(bare(node.key), shown, why, "its flags in args")
            elif others and self._kind not in others:
                self._draft.leave(bare(node.key), shown, f"a feature of other strategies than {self._kind}")
            else:
                feature.leave("companion", "a program that runs beside the server", "a service of your own")
                yield _AddedWords(args)

    def take_image(self) -> None:
        """Take the file's image for this hardware; the site's default if it names none."""
        exact = self._variant.below("hardware_overrides").below(self._hardware).text("docker_image")
        named = [_image(self._variant.take("docker_image")), _image(self._model.take("docker_image"))]
        found = exact or next(filter(None, named), None)
        nightly = self._model.flag("nightly_required")
        version = self._variant.text("min_vllm_version") or self._model.text("min_vllm_version")
        self._model.take("min_vllm_version")
        if found is None:
            found = Word(_NIGHTLY if nightly else f"{_IMAGE}:v{releases()[-1]}", self._draft.place)
            least = "" if version is None else f" and asks for vLLM {version.text} or later"
            told = f"the file names no image{least}: {found.text} is {'what its site shows' if nightly else _NEWEST}"
            self._draft.notes.append(told)
        self._draft.image = found
        for key in ("architecture", "parameter_count", "active_parameters", "context_length", "supports_dcp"):
            self._model.take(key)
        self._model.rest()
        for key in ("precision", "vram_minimum_gb", "label", "tp", "supported_hardware", "precision_hardware"):
            self._variant.take(key)
        self._variant.rest()


def _joined(title: Word, description: Word) -> Word:
    return title._replace(text=f"{title.text}: {description.text}")


def _peek(keys: TakenKeys, name: str, key: str) -> str:
    """Return a scalar of a map below, '' if there is none; the key counts as taken."""
    found = TakenKeys(keys.take(name)).take(key)
    return "" if found is None else scalar(found) or ""


def _layer(keys: TakenKeys, args: str = "extra_args", env: str = "extra_env") -> _AddedWords:
    variables = keys.below(env)
    found = []
    for name in variables:
        node = variables.take(name)
        value = None if node is None else scalar(node)
        if node is not None and value is not None:
            found.append((name, Word(name, bare(node.key)), Word(value, bare(node.place))))
    keys.take("install_note")
    return _AddedWords(keys.texts(args), tuple(found))


def _feature(keys: TakenKeys, mode: Word | None, variant: str, hardware: str) -> tuple[Word, ...]:
    """Return the words of a feature: of its mode if it has several, and for this hardware if they differ."""
    named = keys.text("default_mode")
    modes = keys.below("modes")
    wanted = [word.text for word in (mode, named) if word is not None]
    allowed = [name for name in modes if _is_for(TakenKeys(modes.take(name)), variant, hardware)]
    if list(modes) and not allowed:
        return ()
    name = next((one for one in [*wanted, *allowed] if one in allowed), None)
    part = keys if name is None else TakenKeys(modes.take(name))
    overrides = part.below("hardware_overrides")
    own = next((one for one in _names_of(hardware) if one in overrides), None)
    return part.texts("args") if own is None else overrides.below(own).texts("args")


def _names_of(hardware: str) -> tuple[str, ...]:
    return (hardware, *(_GENERATION if hardware == SPARK else ()))


def _is_for(mode: TakenKeys, variant: str, hardware: str) -> bool:
    """Return whether a mode of a feature is for a variant, and runs on this hardware."""
    variants = [word.text for word in mode.texts("variants")]
    runs = mode.below("hardware")
    said = [runs.text(name) for name in _names_of(hardware)]
    return (not variants or variant in variants) and all(one is None or one.text != "unsupported" for one in said)


def _image(node: Node | None) -> Word | None:
    """Return an image as a text, or from a map by brand and CUDA, the newer first."""
    while node is not None and isinstance(node.content, dict):
        node = next((node.content[key] for key in _CUDA if key in node.content), None)
    text = None if node is None else scalar(node)
    return None if node is None or text is None else Word(text, bare(node.place))


def _apart(word: Word) -> list[Word]:
    """Return a flag and its value from one item: the site writes the item into a shell's line as it is."""
    parts = word.text.split(None, 1) if word.text.startswith("-") else [word.text]
    return [word._replace(text=part) for part in parts]


def _last_of_each(words: Iterable[Word]) -> tuple[Word, ...]:
    """Return words with each flag once, the last time that it comes: as the site's own list does it."""
    units: list[tuple[Word, ...]] = []
    for word in chain.from_iterable(map(_apart, words)):
        if units and not word.text.startswith("-") and len(units[-1]) == 1 and units[-1][0].text.startswith("-"):
            units[-1] = (units[-1][0], word)
        else:
            units.append((word,))
    last = {unit[0].text: index for index, unit in enumerate(units)}
    kept = [unit for index, unit in enumerate(units) if last[unit[0].text] == index or not unit[0].text.startswith("-")]
    return tuple(chain.from_iterable(kept))
