"""A container that an engine has, whoever started it, as a launch: what ``docker run`` would have been told.

What the image brings is not repeated, but for the command, which a recipe always writes itself. Labels of docker
compose and of sparkctl say who made the container, and concern no other one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import Place
from sparkctl.recipes.exchange.launch import Launch, Leftover, Refused, Word
from sparkctl.world.docker_run import grammar
from sparkctl.world.labels import PREFIX

if TYPE_CHECKING:
    from sparkctl.world.engine import Creation
    from sparkctl.world.spec import ContainerSpec

FORM: Final = "container"
_OTHERS_LABELS: Final = ("com.docker.compose.", "org.opencontainers.", "desktop.docker.io/", PREFIX)
_SERVES: Final = re.compile(r"\bvllm['\"]?\s+serve\b|vllm\.entrypoints\b|--model\b|--served-model-name\b")
_ID: Final = re.compile(r"sha256:[0-9a-f]{64}|[0-9a-f]{64}")


def ordered(creation: Creation) -> ContainerSpec:
    """Return what was ordered of a container beside its image: what a ``docker run`` says that makes it again.

    An entrypoint of several words is one of ``--entrypoint`` and the first words of the command, as docker reads it.
    """
    spec, image = creation.spec, creation.image
    env = tuple(pair for pair in spec.env if pair not in image.env)
    labels = tuple(pair for pair in spec.labels if image.labels.get(pair[0]) != pair[1])
    own = replace(
        spec,
        entrypoint=None,
        env=env,
        labels=labels,
        user="" if spec.user == image.user else spec.user,
        workdir="" if spec.workdir == image.workdir else spec.workdir,
        stop_signal="" if spec.stop_signal == image.stop_signal else spec.stop_signal,
    )
    if creation.entrypoint == image.entrypoint:
        return own
    first, others = (creation.entrypoint[0], creation.entrypoint[1:]) if creation.entrypoint else ("", ())
    return replace(own, entrypoint=first, command=(*others, *spec.command))


def launch_of(creation: Creation) -> Launch:
    """Return the launch of a container; refused where it runs no server of vLLM, or its image has no name."""
    spec = ordered(creation)
    place = Place(f"container {spec.name}", 0, 0)
    kept = tuple(pair for pair in spec.labels if not pair[0].startswith(_OTHERS_LABELS))
    written = grammar.words(replace(spec, name="", labels=kept, image="image", command=()))
    leftovers = [_other(place, said) for said in creation.others]
    notes = []
    if creation.entrypoint == creation.image.entrypoint and spec.command and spec.command == creation.image.command:
        notes.append("the command is the image's own; the recipe writes it out")
    return Launch(
        name=spec.name,
        form=FORM,
        place=place,
        options=tuple(Word(word, place) for word in written[3:-1]),
        image=Word(spec.image, place),
        command=tuple(Word(word, place) for word in spec.command),
        leftovers=tuple(leftovers),
        notes=tuple(notes),
        refused=_refused(creation, spec, place),
    )


def _other(place: Place, said: str) -> Leftover:
    name, _, value = said.partition("=")
    if name == "Networks":
        return Leftover(place, said, "sparkctl connects a container to one network", "docker network connect")
    return Leftover(
        place, f"{name}={value}", "docker run has no word for it in sparkctl's reading", "docker inspect shows it"
    )


def _refused(creation: Creation, spec: ContainerSpec, place: Place) -> Refused | None:
    said = " ".join((*creation.entrypoint, *creation.spec.command))
    if not said:
        said = spec.image
    if not _SERVES.search(said) and "vllm" not in " ".join((*creation.entrypoint, spec.image)):
        message = f"{spec.name} runs no vLLM: it starts {said[:80]!r}"
        return Refused("no vLLM", message, place)
    if _ID.fullmatch(spec.image):
        message = (
            f"the image of {spec.name} has no name any more: docker tag {spec.image[:19]} NAME, and start it by that"
        )
        return Refused("image without a name", message, place)
    return None
