"""A tag that moved on, on a real Docker Engine: rollback runs the image that was applied, by its id."""

from __future__ import annotations

import json
from contextlib import suppress
from subprocess import CalledProcessError
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker


def test_rollback_runs_the_image_that_was_applied_and_not_the_one_behind_the_tag_now(docker_spark: Spark) -> None:
    spark = docker_spark
    image = f"sparkctl-test/{spark.prefix}:latest"
    name = spark.recipe("back")
    stack = f"{spark.prefix}-box"
    spark.write(
        f"recipes/stacks/{stack}.yaml", f"services: {{{name}: {{recipe: {name}, set: {{image: '{image}'}}}}}}\n"
    )

    def runs() -> str:
        return spark.docker("inspect", "--format", "{{.Image}}", name)

    spark.docker("tag", "sparkctl-test/standin:latest", image)
    try:
        spark.run("apply", stack).expect(0)
        old = runs()
        spark.docker("create", "--name", f"{spark.prefix}-newer", image)
        spark.docker("commit", f"{spark.prefix}-newer", image)
        new = spark.docker("inspect", "--format", "{{.Id}}", image)
        spark.run("apply", stack).expect(0)
        assert (runs(), new != old) == (new, True)
        back = spark.run("rollback").expect(0)
        assert runs() == old
        assert f"this one is taken by its id, {old}" in back.err
        (_, _, last) = spark.run("history", "--json").expect(0).json
        assert (last["outcome"], last["restores"]) == ("applied", 1)
        (now,) = [one for one in spark.run("ps", "--json").expect(0).json if one["name"] == name]
        assert (now["ready"], now["changed"]) == (True, [])
        container = spark.docker("inspect", "--format", "{{.Id}}", name)
        assert "there was nothing to do" in spark.run("rollback", "3").expect(0).err
        assert spark.docker("inspect", "--format", "{{.Id}}", name) == container
        spark.run("rollback", "2").expect(0)
        spark.run("down", name).expect(0)
        spark.docker("tag", "sparkctl-test/standin:latest", image)
        spark.docker("rm", "--force", f"{spark.prefix}-newer")
        spark.docker("rmi", "--force", new)
        gone = spark.run("rollback", "2").expect(4)
        assert f"{name}: the image {image} ({new}) is not on this engine any more" in gone.err
        assert spark.state(name) == ""
        assert len(json.loads(spark.run("history", "--json").out)) == 4
    finally:
        for one in spark.docker("ps", "--all", "--quiet", "--filter", f"name={spark.prefix}").split():
            spark.docker("rm", "--force", one)
        with suppress(CalledProcessError):
            spark.docker("rmi", "--force", image)
