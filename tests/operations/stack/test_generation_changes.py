"""Two kept services are compared flag by flag, image by what is behind the tag, model by commit, mod by md5."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sparkctl.operations.stack.generation_changes import (
    ADDED,
    CHANGED,
    REMOVED,
    ServiceChange,
    changes,
    compared,
    host_changes,
)
from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode
from sparkctl.planning.box.generation import KeptGeneration, KeptMod, KeptService

RESTARTS = Restarts(10.0, 300.0, 3, 1800.0)
DECLARED = DeclaredService(
    "chat", StartMode.ALWAYS, 0, keep=False, after=(), idle_s=None, stays_s=60.0, restarts=RESTARTS
)
OLD_ID, NEW_ID = ("sha256:" + digit * 64 for digit in "ab")
MOD = KeptMod("fix", "/opt/a.py", "1" * 32)


IMAGE = "vllm/vllm-openai:v1"
CONTEXT = ("--max-model-len", "4096")
WARM_GONE = "ready.warm: 0.0 before, none now"
IDS = f"{'a' * 12} before, {'b' * 12} now"


def words(*options: str, image: str = IMAGE, flags: tuple[str, ...] = CONTEXT) -> tuple[str, ...]:
    """Return a docker run command."""
    return ("docker", "run", "--detach", "--name", "chat", *options, image, "--model", "/m", *flags)


KEPT = KeptService(
    declared=DECLARED,
    recipe="one",
    text="ready:\n  warm: 0.0\n",
    words=words("--env", "A=1", "--mount", "type=bind,source=/state/1/a.py,target=/opt/a.py"),
    digest="d1",
    image="vllm/vllm-openai:v1",
    image_id=OLD_ID,
    image_digests=("vllm/vllm-openai@sha256:1",),
    vllm="0.19.1",
    model="owner/model",
    revision="f00d",
    mods=(MOD,),
    secrets=("HF_TOKEN",),
)


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({}, []),
        ({"recipe": "two"}, ["recipe: one before, two now"]),
        (
            {"words": words("--env", "A=1", flags=("--max-model-len", "8192"))},
            ["--max-model-len: 4096 before, 8192 now"],
        ),
        ({"words": words("--env", "A=1", flags=())}, ["--max-model-len: 4096 before, none now"]),
        (
            {"words": words("--env", "A=1", flags=("--max-model-len", "4096", "--enforce-eager"))},
            ["--enforce-eager: none before, set now"],
        ),
        ({"words": words("--env", "A=2")}, ["--env A: another value"]),
        ({"words": words("--env", "A=(hidden)")}, []),
        ({"words": words("--env", "A=(hidden)"), "digest": "d2"}, ["--env A: perhaps another value (it is not kept)"]),
        ({"words": words("--env", "B=1")}, ["--env B: not set before", "--env A: not set any more"]),
        (
            {"words": words("--env", "A=1", "--ipc", "host", "--mount", "type=bind,source=/x,target=/y")},
            ["mount /y: none before, /x now", "--ipc: none before, host now"],
        ),
        ({"words": words("--env", "A=1", "--label", "mine=1")}, ["--label mine: none before, 1 now"]),
        (
            {"words": words("--env", "A=1", "--label", "sparkctl.claim=1"), "text": "a: 1\n"},
            ["a: none before, 1 now", WARM_GONE],
        ),
        (
            {"image_id": NEW_ID, "image_digests": ()},
            [f"image behind the tag ({IMAGE}): {IDS}"],
        ),
        ({"image_id": NEW_ID}, []),
        ({"image_id": ""}, []),
        (
            {"image": "vllm/vllm-openai:v2", "image_id": NEW_ID, "image_digests": ()},
            [
                f"image: {IMAGE} before, vllm/vllm-openai:v2 now",
                f"image id: {IDS}",
            ],
        ),
        (
            {"image": OLD_ID, "words": words("--env", "A=1", "--volume", "/cache/v2/by-tag:/compiled", image=OLD_ID)},
            [f"image: {IMAGE} before, {OLD_ID} now (the same image)"],
        ),
        ({"image": OLD_ID}, [f"image: vllm/vllm-openai:v1 before, {OLD_ID} now (the same image)"]),
        ({"vllm": "0.20.2"}, ["vLLM: 0.19.1 before, 0.20.2 now"]),
        ({"model": "owner/other"}, ["model: owner/model before, owner/other now"]),
        ({"revision": "beef"}, ["revision of owner/model: f00d before, beef now"]),
        ({"revision": None}, []),
        ({"draft": "owner/draft", "draft_revision": "c0de"}, ["draft: none before, owner/draft now"]),
        (
            {"mods": (replace(MOD, md5="2" * 32),)},
            [f"mod fix /opt/a.py: md5 {MOD.md5} before, md5 {'2' * 32} now"],
        ),
        ({"mods": ()}, [f"mod fix /opt/a.py: md5 {'1' * 32} before, none now"]),
        (
            {"secrets": ("VLLM_API_KEY",)},
            [
                "secret VLLM_API_KEY: not wanted before",
                "secret HF_TOKEN: not wanted any more",
            ],
        ),
        ({"text": "ready:\n  warm: 0.5\n"}, ["ready.warm: 0.0 before, 0.5 now"]),
        (
            {"text": "env:\n  MY_AUTH: of-nobody-else\n"},
            ["env.MY_AUTH: none before, (hidden) now", WARM_GONE],
        ),
        ({"text": "ready: {warm: 0.0}\n"}, ["the text of the recipe"]),
        ({"text": ": no recipe: at all"}, ["the text of the recipe"]),
    ],
)
def test_each_difference_has_a_line(changed: dict[str, object], lines: list[str]) -> None:
    found = compared(replace(KEPT, mods=(MOD,)), replace(KEPT, **changed))  # type: ignore[arg-type]
    mounts = [line for line in found if line.startswith("mount /opt/a.py")]
    assert [line for line in found if line not in mounts] == lines


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"priority": 3}, "priority: 0 before, 3 now"),
        ({"start": StartMode.MANUAL}, "start: always before, manual now"),
        ({"keep": True}, "keep: false before, true now"),
        ({"after": ("a", "b")}, "after: none before, a, b now"),
        ({"idle_s": 90.0}, "idle: none before, 90 s now"),
        ({"restarts": Restarts(10.0, 300.0, 5, 1800.0)}, "restart.attempts: 3 before, 5 now"),
    ],
)
def test_what_the_stack_says_is_compared_too(changed: dict[str, object], line: str) -> None:
    assert compared(KEPT, replace(KEPT, declared=replace(DECLARED, **changed))) == [line]  # type: ignore[arg-type]


def test_generations_are_compared_by_their_services_and_their_host() -> None:
    other = replace(KEPT, declared=replace(DECLARED, name="other"))
    old = KeptGeneration(1, "box", "/box.yaml", 1.0, "ada", (KEPT, other))
    third = replace(KEPT, declared=replace(DECLARED, name="third"))
    new = KeptGeneration(
        2, "box", "/box.yaml", 2.0, "ada", (third, replace(KEPT, recipe="two")), reserve_bytes=8 * 1024**3
    )
    assert changes(old, new) == [
        ServiceChange("third", ADDED),
        ServiceChange("chat", CHANGED, ("recipe: one before, two now",)),
        ServiceChange("other", REMOVED),
    ]
    assert changes(old, old) == []
    assert [one.kind for one in changes(None, old)] == [ADDED, ADDED]
    assert host_changes(old, new) == ["host.reserve: none before, 8.0 GiB now"]


def test_words_of_another_sparkctl_are_no_end_of_a_list() -> None:
    old = KeptGeneration(1, "box", "/box.yaml", 1.0, "ada", (KEPT,))
    new = replace(old, number=2, services=(replace(KEPT, words=("docker", "run", "--future", "image")),))
    (change,) = changes(old, new)
    assert change.lines == ("it cannot be compared: docker run has no option --future",)


def test_a_draft_is_compared_by_its_commit_too() -> None:
    old = replace(KEPT, draft="owner/draft", draft_revision="c0de")
    assert compared(old, replace(old, draft_revision="cafe")) == ["revision of owner/draft: c0de before, cafe now"]
    assert compared(old, replace(old, draft_revision=None)) == []
