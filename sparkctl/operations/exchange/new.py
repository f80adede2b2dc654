"""A recipe for a model that has none: out of its own files, with the longest context that fits, each line explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document, named_file
from sparkctl.base.declarations import NAME
from sparkctl.base.errors import InputError
from sparkctl.base.units import format_gib
from sparkctl.operations.exchange import model_files
from sparkctl.operations.memory.fits import longest_context, look
from sparkctl.recipes import layers
from sparkctl.recipes.catalog import CatalogEntry, checked
from sparkctl.recipes.exchange.fresh.choices import Setting, decided
from sparkctl.recipes.exchange.fresh.images import HeldImage, ImageOffer, offers, tagged
from sparkctl.recipes.exchange.fresh.lines import FreshLine, LeftOut, text_of
from sparkctl.recipes.minimal import completed
from sparkctl.recipes.stack_parts.member import Member
from sparkctl.vllm import flags

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.memory.fits import FitLook
    from sparkctl.recipes.exchange.fresh.material import ModelMaterial
    from sparkctl.recipes.service import Service

IMAGE: Final = "image"
DRAFTS: Final = "drafts"
_YES, _NO = "yes", "no"
_CONTEXT: Final = ("limits", "context")


class NewAsked(NamedTuple):
    """The request: a model (owner/name or a folder), and values that must not be derived from it.

    ``beside`` are services beside which the context has to fit; () is what runs now. ``out`` is the file to write, or
    a folder; None: the operator's own recipes.
    """

    model: str
    name: str | None = None
    beside: tuple[str, ...] = ()
    image: str | None = None
    template: str | None = None
    context: int | None = None
    out: str | None = None


class NewQuestion(NamedTuple):
    """A question with several answers: ``options`` are values with reasons; if nobody is asked, the first is taken."""

    key: str
    asks: str
    options: tuple[tuple[str, str], ...]


class ReadyModel(NamedTuple):
    """A model that was read, where its recipe will be, and what is open."""

    asked: NewAsked
    name: str
    path: Path
    model: ModelMaterial
    images: tuple[ImageOffer, ...]
    questions: tuple[NewQuestion, ...]


class NewRecipe(NamedTuple):
    """A recipe that was made: its file's text, and what it says. ``fits``: it does beside the services ``beside``."""

    name: str
    path: Path
    text: str
    lines: tuple[FreshLine, ...]
    left_out: tuple[LeftOut, ...]
    service: Service
    fits: bool
    beside: tuple[str, ...]

    @property
    def guesses(self) -> tuple[FreshLine, ...]:
        """The lines that nothing says for certain."""
        return tuple(line for line in self.lines if line.guessed)


def prepared(world: World, asked: NewAsked) -> ReadyModel:
    """Read a model, and say what is open about its recipe.

    Raises:
        InputError: no such model, a file that is there already, a name that is taken or none, or no known release of
            vLLM has a class for it and no image is named.
    """
    model = model_files.read(world, asked.model)
    if model.once.shape.drafter is not None:
        message = (
            f"{model.repo} is a draft model ({model.architecture}): it is served beside the model that it drafts for"
        )
        raise InputError(message, hint="name that one here, and write speculative: {model: …} into its recipe")
    if model.once.shape.max_context is None and asked.context is None:
        raise InputError(f"{model.repo} does not say its longest context", hint="say one: --context TOKENS")
    name = asked.name or completed.service_name(model.repo)
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be the name of a recipe", hint="give one: --name NAME")
    path = _place(world, asked, name)
    if named_file.there(path):
        raise InputError(f"{path} is there already, and is never written over", hint="give another: --name, or --out")
    if asked.out is None and world.catalog.knows(name):
        raise InputError(f"{name} is a recipe, a stack or a service already", hint="give it another: --name NAME")
    images = _images(world, asked, model)
    questions = []
    if len(images) > 1:
        told = tuple((one.image, one.why) for one in images)
        questions.append(NewQuestion(IMAGE, "which image serves it?", told))
    if model.drafting_layers and model.has_drafting_weights:
        told = ((_YES, "quicker where its drafts are accepted"), (_NO, "its drafting layers are not loaded"))
        questions.append(NewQuestion(DRAFTS, "is it to draft by its own layers?", told))
    return ReadyModel(asked, name, path, model, images, tuple(questions))


