"""A lock on a real Docker Engine with a real registry: a tag that moves on is seen before anything is pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import registry as registries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.docker_spark import Spark

pytestmark = [pytest.mark.docker, pytest.mark.registry]


@pytest.fixture
def port(docker_host: str, tmp_path: Path) -> Iterator[int]:
    folder = tmp_path / "registry"
    folder.mkdir()
    with registries.registry(docker_host, folder) as port:
        yield port


def pushed(docker_host: str, reference: str, folder: Path, content: str) -> None:
    """Push an image of one file that says which vLLM it has; the engine does not keep it."""
    folder.mkdir(exist_ok=True)
    (folder / "_version.py").write_text(f'__version__ = version = "{content}"\n')
    package = "/usr/local/lib/python3.12/dist-packages/vllm"
    (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY _version.py {package}/_version.py\n")
    registries.push(docker_host, reference, folder)


def test_a_moved_tag_is_seen_before_it_is_pulled_and_held_against_the_lock_after(
    docker_spark: Spark, docker_host: str, port: int, tmp_path: Path
) -> None:
    spark = docker_spark
    image = f"127.0.0.1:{port}/{spark.prefix}/vllm-openai:nightly"
    name = spark.recipe("one", more="")
    recipe = spark.folder / f"recipes/{name}.yaml"
    recipe.write_text(recipe.read_text().replace("sparkctl-test/standin:latest", image).replace('"0.29"', "auto"))
    spark.write("recipes/stacks/box.yaml", f"services: {{{name}: {{recipe: {name}}}}}\n")
    try:
        pushed(docker_host, image, tmp_path / "image", "0.29.0")
        written = spark.run("lock", "box").expect(0)  # by the registry alone
        assert spark.docker("images", "--quiet", image) == ""
        first = written.err.partition("image sha256:")[2][:12]
        lock = spark.folder / "recipes/stacks/box.lock"
        assert f'digest: "sha256:{first}' in lock.read_text()

        spark.docker("pull", "--quiet", image)
        spark.run("lock", "box", "--check").expect(0)
        spark.run("lock", "box").expect(0)  # now the image says its vLLM
        assert 'vllm: "0.29.0"' in lock.read_text()
        spark.run("lock", "box", "--upgrade").expect(0)

        pushed(docker_host, image, tmp_path / "image", "0.32.0")
        spark.docker("pull", "--quiet", f"{image.rpartition(':')[0]}@{_digest(lock)}")
        spark.docker("tag", f"{image.rpartition(':')[0]}@{_digest(lock)}", image)
        spark.run("lock", "box", "--check").expect(0)  # what is here is what was locked
        newer = spark.run("lock", "box", "--upgrade", "--yes").expect(0)
        assert f"sha256:{first} → sha256:" in newer.out
        assert f"docker pull {image}" in newer.err

        differs = spark.run("lock", "box", "--check").expect(9)
        assert differs.out.startswith(f"{name}: image: locked {_digest(lock)}, found sha256:{first}")
        spark.docker("pull", "--quiet", image)
        spark.run("lock", "box", "--check").expect(0)
    finally:
        for found in set(spark.docker("images", "--quiet", image.rpartition(":")[0]).split()):
            spark.docker("rmi", "--force", found)


def _digest(lock: Path) -> str:
    """Return the digest of the only image that is locked."""
    return lock.read_text().partition('digest: "')[2].partition('"')[0]
