"""Units of podman's Quadlet as the docker run that they mean, with each key in it or left over."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.recipes.exchange import forms
from sparkctl.recipes.exchange.exports.exported import ExportTarget
from sparkctl.recipes.exchange.exports.written import written
from sparkctl.recipes.exchange.fields.recipe import recipe_of
from sparkctl.recipes.exchange.material import Material, unknowns
from sparkctl.recipes.exchange.shell.script import ShellText
from sparkctl.recipes.exchange.sources import unit_files
from sparkctl.recipes.exchange.sources.quadlet import has_unit, in_document, read, recognises
from sparkctl.recipes.exchange.sources.unit_files import UnitLine
from sparkctl.world.docker_run import grammar
from tests.support.exporting import entries, odd, together
from tests.support.launches import HOST, left, only
from tests.support.thorough import examples
from tests.support.tools import done, tool

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.recipes.exchange.launch import Launch
    from sparkctl.world.spec import ContainerSpec

UNIT = """\
[Unit]
Description=Qwen on the Spark
After=network-online.target

[Container]
# what it is
Image=docker.io/vllm/vllm-openai:v0.32.0
ContainerName=qwen
AddDevice=nvidia.com/gpu=all
Environment=A=1 "B=two words" VLLM_X=%%
Environment=HF_TOKEN=hf_secretsecret
EnvironmentFile=-/etc/qwen.env
PublishPort=127.0.0.1:8003:8000
Volume=%h/models:/models:ro
Volume=./cache:/root/.cache:Z
ShmSize=16g
Ulimit=memlock=-1:-1
PodmanArgs=--ipc host --oom-score-adj 500
PodmanArgs=--cgroups split
AutoUpdate=registry
Secret=api,type=env,target=VLLM_API_KEY
Secret=file
HealthCmd=curl localhost
Memory=100g
Novelty=1
Exec=--model /models/Qwen3-8B \\
  --max-model-len 8192 --served-model-name "q w" $${X}

[Service]
Restart=always
TimeoutStartSec=900
ExecStartPre=/usr/bin/true
Slice=llm.slice