def made(world: World, ready: ReadyModel, answers: Mapping[str, str]) -> NewRecipe:
    """Return the recipe; ``answers`` are by the keys of its questions, of the others the first option counts.

    Raises:
        InputError, EngineError: nothing can be planned with, or as for ``look``.
    """
    image = next((one for one in ready.images if one.image == answers.get(IMAGE)), ready.images[0])
    lines, left = decided(ready.model, _setting(world, ready, image, answers))
    seen, fixed = look(world, ready.asked.beside), ready.asked.context
    if fixed is not None:
        lines.append(FreshLine(_CONTEXT, fixed, "as it was asked for: --context"))
    else:
        lines.append(_context(_service(world, ready, seen, _text(ready, lines, left)), seen))
    text = _text(ready, lines, left)
    service = _service(world, ready, seen, text)
    fits = seen.around.fits(service.wanted)
    return NewRecipe(ready.name, ready.path, text, tuple(lines), tuple(left), service, fits, seen.around.names)


def write(world: World, recipe: NewRecipe) -> None:
    """Write the recipe's file.

    Raises:
        InputError: a file of this name came meanwhile, or it cannot be written.
    """
    if not world.files.create(recipe.path, recipe.text.encode(), mode=0o644):
        raise InputError(f"{recipe.path} is there already, and is never written over", hint="give another: --name")


def _place(world: World, asked: NewAsked, name: str) -> Path:
    """Return the file: as asked, else among the recipes of the folder that was given, or the operator's own."""
    if asked.out is None:
        return world.catalog.roots[0].path / "recipes" / f"{name}.yaml"
    out = named_file.from_home(asked.out).absolute()
    return out if out.suffix in {".yaml", ".yml"} else out / f"{name}.yaml"


def _images(world: World, asked: NewAsked, model: ModelMaterial) -> tuple[ImageOffer, ...]:
    if asked.image is not None:
        return (ImageOffer(asked.image, tagged(asked.image), "as it was asked for: --image"),)
    base = world.catalog.recipe(model.repo).recipe.image
    held = HeldImage(base, tagged(base), f"what the base recipe {completed.HUB_BASE} has")
    found = offers(model.architecture, [held])
    if not found:
        what = model.architecture or "what config.json does not name"
        message = f"no release of vLLM that is known has a class for {what}: {flags.releases()[-1]} is the newest"
        raise InputError(message, hint="name an image that serves it: --image NAME")
    return tuple(found)


def _setting(world: World, ready: ReadyModel, image: ImageOffer, answers: Mapping[str, str]) -> Setting:
    newest = flags.releases()[-1]
    counted = flags.known(str(image.version)).version if image.version is not None else newest
    written = None if image.version is not None else flags.AUTO
    gb10 = world.profile.card.unified
    drafts = answers.get(DRAFTS, _YES) == _YES
    return Setting(ready.name, image, counted, written, ready.asked.template, gb10=gb10, drafts=drafts)


def _text(ready: ReadyModel, lines: list[FreshLine], left: list[LeftOut]) -> str:
    head = [
        f"{ready.model.repo}: made by `sparkctl new` of {ready.model.where}.",
        'Each line has its reason above it. What begins with "guessed:" nothing says for certain: look at it.',
    ]
    return text_of(head, lines, left)


def _service(world: World, ready: ReadyModel, seen: FitLook, text: str) -> Service:
    """Return the service that a text makes: what is wrong with it is wrong at its line."""
    entry = CatalogEntry(ready.name, ready.path, "file")
    source = layers.with_whole_names(layers.with_long_names(document.load(text, str(ready.path))))
    located = seen.loader.kept(Member(ready.name, str(ready.path), asked=ready.name), checked(entry, source))
    (service,) = seen.history.expected(seen.loader.services([located], later=True))
    for warning in dict.fromkeys(map(str, seen.loader.warnings)):
        world.report.warn(warning)
    seen.loader.warnings.clear()
    return service


def _context(service: Service, seen: FitLook) -> FreshLine:
    """Return the line of the context: the longest that fits beside the others, else the longest that fits alone."""
    whole = service.resizer.once.shape.max_context
    others = f"beside {', '.join(seen.around.names)}" if seen.around.names else "while nothing else runs"
    longest, own = longest_context(service, seen.around), service.recipe.limits.context
    if not longest:
        why = f"it does not fit {others}: this is the longest that fits this host alone"
        return FreshLine(_CONTEXT, own, why, "`sparkctl fits` says what would have to stop", guessed=True)
    free = format_gib(seen.around.pool.available_bytes)
    of = "" if whole is None else f" of the model's {whole:,} tokens"
    why = f"the model's own, and it fits {others}" if longest == whole else f"the longest{of} that fits {others}"
    return FreshLine(_CONTEXT, longest, f"{why}, with {free} available", "the plan of this host, as it was then")
