"""What `sparkctl size` is asked about: a recipe, a folder with a model, model facts, or a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base import named_file, regular_file
from sparkctl.base.errors import InputError
from sparkctl.memory.changes import Changes, changed, defaults
from sparkctl.memory.footprint import Footprint, Once, footprint, longest_context
from sparkctl.memory.weights import checkpoint
from sparkctl.recipes.sizing.known_models import known_model
from sparkctl.recipes.sizing.memory_settings import settings_of
from sparkctl.vllm import flags
from sparkctl.vllm.kinds import ServerKind, kind_of
from sparkctl.world.partial_folder import refuse_partial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.pool import HostProfile
    from sparkctl.memory.settings import Settings
    from sparkctl.recipes.catalog import Catalog
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.reading import Loader
    from sparkctl.vllm.flags import Resolved
    from sparkctl.world.host import Models


class SizedModel(NamedTuple):
    """A model with the flags that it is sized for; ``draft`` are None where nothing is known of a draft model.

    ``kind`` is what its server does, by the recipe's flags and the model's architecture.
    """

    name: str
    once: Once
    draft: ModelFacts | None
    settings: Settings
    version: Resolved
    kind: ServerKind = ServerKind.GENERATE


class Reader(NamedTuple):
    """Finds what a name means.

    ``loader`` makes what reads recipes; ``hub`` reads what a repository says of itself, over the network.
    """

    catalog: Catalog
    models: Models
    operator: Operator
    loader: Callable[[], Loader]
    hub: Callable[[str, str | None], ModelFacts]

    def subject(self, name: str, version: str | None, changes: Changes) -> SizedModel:
        """Return what ``name`` means: a recipe's name or file, a folder, a name of model facts, or owner/name.

        Raises:
            InputError: none of them, or a file that cannot be used.
        """
        if name.endswith((".yaml", ".yml")) or ("/" not in name and self.catalog.knows(name)):
            return self._recipe(name, version, changes)
        facts = self.model(name)
        once = Once(facts)
        resolved = flags.known(version or str(flags.releases()[-1]))
        context = changes.max_model_len or once.shape.max_context
        if context is None:
            message = f"{name} does not say its longest context"
            raise InputError(message, hint="say one: --max-model-len")
        # Facts are of several checkpoints: the name says which of them.
        base = defaults(resolved.memory, context, facts)._replace(repo=name if name.count("/") == 1 else None)
        draft = self.model(changes.draft) if changes.draft else None
        return SizedModel(name, once, draft, changed(base, changes), resolved, kind_of({}, facts.config))

    def _recipe(self, name: str, version: str | None, changes: Changes) -> SizedModel:
        loader = self.loader()
        located = loader.located([name], [f'vllm="{version}"'] if version else [], strict=False)
        if len(located) != 1:
            message = f"{name} is a stack of {len(located)} services"
            services = " ".join(one.member.service for one in located)
            raise InputError(message, hint=f"size one of them ({services}), or sum them up: sparkctl plan {name}")
        one = located[0]
        facts, draft = loader.facts(one)
        one = loader.whole(one, facts, draft)
        given = settings_of(one.loaded.recipe, facts, one.loaded.version.memory)
        if changes.draft:
            draft = self.model(changes.draft)
        kind = kind_of(one.loaded.recipe.args, facts.config)
        return SizedModel(name, Once(facts), draft, changed(given, changes), one.loaded.version, kind)

    def model(self, name: str) -> ModelFacts:
        """Return what is known of a model: a folder, a name of model facts, or a repository in the cache or on the hub.

        Raises:
            InputError: there is no such thing, or it cannot be used.
        """
        folder = named_file.from_home(name)
        refuse_partial(folder)
        if regular_file.is_folder(folder):
            return checkpoint.facts_of_folder(folder)
        if name in self._known():
            return known_model(self.catalog, name).facts
        if name.count("/") == 1 and not name.startswith((".", "/", "~")):
            snapshot = self.models.cached(self.operator.hub(None), name, None)
            if snapshot is not None:
                return checkpoint.facts_of_folder(snapshot)
            known = self.catalog.facts_by_repo().get(name)
            return known_model(self.catalog, known).facts if known else self.hub(name, None)
        message = f"{name} is no recipe, no folder and no model facts"
        raise InputError(message, hint=f"known model facts: {', '.join(self._known())}; recipes: sparkctl recipes")

    def _known(self) -> Sequence[str]:
        return [entry.name for entry in self.catalog.entries("facts")]


def sized(subject: SizedModel, profile: HostProfile) -> Footprint:
    """Return what the subject takes.

    Raises:
        InputError: nothing is known of its weights, or its config cannot be used.
    """
    weights = subject.once.weights(subject.settings)
    return footprint(subject.settings, subject.once.shape, weights, subject.draft, profile)


def longest(subject: SizedModel, taken: Footprint) -> int:
    """Return the longest context that the subject's cache holds, for as many sequences as it is to hold."""
    return longest_context(subject.settings, subject.once.shape, taken, subject.draft)
