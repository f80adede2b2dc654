"""What every builder does, as a user of the port relies on it: a class of tests to be inherited once for each.

A subclass has a fixture ``kitchen``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.builder import BuildOrder
from sparkctl.world.labels import LABEL_THROWAWAY
from sparkctl.world.spec import ContainerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.world.builder import Builder, BuildMoment
    from sparkctl.world.engine import Engine, Image

LABEL = "sparkctl.test-image"


@dataclass
class Kitchen:
    """A builder, its engine, the base that it has, and tags of this test's own.

    ``program`` returns one that prints lines and ends with a code.
    """

    builder: Builder
    engine: Engine
    base: str
    prefix: str
    program: Callable[[list[str], int], bytes]

    def order(self, *, lines: tuple[str, ...] = ("one", "two"), code: int = 0, name: str = "a") -> BuildOrder:
        """Return the order of an image whose program does no more than print."""
        base = self.image(self.base)
        assert base is not None
        tag = f"sparkctl-job:{self.prefix}-{name}"
        return BuildOrder(tag, base.id, self.program(list(lines), code), labels={LABEL: self.prefix}, network=False)

    def image(self, tag: str) -> Image | None:
        return self.engine.image(tag)

    def built(self, order: BuildOrder) -> list[BuildMoment]:
        return list(self.builder.build(order))

    def left(self) -> list[str]:
        """Return the throwaway containers for images that there are."""
        ours = [one for one in self.engine.containers() if one.labels.get(LABEL) == self.prefix]
        return [one.name for one in ours if one.labels.get(LABEL_THROWAWAY) == "image"]


class BuilderContract:
    """The contract."""

    def test_an_image_is_there_when_its_program_has_ended_well(self, kitchen: Kitchen) -> None:
        order = kitchen.order()
        moments = kitchen.built(order)
        lines = {line for moment in moments for line in moment.lines}
        image = kitchen.image(order.tag)

        assert lines <= {"one", "two", "writing the image"}  # the last may not have come when the program ends
        assert [moment.end is None for moment in moments] == [True] * (len(moments) - 1) + [False]
        assert moments[-1].end is not None
        assert (moments[-1].end.exit_code, moments[-1].end.oom_killed) == (0, False)
        assert moments[-1].end.lines == ("one", "two")
        assert image is not None
        assert image.labels[LABEL] == kitchen.prefix
        assert image.labels.get(LABEL_THROWAWAY, "") == ""
        assert not kitchen.left()

    def test_a_program_that_fails_makes_no_image(self, kitchen: Kitchen) -> None:
        order = kitchen.order(lines=("ERROR: no",), code=3)
        *_, last = kitchen.built(order)

        assert last.end is not None
        assert (last.end.exit_code, last.end.lines) == (3, ("ERROR: no",))
        assert kitchen.image(order.tag) is None
        assert not [one for one in kitchen.builder.built(LABEL) if one.labels[LABEL] == kitchen.prefix]
        assert not kitchen.left()

    def test_a_build_that_nobody_waits_for_leaves_nothing(self, kitchen: Kitchen) -> None:
        order = kitchen.order()
        moments = kitchen.builder.build(order)
        next(moments)
        moments.close()

        assert kitchen.image(order.tag) is None
        assert not kitchen.left()

    def test_a_base_that_is_not_there_is_an_error(self, kitchen: Kitchen) -> None:
        order = kitchen.order()._replace(base="sha256:" + "0" * 64)

        with pytest.raises(
            EngineError, match=f"cannot build the image {order.tag}: the engine does not have the image"
        ):
            kitchen.built(order)

    def test_images_are_found_by_their_label_and_removed_by_their_tag(self, kitchen: Kitchen) -> None:
        first, second = kitchen.order(), kitchen.order(lines=("other",), name="b")
        kitchen.built(first)
        kitchen.built(second)
        found = {tag: one for one in kitchen.builder.built(LABEL) for tag in one.tags}
        image = kitchen.image(first.tag)
        assert image is not None

        assert found[first.tag].id == image.id
        assert found[first.tag].labels[LABEL] == kitchen.prefix
        assert second.tag in found
        kitchen.builder.discard(first.tag)
        kitchen.builder.discard(first.tag)
        assert kitchen.image(first.tag) is None
        assert kitchen.image(second.tag) is not None
        assert kitchen.image(kitchen.base) is not None

    def test_an_image_that_a_container_is_made_of_is_not_removed(self, kitchen: Kitchen) -> None:
        order = kitchen.order()
        kitchen.built(order)
        identity = kitchen.engine.create(_container(order.tag, kitchen.prefix))

        with pytest.raises(EngineError, match=f"the container {identity[:12]} is made of it") as refused:
            kitchen.builder.discard(order.tag)
        assert refused.value.hint
        kitchen.engine.remove(identity)
        kitchen.builder.discard(order.tag)
        assert kitchen.image(order.tag) is None


def _container(image: str, prefix: str) -> ContainerSpec:
    return ContainerSpec(image=image, name=f"{prefix}-of-it", command=("true",))
