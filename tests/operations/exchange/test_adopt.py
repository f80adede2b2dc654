"""`sparkctl adopt`: a recipe out of a container that somebody else started."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from sparkctl.recipes.exchange.sources.inspected import launch_of, ordered
from sparkctl.world.engine import Creation, ImageDefaults
from sparkctl.world.spec import ContainerSpec, Mount, Port
from tests.support.fake_world import STATE, FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "vllm/vllm-openai:v0.32.0"
SERVER = ImageDefaults(entrypoint=("vllm", "serve"), env=(("PATH", "/usr/bin"),), labels={"of": "image"})
COMMAND = ("--model", "Qwen/Qwen3-8B", "--served-model-name", "chat", "--max-model-len", "4096")


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def runs(spark: FakeSpark, name: str = "chat", **changes: object) -> str:
    """Let somebody start a container, and return its id."""
    spark.engine.images.setdefault(IMAGE, {})
    given = {"image": IMAGE, "command": COMMAND, "name": name, "ports": (Port(8000, 8003, "127.0.0.1"),)}
    identity = spark.engine.create(ContainerSpec(**(given | changes)))
    spark.engine.start(identity)
    return identity


def written(spark: FakeSpark, name: str = "chat") -> dict[str, object]:
    value: dict[str, object] = yaml.safe_load((spark.folder / "recipes" / f"{name}.yaml").read_text())
    return value


def creation(*, entrypoint: tuple[str, ...] = ("vllm", "serve"), **changes: object) -> Creation:
    """Return the creation of a container of the server's image; an engine keeps what the image brings with the rest."""
    env = (("PATH", "/usr/bin"), ("A", "1"))
    given = {"image": IMAGE, "command": COMMAND, "name": "chat", "env": env, "labels": (("of", "image"), ("b", "2"))}
    return Creation(ContainerSpec(**(given | changes)), entrypoint, SERVER)


def test_the_recipe_of_a_container_is_written_and_the_container_is_not_touched(spark: FakeSpark) -> None:
    identity = runs(spark, env=(("HF_TOKEN", "hf_of_this_container"), ("VLLM_LOGGING_LEVEL", "DEBUG")))
    before = list(spark.engine.calls)
    done = spark.run("adopt", "chat").expect(0)

    recipe = written(spark)
    assert recipe["image"] == IMAGE
    assert recipe["model"] == {"repo": "Qwen/Qwen3-8B"} or recipe["model"] == "Qwen/Qwen3-8B"
    assert recipe["secrets"] == ["HF_TOKEN"]
    assert recipe["env"] == {"VLLM_LOGGING_LEVEL": "DEBUG"}
    assert recipe["limits"]["context"] == 4096  # type: ignore[index]
    assert "hf_of_this_container" not in done.out + done.err + (spark.folder / "recipes/chat.yaml").read_text()
    assert spark.engine.calls == before
    assert spark.engine.there[identity].state == "running"
    assert "sparkctl up chat --replace puts its own there" in done.err
    assert "sparkctl did not start it" in spark.run("ps").err


def test_one_rank_of_several_is_not_adopted(spark: FakeSpark) -> None:
    runs(spark, command=(*COMMAND, "--tensor-parallel-size", "2", "--nnodes", "2", "--node-rank", "0"))
    assert "one of several ranks that share a model" in spark.run("adopt", "chat").expect(2).err
    assert not (spark.folder / "recipes/chat.yaml").exists()


def test_of_a_recipe_with_another_name_the_container_stays_unknown(spark: FakeSpark) -> None:
    runs(spark)
    done = spark.run("adopt", "chat", "--name", "other", "--json").expect(0)
    assert done.json["known"] is False
    assert [one["name"] for one in done.json["recipes"]] == ["other"]
    assert spark.files.content(STATE / "adopted.json") is None
    assert spark.run("ps").expect(0).err.endswith("`sparkctl recipes` lists what can be\n")


def test_a_recipe_that_is_there_is_not_written_over_unless_that_is_told(spark: FakeSpark) -> None:
    runs(spark)
    spark.run("adopt", "chat").expect(0)
    spark.run("adopt", "chat").expect(0)
    written = spark.folder / "recipes/chat.yaml"
    written.write_text(f"{written.read_text()}# mine\n")
    refused = spark.run("adopt", "chat").expect(2)
    assert "there already" in refused.err
    spark.run("adopt", "chat", "--replace").expect(0)


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("nobody", {}, "there is no container nobody"),
        ("chat", {"labels": (("sparkctl.service", "chat"),)}, "chat is sparkctl's already"),
        ("chat", {"image": "nginx:1", "command": ("nginx",)}, "no vLLM: chat runs no vLLM"),
        ("chat", {"image": "sha256:" + "a" * 64}, "image without a name"),
        ("chat", {"command": ("--served-model-name", "x")}, "no model"),
    ],
)
def test_what_is_not_adopted_says_why(spark: FakeSpark, name: str, changes: dict[str, object], told: str) -> None:
    image = str(changes.get("image", IMAGE))
    spark.engine.images[image.removeprefix("sha256:")] = {}
    runs(spark, **changes)
    assert told in spark.run("adopt", name).expect(2).err


@pytest.mark.parametrize("allow", [(), ("--allow", "privileged")])
def test_power_over_the_host_comes_along_only_when_it_is_allowed(spark: FakeSpark, allow: tuple[str, ...]) -> None:
    runs(spark, privileged=True, pid="host")
    done = spark.run("adopt", "chat", *allow).expect(0)
    assert "--privileged" in done.out + done.err
    assert ("privileged" in json.dumps(written(spark))) == bool(allow)


# --- what was ordered beside the image -------------------------------------------------------------------------------


def test_what_the_image_brings_is_not_repeated() -> None:
    spec = ordered(creation())
    assert spec == ContainerSpec(IMAGE, COMMAND, "chat", env=(("A", "1"),), labels=(("b", "2"),))


def test_an_entrypoint_of_several_words_is_the_first_and_words_before_the_command() -> None:
    spec = ordered(creation(entrypoint=("python3", "-m", "vllm.entrypoints.openai.api_server")))
    assert (spec.entrypoint, spec.command) == ("python3", ("-m", "vllm.entrypoints.openai.api_server", *COMMAND))
    assert ordered(creation(entrypoint=())).entrypoint == ""


def test_the_command_of_the_image_is_written_out_and_told() -> None:
    own = creation()._replace(image=SERVER._replace(command=COMMAND))
    launch = launch_of(own)
    assert [word.text for word in launch.command] == list(COMMAND)
    assert launch.notes == ("the command is the image's own; the recipe writes it out",)


def test_labels_of_tools_concern_nobody_else_and_what_no_option_says_stays_over() -> None:
    labels = (("com.docker.compose.project", "x"), ("mine", "y"))
    found = creation(labels=labels, mounts=(Mount("/data", "/srv", read_only=True),))._replace(
        others=("Networks=other", "CpuShares=512")
    )
    launch = launch_of(found)
    assert [word.text for word in launch.options] == [
        *("--env", "A=1"),
        *("--label", "mine=y"),
        *("--mount", "type=bind,source=/srv,target=/data,readonly"),
    ]
    assert [left.what for left in launch.leftovers] == ["Networks=other", "CpuShares=512"]
