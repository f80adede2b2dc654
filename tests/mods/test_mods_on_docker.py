"""Mods on a real engine: images in several layouts, what their Python really imports, and the life of a mod."""

from __future__ import annotations

import hashlib
import os
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.engine_fixtures import FIRST, STANDIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine
    from tests.support.docker_spark import Spark

pytestmark = [pytest.mark.docker, FIRST]  # either would do, and the other has more to do

PACKAGES = "/usr/local/lib/python3.12/dist-packages"
MODULE = "vllm.model_executor.models.gemma4_mtp"
BELOW = "vllm/model_executor/models/gemma4_mtp.py"
FIXED = "FIXED = True\n"
MOVE = f"mkdir -p {{to}} && mv {PACKAGES}/vllm {{to}}/vllm"
VENV = (
    "RUN " + MOVE.format(to="/opt/venv/lib/python3.11/site-packages") + " && mkdir -p /opt/venv/bin "
    "&& ln -s /usr/bin/python3 /opt/venv/bin/python3 && printf 'home = /usr/bin\\n' > /opt/venv/pyvenv.cfg "
    "&& sed -i '1s|.*|#!/opt/venv/bin/python3|' /usr/local/bin/vllm\n"
)
LINKED = f"RUN {MOVE.format(to='/srv/packages')} && rm -rf {PACKAGES} && ln -s /srv/packages {PACKAGES}\n"
ZIPPED = (
    f"RUN cd {PACKAGES} && python3 -m zipfile -c /opt/vllm.zip vllm && rm -rf vllm "
    "&& echo /opt/vllm.zip > $(python3 -c 'import site; print(site.getsitepackages()[0])')/z.pth\n"
)


def compiled(mode: str) -> str:
    return f"RUN python3 -m compileall -q --invalidation-mode {mode} {PACKAGES}/vllm\n"


@pytest.fixture
def spark(docker_spark: Spark) -> Spark:
    return docker_spark


