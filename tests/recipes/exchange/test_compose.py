"""Compose files: which services run vLLM, what becomes of each key, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.forms import form_of
from sparkctl.recipes.exchange.material import Material, as_written, unknowns
from sparkctl.recipes.exchange.sources.compose.merge import outside_braces
from sparkctl.recipes.exchange.sources.compose.reader import compose_file, read, recognises
from sparkctl.recipes.exchange.sources.compose.variables import Filler, environment_file
from sparkctl.recipes.exchange.sources.compose.words import split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.recipes.exchange.launch import Launch

SERVER = "image: vllm/vllm-openai:v0.32.0\n    command: [--model, org/model]"


def material(text: str, beside: Mapping[str, str] | None = None, **variables: str) -> Material:
    given = {"HOME": "/home/operator", "PWD": "/srv/models", **variables}
    return Material(text, "compose.yaml", given, beside or {})


def one(service: str, beside: Mapping[str, str] | None = None, **variables: str) -> Launch:
    """Return the launch of the service that has these lines, at four spaces."""
    launches = read(material(f"services:\n  server:\n    {service}\n", beside, **variables))
    assert len(launches) == 1
    return launches[0]


def options(launch: Launch) -> list[str]:
    return [as_written(word.text) for word in launch.options]


def told(text: str, beside: Mapping[str, str] | None = None) -> str:
    with pytest.raises(InputError) as error:
        read(material(text, beside))
    return str(error.value)


# --- which services they are -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "service",
    [
        "image: vllm/vllm-openai\n    command: [--model, m]",
        "image: local/thing\n    command: vllm serve m",
        "image: local/a\n    entrypoint: [python3, -m, vllm.entrypoints.openai.api_server]\n    command: [--model, m]",
        "image: local/thing\n    command: [bash, -c, 'exec vllm serve m']",
        "image: org/my-vllm-build:1\n    command: [serve, m]",
    ],
)
def test_a_service_that_runs_vllm_is_a_launch(service: str) -> None:
    assert one(service).refused is None


def test_neighbours_stay_over_with_a_reason_and_no_launch_is_lost() -> None:
    text = (
        f"services:\n  server:\n    {SERVER}\n"
        "  proxy:\n    image: nginx\n"
        "  ui:\n    image: open-webui/open-webui\n"
        "  router:\n    image: org/vllm-router\n    command: [--port, '80']\n"
        "  broken:\n    image: '${'\n"
    )
    found = compose_file(material(text))
    assert list(found.launches) == ["server"]
    assert [left.what for left in found.leftovers] == [
        "service proxy (nginx)",
        "service ui (open-webui/open-webui)",
        "service router (org/vllm-router)",
        "service broken",
    ]
    assert found.leftovers[0].why.startswith("it runs no vLLM")
    assert (found.leftovers[0].place.line, found.leftovers[0].place.column) == (5, 3)


def test_a_compose_file_is_known_by_its_services_whatever_it_is_called() -> None:
    assert recognises(material(f"services:\n  a:\n    {SERVER}\n"))
    assert not recognises(material("services:\n  a: {recipe: x}\n"))
    assert not recognises(Material("docker run vllm/vllm-openai --model m", "start.sh"))


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("build: .\n    command: vllm serve m", "image built"),
        ("image: org/vllm:${TAG}\n    command: vllm serve m", "variable without a value"),
        ("image: org/my-vllm:1", "no command"),
        ("image: org/vllm:1\n    command: vllm serve 'm", "not as docker compose reads it"),
        ("image: org/vllm:1\n    command: vllm serve $1", "not as docker compose reads it"),
        (
            "image: org/vllm:1\n    command: vllm serve m\n    ports: [{target: [8000]}]",
            "not as docker compose reads it",
        ),
    ],
)
def test_what_cannot_become_a_recipe_says_why(service: str, reason: str) -> None:
    refused = one(service).refused
    assert refused is not None
    assert refused.reason == reason


def test_a_block_of_a_document_is_read_with_the_lines_of_the_document() -> None:
    block = f"```yaml\nservices:\n  server:\n    {SERVER}\n```\n"
    text = f"# Title\n\n{block}text\n```yaml\nservices:\n  server:\n    image: 'x\n```\n```yaml\na: 1\n```\n"
    document = Material(text, "README.md", {"HOME": "~", "PWD": "/srv"})
    form = form_of(document)
    assert form is not None
    good, bad = form.read(document)
    assert (good.form, good.name, str(good.place), good.refused) == ("compose", "server", "README.md:5:3", None)
    assert bad.refused is not None
    assert (bad.refused.reason, bad.place.line) == ("unreadable block", 11)


# --- variables -------------------------------------------------------------------------------------------------------


def test_a_variable_comes_from_the_command_line_then_from_the_file_beside_then_from_its_default() -> None:
    service = "image: vllm/vllm-openai:${A}-${B}-${C:-3}\n    command: [--model, m]"
    image = one(service, {".env": "A=2\nB=2\n"}, A="1").image
    assert image is not None
    assert image.text == "vllm/vllm-openai:1-2-3"


def test_a_value_that_nobody_knows_is_marked_and_never_becomes_nothing() -> None:
    launch = one(
        f"{SERVER}\n    environment: ['A=<${{NOBODY}}>', HF_TOKEN]\n    volumes: ['${{DATA:?say where}}:/data']"
    )
    assert options(launch) == ["--env", "A=<${NOBODY}>", "--env", "HF_TOKEN", "--volume", "${DATA}:/data"]
    assert [unknowns(word.text) for word in launch.options if unknowns(word.text)] == [["NOBODY"], ["DATA"]]


@given(st.text(alphabet="ab$", max_size=8), st.text(alphabet="xy", max_size=3))
def test_what_is_written_with_two_dollars_is_text(before: str, value: str) -> None:
    written = before.replace("$", "$$")
    assert Filler({"V": value}).filled(f"{written}${{V}}{written}") == f"{before}{value}{before}"


@given(st.text(alphabet="$${}AB:-+?x \n", max_size=30))
def test_any_text_is_filled_or_refused_in_short_time(text: str) -> None:
    with suppress(InputError):
        assert "$" not in Filler({"A": "a", "B": ""}).filled(text) or "$$" in text


def test_a_bomb_of_variables_is_refused() -> None:
    large = "A" * 100_000
    text = f"services:\n  a:\n    image: org/vllm:1\n    command: [{', '.join(['$X'] * 100)}]\n"
    with pytest.raises(InputError, match="larger than 4096 KiB"):
        Filler({"X": large}).filled("$X" * 100)
    assert read(material(text, X=large))[0].refused is not None
    with pytest.raises(InputError):
        Filler({}).filled("${A:-" * 100_000)


def test_long_texts_are_read_in_a_time_that_grows_with_them() -> None:
    assert Filler({"A": "x"}).filled("}" * 200_000 + "$A") == "}" * 200_000 + "x"
    lines = "x\n" * 200_000
    assert environment_file(f"A='{lines}'\nB=1\n", {}).values == {"A": lines, "B": "1"}
    assert environment_file(f'A="{lines}', {"A": ""}).values["A"] == "x"


def test_lines_of_an_environment_file() -> None:
    text = "\ufeff# why\r\nexport A=1\r\nB = two  # three\nC='$A #'\nD=\"$A\\n\nx\"\nE: 5\nBARE\n= no\nF=${A\n"
    read = environment_file(text, {"BARE": "given"})
    assert dict(read.values) == {
        "A": "1",
        "B": "two",
        "C": "$A #",
        "D": "1\n\nx",
        "E": "5",
        "BARE": "given",
    }
    assert read.unread == (9, 10)
    assert read.lines["E"] == 7


# --- words -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(alphabet="ab \"'\\$\n#-", min_size=1, max_size=6), max_size=6))
def test_quoted_words_come_back(words: list[str]) -> None:
    text = " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words)
    assert split(text).words == tuple(words)


def test_a_command_over_several_lines_is_read_as_it_is_meant_and_told() -> None:
    launch = one("image: org/vllm:1\n    command: |\n      vllm serve m \\\n        --port 8000")
    assert [word.text for word in launch.command] == ["vllm", "serve", "m", "--port", "8000"]
    assert "a backslash at the end of a line" in launch.notes[0]


def test_what_compose_cuts_off_stays_over() -> None:
    launch = one("image: org/vllm:1\n    command: vllm serve m 2>&1 | tee log")
    assert [word.text for word in launch.command] == ["vllm", "serve", "m"]
    assert [left.what for left in launch.leftovers] == ["command: >&1 | tee log"]


def test_parts_of_a_volume_are_told_apart_outside_of_variables() -> None:
    assert outside_braces("${A:-/x:y}:/b:ro", ":") == ["${A:-/x:y}", "/b", "ro"]


# --- keys ------------------------------------------------------------------------------------------------------------


def test_what_gives_a_container_power_over_the_host_comes_along_by_its_own_name() -> None:
    launch = one(
        f"{SERVER}\n    privileged: true\n    pid: host\n    cap_add: [SYS_ADMIN]\n"
        "    volumes: [/var/run/docker.sock:/var/run/docker.sock]"
    )
    assert options(launch) == [
        "--privileged",
        *("--pid", "host"),
        *("--cap-add", "SYS_ADMIN"),
        *("--volume", "/var/run/docker.sock:/var/run/docker.sock"),
    ]


def test_gpus_that_are_asked_for_twice_are_asked_for_once() -> None:
    devices = "deploy: {resources: {reservations: {devices: [{count: all, capabilities: [gpu]}]}}}"
    launch = one(f"{SERVER}\n    {devices}\n    gpus: [{{device_ids: ['0', '1']}}]")
    assert options(launch) == ["--gpus", "all"]
    assert [left.what for left in launch.leftovers] == ['gpus: "device=0,1"']


def test_a_key_that_nobody_knows_stays_over() -> None:
    launch = one(f"{SERVER}\n    flavour: sweet\n    x-own: 1\n    scale: 2")
    assert [left.what for left in launch.leftovers] == ["flavour", "x-own", "scale"]
    assert options(launch) == []


def test_an_env_file_says_less_than_the_environment_and_one_that_is_missing_stays_over() -> None:
    service = f"{SERVER}\n    environment: {{A: own}}\n    env_file: [./a.env, b.env]"
    launch = one(service, {"a.env": "A=file\nB=file\n"})
    assert options(launch) == ["--env", "A=file", "--env", "B=file", "--env", "A=own"]
    assert [left.what for left in launch.leftovers] == ["env_file b.env"]


def test_an_env_file_as_docker_has_it_is_taken_as_it_stands() -> None:
    service = f"{SERVER}\n    env_file: [{{path: a.env, format: raw}}]"
    launch = one(service, {"a.env": "# why\nA='1' # b\nB=$A\nno name\n"})
    assert options(launch) == ["--env", "A='1' # b", "--env", "B=$A"]
    assert [left.what for left in launch.leftovers] == ["a.env, line 4"]


def test_a_script_before_the_server_stays_over_and_the_server_comes_along() -> None:
    service = "image: org/vllm:1\n    entrypoint: [/bin/bash, /mods/x/run.sh]\n    command: [vllm, serve, m]"
    launch = one(service)
    assert options(launch) == ["--entrypoint", ""]
    assert [word.text for word in launch.command] == ["vllm", "serve", "m"]
    assert [left.what for left in launch.leftovers] == ["entrypoint: /bin/bash /mods/x/run.sh"]


def test_no_excerpt_of_a_file_is_kept_where_a_secret_may_stand() -> None:
    launch = one(f"{SERVER}\n    environment: [HF_TOKEN=hf_secret]")
    assert all(word.place.excerpt == "" for word in (*launch.options, *launch.command))


def test_a_named_volume_has_the_name_that_compose_gives_it() -> None:
    service = f"{SERVER}\n    volumes: [hf:/hf]"
    assert options(one(service, PWD="/srv/My Models.v2")) == ["--volume", "mymodelsv2_hf:/hf"]  # noqa: S106  (a folder)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_files_that_cannot_be_read_say_where() -> None:
    assert told("services:\n\tserver: {}\n").startswith("compose.yaml:2:1: found a tab")
    assert "expected a map of services" in told("services: [a]\n")
    assert told("services:\n  a: {image: !reset x}\n").startswith("compose.yaml:2:14: the tag !reset")
    assert "written twice" in told("services:\n  a: {image: x}\n  a: {image: y}\n")


def test_a_mark_at_the_beginning_and_windows_line_ends_mean_nothing() -> None:
    text = f"\ufeffservices:\n  server:\n    {SERVER}\n".replace("\n", "\r\n")
    assert [word.text for word in read(material(text))[0].command] == ["--model", "org/model"]


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["x-a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"x-a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "with its aliases written out" in told("\n".join(lines) + f"\nservices:\n  a:\n    {SERVER}\n")


def test_services_that_extend_each_other_are_refused_and_the_others_are_read() -> None:
    text = (
        "services:\n  vllm-a: {extends: vllm-b}\n  vllm-b: {extends: vllm-a}\n  vllm-c: {extends: vllm-c}\n"
        f"  vllm-d: {{extends: nobody}}\n  good:\n    {SERVER}\n  vllm-f: {{extends: {{file: f.yaml, service: s}}}}\n"
    )
    found = compose_file(material(text)).launches
    refused = {name: launch.refused.message for name, launch in found.items() if launch.refused}
    assert found["good"].refused is None
    assert "extends itself" in refused["vllm-a"]
    assert "extends itself" in refused["vllm-c"]
    assert "there is no service nobody" in refused["vllm-d"]
    assert "f.yaml is not beside" in refused["vllm-f"]


def test_a_file_that_two_files_include_is_taken_once() -> None:
    top = f"include: [a.yaml, b.yaml]\nservices:\n  server:\n    {SERVER}\n"
    both = "include: [c.yaml]\nservices: {}\n"
    inner = f"services:\n  inner:\n    {SERVER}\n"
    launches = read(material(top, {"a.yaml": both, "b.yaml": both, "c.yaml": inner}))
    assert [launch.name for launch in launches] == ["inner", "server"]


def test_files_that_include_each_other_are_refused() -> None:
    again = f"include: [compose2.yaml]\nservices:\n  server:\n    {SERVER}\n"
    assert "comes back to itself" in told(again, {"compose2.yaml": again})
    missing = read(material(f"include: [gone.yaml]\nservices:\n  server:\n    {SERVER}\n"))
    assert [left.what for left in missing[0].leftovers] == ["include gone.yaml"]


def test_a_service_that_is_no_map_and_values_of_other_kinds_raise_nothing_else() -> None:
    for service in ("null", "[]", "text", "{image: [vllm]}", "{image: vllm/x, command: {a: b}, ports: 5, volumes: {}}"):
        read(material(f"services:\n  vllm: {service}\n  a: {{image: x}}\n"))