[Install]
WantedBy=default.target
"""
FEW = settings(max_examples=examples(30))


def spec_of(launch: Launch) -> ContainerSpec:
    """Return the container of a launch."""
    assert launch.image is not None
    words = [*(word.text for word in launch.options), launch.image.text, *(word.text for word in launch.command)]
    return grammar.parse(["docker", "run", *words])


def unit(lines: str, image: str = "own:1") -> Launch:
    """Return the launch of a unit with these lines in [Container]."""
    return only(read, f"[Container]\nImage={image}\n{lines}\n", "qwen.container")


def test_a_unit_becomes_a_launch_and_each_key_is_in_it_or_left_over() -> None:
    found = only(read, UNIT, "units/qwen.container")
    assert (found.name, found.form, found.refused) == ("qwen", "quadlet unit", None)
    spec = spec_of(found)
    assert spec.image == "docker.io/vllm/vllm-openai:v0.32.0"
    assert spec.command[-3:] == ("--served-model-name", "q w", "${X}")
    assert spec.env[:3] == (("A", "1"), ("B", "two words"), ("VLLM_X", "%"))
    assert (spec.ipc, spec.oom_score_adj, spec.shm_size, spec.memory) == ("host", 500, 16 * 2**30, 100 * 2**30)
    assert [(port.host_ip, port.host_port) for port in spec.ports] == [("127.0.0.1", 8003)]
    assert spec.gpus is not None
    assert found.keys == {"description": "Qwen on the Spark", "ready": {"timeout": "900s"}}
    assert [one.partition(": ")[2].partition("=")[0] for one in left(found)] == [
        *("After", "PodmanArgs", "AutoUpdate", "Secret", "HealthCmd", "Novelty"),
        *("Restart", "ExecStartPre", "Slice", "WantedBy"),
    ]
    made = recipe_of(found)
    assert made.refused is None
    assert made.keys["secrets"] == ["HF_TOKEN", "VLLM_API_KEY"]
    assert "hf_secretsecret" not in str(made)


def test_it_is_recognised_by_its_name_or_its_section_and_read_in_a_document() -> None:
    assert recognises(Material("", "x.container"))
    assert recognises(Material(UNIT, "-"))
    assert not recognises(Material("[Service]\n", "x.service"))
    assert has_unit(UNIT)
    form = forms.form_of(Material(UNIT, "x.container"))
    assert form is not None
    assert form.name == "quadlet unit"
    (found,) = in_document(ShellText(UNIT, 11), Material("", "README.md"))
    assert found.command[0].place.line == 36
    assert in_document(ShellText("[Service]\nExecStart=x", 1), Material("", "README.md")) == []
    document = Material(f"# Units\n\n```ini\n{UNIT}```\n", "README.md")
    form = forms.form_of(document)
    assert form is not None
    assert [launch.form for launch in form.read(document)] == ["quadlet unit"]


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        ('Entrypoint=["vllm", "serve"]\nExec=m', "--entrypoint=vllm own:1 serve m"),
        ("Entrypoint=[]", "--entrypoint= own:1"),
        ("Entrypoint=/bin/sh", "--entrypoint=/bin/sh own:1"),
        ("User=1000\nGroup=100", "--user=1000:100 own:1"),
        ("AddDevice=-/dev/fuse", "--device=/dev/fuse own:1"),
        ("AddDevice=nvidia.com/gpu=0\nAddDevice=nvidia.com/gpu=1", '--gpus="device=0,1" own:1'),
        ("Network=host", "--network=host own:1"),
        ("Environment=A=1\nEnvironment=\nEnvironment=B=2", "--env=B=2 own:1"),
        ("ReadOnly=true\nRunInit=yes\nNoNewPrivileges=false", "--read-only=true --init=true own:1"),
        ("AddCapability=A B", "--cap-add=A --cap-add=B own:1"),
        ("ContainerName=a\nContainerName=b", "--name=b own:1"),
        ("PodmanArgs=--privileged", "--privileged=true own:1"),
    ],
)
def test_a_key_is_dockers_option(lines: str, options: str) -> None:
    found = unit(lines)
    assert found.image is not None
    words = [*(word.text for word in found.options), found.image.text, *(word.text for word in found.command)]
    assert " ".join(words) == options


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("Network=llm.network", "a network of podman's"),
        ("Volume=models.volume:/models", "makes the volume"),
        ("Entrypoint=[1]", "expected a list of texts"),
        ("Pod=llm.pod", "a service is one container"),
        ("UserNS=keep-id", "docker has no option for it"),
        ("PodmanArgs=--novelty x", "docker does not read it"),
        ("PodmanArgs=word", "no list of options"),
    ],
)
def test_what_docker_has_no_word_for_stays_over(lines: str, why: str) -> None:
    (one,) = unit(lines).leftovers
    assert why in one.why


@pytest.mark.parametrize("image", ["", "own.image", "own.build"])
def test_without_an_image_there_is_no_launch(image: str) -> None:
    refused = unit("Exec=x", image).refused
    assert refused is not None
    assert refused.reason == "no image"


def test_a_variable_of_the_unit_has_its_value_and_another_has_none() -> None:
    text = "[Container]\nImage=${REGISTRY}/x:1\nVolume=$OTHER:/a\n[Service]\nEnvironment=REGISTRY=own\n"
    found = only(read, text, "qwen.container")
    assert found.image is not None
    assert found.image.text == "own/x:1"
    assert unknowns(found.options[0].text) == ["OTHER"]


JUDGED = """\
[Container]
Image=own/image:1
AddDevice=nvidia.com/gpu=all
Environment=A=1 "B=two words" 'C=q\\u00e4\\x41\\101' D=a\\sb F=%%x G=$$x
Environment="H=\\"x\\" y" I=it's
Label=a=b "c=d e"
PublishPort=8003:8000
Volume=%h/models:/models:ro
PodmanArgs=--ipc host --oom-score-adj 500
User=1000
Group=100
AddCapability=IPC_LOCK SYS_NICE
Ulimit=memlock=-1:-1
ShmSize=16g
Mount=type=bind,source=/a,target=/b
Exec=--model m --served-model-name "q \\u00e4" \\
  a\\\\b  'it is' \\
# between
  --x "not closed
"""


def test_podmans_generator_makes_the_same_words(tmp_path: Path) -> None:
    program = tool("SPARKCTL_TEST_QUADLET")
    (tmp_path / "one.container").write_text(JUDGED)
    made = done(program, "-dryrun", environ={**os.environ, "QUADLET_UNIT_DIRS": str(tmp_path)}).stdout
    start = UnitLine("Service", "ExecStart", entries(made)["ExecStart"][0].replace("%t/", ""), 1)
    words = [word.text for word in unit_files.words(start, Material("", "one.service", HOST))]
    found = only(read, JUDGED, "one.container")
    spec = spec_of(found)
    assert words[words.index("own/image:1") + 1 :] == list(spec.command)
    pairs = set(pairwise(words))
    assert {("--env", f"{name}={value}") for name, value in spec.env} == {one for one in pairs if one[0] == "--env"}
    assert {("--label", f"{name}={value}") for name, value in spec.labels} <= pairs
    assert {("-v", "/home/me/models:/models:ro"), ("--publish", "8003:8000"), ("--user", "1000:100")} <= pairs
    assert {("--ipc", "host"), ("--oom-score-adj", "500"), ("--device", "nvidia.com/gpu=all")} <= pairs
    assert (spec.ipc, spec.oom_score_adj, spec.user) == ("host", 500, "1000:100")


@FEW
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8), max_size=4))
def test_what_is_exported_is_read_as_the_same_words(texts: list[str]) -> None:
    one = odd(texts)
    (file,) = written(together(one), ExportTarget.QUADLET).files
    (found,) = read(Material(str(file.content), file.name))
    spec = spec_of(found)
    assert spec.command == one.spec.command
    assert spec.env == one.spec.env
    assert replace(spec, labels=(), env=(), command=()) == replace(one.spec, labels=(), env=(), command=())