def md5(text: str | bytes) -> str:
    content = text.encode() if isinstance(text, str) else text
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def build(spark: Spark, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return a function that builds an image from lines of a Dockerfile, which is removed after the test."""
    built = []

    def make(lines: str, tag: str = "", files: dict[str, bytes] | None = None) -> str:
        reference = tag or f"sparkctl-test/layout:{uuid.uuid4().hex[:8]}"
        folder = tmp_path / "context" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content)
        # A label of its own, or an image without other lines would be the stand-in itself, and so would its containers.
        (folder / "Dockerfile").write_text(f"FROM {STANDIN}\nLABEL sparkctl.test={folder.name}\n{lines}")
        command = ["docker", "build", "--quiet", "--tag", reference, str(folder)]
        subprocess.run(command, env=spark.environment, check=True, capture_output=True)
        built.append(reference)
        return reference

    yield make
    for reference in dict.fromkeys(built):
        for container in spark.docker("ps", "--all", "--quiet", "--filter", f"ancestor={reference}").split():
            spark.docker("rm", "--force", container)
        spark.docker("rmi", "--force", reference)


def using(spark: Spark, image: str, *, mod: str = "", name: str = "a") -> str:
    """Write a recipe of an image with the mod `fix` over its drafter's file, and return the recipe's name."""
    spark.write("mods/fix/fix.py", FIXED)
    spark.write("mods/fix/mod.yaml", mod or f"files: [{{module: {MODULE}, source: fix.py, md5: {md5(FIXED)}}}]\n")
    full = spark.recipe(name, more="mods: [fix]\n")
    file = spark.folder / "recipes" / f"{full}.yaml"
    file.write_text(file.read_text().replace(STANDIN, image))
    return full


@pytest.mark.parametrize(
    ("lines", "root"),
    [
        ("", PACKAGES),
        (VENV, "/opt/venv/lib/python3.11/site-packages"),
        (LINKED, "/srv/packages"),
        (f"RUN {MOVE.format(to='/opt/elsewhere')}\nENV PYTHONPATH=/opt/elsewhere\n", "/opt/elsewhere"),
    ],
    ids=["dist-packages", "a virtual environment", "linked packages", "PYTHONPATH"],
)
def test_a_module_is_found_wherever_the_image_keeps_it(
    spark: Spark,
    build: Callable[..., str],
    lines: str,
    root: str,
) -> None:
    name = using(spark, build(lines))
    spark.run("up", name).expect(0)
    (row,) = spark.run("verify-mods", name, "--json").expect(0).json
    assert (row["host"], row["image"], row["container"], row["verdict"]) == ("ok", "not compared", "ok", "ok")
    mounts = spark.docker("inspect", "--format", "{{range .Mounts}}{{.Destination}} {{end}}", name).split()
    assert f"{root}/{BELOW}" in mounts
    assert spark.run("plan", name, "--json").expect(0).json["steps"] == [
        {"action": "keep", "service": name, "changes": []}
    ]


def test_a_package_in_a_zip_file_is_refused_with_the_reason(spark: Spark, build: Callable[..., str]) -> None:
    name = using(spark, build(ZIPPED))
    refused = spark.run("up", name).expect(6)
    assert "it is in /opt/vllm.zip/vllm, and nothing can be laid over a file within a zip file" in refused.err
    assert spark.state(name) == ""


@pytest.mark.parametrize("mode", ["timestamp", "checked-hash"])
def test_a_compiled_file_that_python_checks_does_not_shadow_a_mod(
    spark: Spark,
    build: Callable[..., str],
    mode: str,
) -> None:
    name = using(spark, build(compiled(mode)))
    spark.run("up", name).expect(0)
    assert spark.run("verify-mods", name, "--json").expect(0).json[0]["container"] == "ok"


def test_an_unchecked_compiled_file_shadows_a_mod_and_nothing_is_ready(
    spark: Spark,
    build: Callable[..., str],
) -> None:
    name = using(spark, build(compiled("unchecked-hash")))
    refused = spark.run("up", name).expect(6)
    assert f"runs the compiled {PACKAGES}/vllm/model_executor/models/__pycache__/gemma4_mtp.cpython-3" in refused.err
    assert f"made from another file, in place of {PACKAGES}/{BELOW}" in refused.err
    assert spark.state(name) == ""


def test_another_copy_that_python_imports_is_found(spark: Spark, build: Callable[..., str]) -> None:
    image = build(f"RUN mkdir /opt/first && cp -r {PACKAGES}/vllm /opt/first/vllm\nENV PYTHONPATH=/opt/first\n")
    by_path = f"files: [{{path: {PACKAGES}/{BELOW}, source: fix.py, md5: {md5(FIXED)}}}]\n"
    name = using(spark, image, mod=by_path)
    refused = spark.run("up", name).expect(6)
    assert f"imports {MODULE} from /opt/first/{BELOW}, and mod fix lies over {PACKAGES}/{BELOW}" in refused.err


def test_an_image_without_python_is_said_so(spark: Spark, build: Callable[..., str]) -> None:
    name = using(spark, build("ENV PATH=/usr/local/bin\n"))
    refused = spark.run("up", name).expect(6)
    assert "has no Python that could be asked where its packages are" in refused.err


def test_the_life_of_a_mod(spark: Spark, build: Callable[..., str], docker_engine: DockerEngine) -> None:
    image = build("", tag=f"sparkctl-test/life:{os.getpid()}")
    covered = docker_engine.read_image_files(image, [f"{PACKAGES}/{BELOW}"])[f"{PACKAGES}/{BELOW}"]
    assert covered is not None

    # Somebody mends the drafter's file, and makes a mod of it.
    mended = spark.home / "gemma4_mtp.py"
    mended.write_text(FIXED)
    added = spark.run("mods", "add", "mend", "--file", str(mended), "--module", MODULE, "--image", image).expect(0)
    assert f"covers {PACKAGES}/{BELOW} (md5 {md5(covered)})" in added.err
    manifest = spark.folder / "mods" / "mend" / "mod.yaml"
    assert f"md5: {md5(FIXED)}" in manifest.read_text()
    assert f"md5: {md5(covered)}" in manifest.read_text()
    spark.run("mods", "lock", "mend").expect(0)

    # It is used, and holds.
    name = spark.recipe("life", more="mods: [mend]\n")
    recipe = spark.folder / "recipes" / f"{name}.yaml"
    recipe.write_text(recipe.read_text().replace(STANDIN, image))
    spark.run("up", name).expect(0)
    (row,) = spark.run("verify-mods", name, "--json").expect(0).json
    assert [row[place] for place in ("host", "image", "container", "verdict")] == ["ok", "ok", "ok", "ok"]

    # The file on the disk is tampered with: that is caught, and the running container is not touched by it.
    (spark.folder / "mods" / "mend" / "gemma4_mtp.py").write_text("TAMPERED = True\n")
    tampered = spark.run("verify-mods", name, "--json").expect(6)
    assert [tampered.json[0][place] for place in ("host", "container")] == ["changed", "ok"]
    assert spark.docker("exec", name, "cat", f"{PACKAGES}/{BELOW}") == FIXED.strip()
    (spark.folder / "mods" / "mend" / "gemma4_mtp.py").write_text(FIXED)

    # The image is built anew with a released vLLM's file: caught before the next start, with the release named.
    released = docker_engine.read_image_files("sparkctl-test/vllm-cpu:0.32.0", [VLLM_FILE])[VLLM_FILE]
    assert released is not None
    build(f"COPY released.py {PACKAGES}/{BELOW}\n", tag=image, files={"released.py": released})
    spark.run("down", name).expect(0)
    moved = spark.run("up", name).expect(6)
    assert (
        f"is that of vLLM 0.32.0 to 0.33.0 (md5 {md5(released)}), and mod mend covers md5 {md5(covered)}" in moved.err
    )
    assert spark.state(name) == ""

    # Somebody starts it by hand instead, without the mod.
    model = f"type=bind,source={spark.model},target=/models/tiny,readonly"
    served = ("--served-model-name", "tiny", "--model", "/models/tiny")
    spark.docker("run", "--detach", "--name", name, "--mount", model, image, *served)
    by_hand = spark.run("verify-mods", name).expect(6)
    assert f"{name}, which sparkctl did not start, runs {image} without mod mend" in by_hand.err
    assert f"stop it, then: sparkctl up {name}" in by_hand.err

    # The release contains the fix: the manifest says so, and the mod is dropped.
    manifest.write_text(manifest.read_text() + 'fixed-in: ">=0.32"\n')
    fixed = spark.run("verify-mods", name).expect(6)
    assert "0.32.0 already contains the fix: drop the mod" in fixed.err
    spark.docker("rm", "--force", name)
    recipe.write_text(recipe.read_text().replace("mods: [mend]\n", ""))
    spark.run("up", name).expect(0)
    assert spark.run("verify-mods", name).expect(0).err == "no mods to verify: nothing that is judged has any\n"


VLLM_FILE = f"/usr/local/lib/python3.11/dist-packages/{BELOW}"
