"""`sparkctl import` of compose files: recipes and a stack, and nothing from outside of the file's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE = """\
services:
  small:
    image: vllm/vllm-openai:v0.32.0
    command: --model google/gemma-4-E4B-it --max-model-len ${CONTEXT}
    ports: ["127.0.0.1:8003:8000"]
    environment: [HF_TOKEN=hf_of_the_compose_file]
    env_file: [linked/secret.env, ../outside.env]
    privileged: true
  large:
    image: vllm/vllm-openai:v0.32.0
    command: [--model, google/gemma-4-26B-A4B-it, --max-model-len, "4096"]
    ports: ["127.0.0.1:8004:8000"]
    restart: always
    depends_on: [small, proxy]
  proxy: {image: nginx}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a compose file beside which a link leads out of its folder."""
    folder, outside = tmp_path / "theirs", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    for path in (outside / "secret.env", tmp_path / "outside.env"):
        path.write_text("FROM_OUTSIDE=1\n")
    (folder / "linked").symlink_to(outside)
    (folder / ".env").write_text("CONTEXT=8192\n")
    (folder / "compose.yaml").write_text(COMPOSE)
    return folder / "compose.yaml"


def test_the_services_become_recipes_and_a_stack(file: Path, tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path / "operator")
    done = spark.run("import", str(file)).expect(0)
    recipes = spark.folder / "recipes"
    small: dict[str, Any] = yaml.safe_load((recipes / "small.yaml").read_text())
    stack = yaml.safe_load((recipes / "stacks" / "theirs.yaml").read_text())

    assert small["limits"]["context"] == 8192
    assert (small["secrets"], "env" in small, "privileged" in small.get("container", {})) == (
        ["HF_TOKEN"],
        False,
        False,
    )
    assert stack["services"]["large"] == {"recipe": "large", "after": ["small"], "set": {"container.restart": "no"}}
    spark.run("recipes", "lint", "theirs").expect(0)
    told = done.out + done.err
    for what in (
        "env_file linked/secret.env",
        "env_file ../outside.env",
        "--privileged",
        "proxy",
        "--allow privileged",
    ):
        assert what in told
    everything = told + "".join(path.read_text() for path in recipes.rglob("*.yaml"))
    assert "hf_of_the_compose_file" not in everything
    assert "FROM_OUTSIDE" not in everything


def test_what_is_refused_in_one_file_leaves_a_folder_readable(file: Path, tmp_path: Path) -> None:
    bomb = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))])
    (file.parent / "bomb.yaml").write_text(f"{bomb}\nservices:\n  a:\n    image: vllm/x\n")
    (file.parent / "tabs.yaml").write_text("services:\n\ta:\n    image: vllm/x\n")
    (file.parent / "windows.yaml").write_bytes(
        COMPOSE.replace("small", "other").replace("\n", "\r\n").encode("utf-8-sig")
    )
    done = FakeSpark(tmp_path / "operator").run("import", str(file.parent), "--check", "--json").expect(0)
    counts = {one["form"]: one for one in done.json["forms"]}
    assert (counts["compose"]["imported"], counts["compose"]["refused"]) == (4, {})
    assert counts["file"]["refused"] == {"unreadable file": 2}
