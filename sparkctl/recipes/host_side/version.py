"""The vLLM that a recipe declares, held against the one that its image has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError, Problem, ProblemsError
from sparkctl.vllm import flags, image_version

if TYPE_CHECKING:
    from sparkctl.mods.images import Images
    from sparkctl.recipes.catalog import LoadedRecipe


def of_image(images: Images | None, image: str, root: str | None) -> tuple[str | None, Problem | None]:
    """Return the vLLM of an image, None if that is not known, and a warning if the image cannot be read."""
    try:
        return (None if images is None else images.vllm(image, root)), None
    except EngineError as error:
        return None, Problem(f"{image}: its vLLM is not known: {error.message}", warning=True)


def judged(loaded: LoadedRecipe, found: str | None, *, started: bool) -> list[Problem]:
    """Return what is doubtful about a recipe's version; ``found`` is its image's, None if that is not known.

    Raises:
        ProblemsError: the image has another release; of a service that was ``started`` this is a warning.
    """
    told = problem(loaded, found)
    if told is not None and not told.warning and not started:
        raise ProblemsError([told])
    doubts = [told._replace(warning=True)] if told is not None else []
    if loaded.version.beyond and loaded.version.note:
        doubts.append(Problem(loaded.version.note, loaded.document.place(("vllm",)), warning=True))
    return doubts


def problem(loaded: LoadedRecipe, found: str | None) -> Problem | None:
    """Return what is wrong with the version that a recipe declares, if its image has the vLLM ``found``.

    Of a development build, and where only the image's tag says a version, it is a warning. None: nothing is wrong.
    """
    recipe, place = loaded.recipe, loaded.document.place(("vllm",))
    if found is None:
        tag = image_version.of_tag(recipe.image)
        if tag is None or not image_version.contradicts(recipe.vllm, tag):
            return None
        message = f"vllm: the recipe says {recipe.vllm}, and the image's tag {tag} ({recipe.image})"
        return Problem(message, place, f'write vllm: "{tag}", or vllm: auto', warning=True)
    if recipe.vllm == flags.AUTO and not image_version.is_known(found):
        message = f"vllm: auto, and the image says {found}, a development build that does not say of which release"
        return Problem(message, place, "write the release that it was built after, as the image's maker says it")
    if not image_version.contradicts(recipe.vllm, found):
        return None
    message = f"vllm: the recipe says {recipe.vllm}, and the image has {found} ({recipe.image})"
    if not image_version.is_release(found):
        how = "a development build: its flags and its memory are counted as the recipe says"
        return Problem(f"{message}, {how}", place, warning=True)
    return Problem(message, place, f'write vllm: "{found}", or vllm: auto, which takes the image\'s')
