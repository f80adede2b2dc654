"""Units of systemd that start a server."""

from __future__ import annotations

from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources.systemd import read, recognises
from tests.support.imports import HOST, imported, one

UNIT = """\
[Unit]
Description=vLLM
After=docker.service

[Service]
Environment="MODEL=google/gemma-4-E4B-it" PORT=8003
Environment=HF_TOKEN=hf_secret
EnvironmentFile=-/etc/vllm.env
ExecStartPre=-/usr/bin/docker rm -f %N
ExecStart=-/usr/bin/docker run --rm --name %N --gpus all \\
  # the cache
  -v %h/.cache/huggingface:/root/.cache/huggingface \\
  -p ${PORT}:8000 -e HF_TOKEN \\
  vllm/vllm-openai:v0.32.0 --model $MODEL --served-model-name "a b" c;d
Restart=always

[Install]
WantedBy=multi-user.target
"""


def test_a_unit_is_a_recipe_and_what_systemd_does_beside_it_stays_over() -> None:
    made = one(UNIT, "gemma.service")
    assert made.name == "gemma"
    assert made.keys["model"] == {"repo": "google/gemma-4-E4B-it"}
    assert made.keys["cache"] == "~/.cache/huggingface"
    assert made.keys["secrets"] == ["HF_TOKEN"]
    assert made.keys["serve"] == {"name": "a", "aliases": ["b", "c;d"], "port": 8003, "bind": "0.0.0.0"}  # noqa: S104
    assert [(left.place.line, left.what.partition("=")[0]) for left in made.leftovers] == [
        (8, "EnvironmentFile"), (9, "ExecStartPre"), (15, "Restart"),
    ]  # fmt: skip
    assert "hf_secret" not in repr(made)


def test_a_server_that_no_container_holds_has_the_units_variables() -> None:
    text = "[Service]\nEnvironment=VLLM_LOGGING_LEVEL=DEBUG\nExecStart=/opt/venv/bin/vllm serve a/b --port 9\n"
    made = one(text, "bare.service")
    assert made.keys["env"] == {"VLLM_LOGGING_LEVEL": "DEBUG"}
    assert made.keys["serve"]["port"] == 9  # type: ignore[index]
    shell = "[Service]\nExecStart=/bin/bash -c 'exec vllm serve a/b'\n"
    assert one(shell, "shell.service").keys["model"] == {"repo": "a/b"}


def test_a_doubled_dollar_is_a_dollar() -> None:
    text = "[Service]\nExecStart=docker run vllm/vllm-openai:v0.32.0 --model a/b --chat-template $$x\n"
    assert one(text, "x.service").keys["args"] == {"chat-template": "$x"}


def test_an_instance_has_no_name_here_and_another_program_is_refused() -> None:
    made = one("[Service]\nExecStart=docker run vllm/vllm-openai:v0.32.0 --model %i\n", "x@.service")
    assert made.refused is not None
    assert made.refused.reason == "a value is missing"
    (other,) = read(Material("[Service]\nExecStart=/usr/bin/nginx\n", "n.service", HOST))
    assert other.refused is not None
    assert recognises(Material(UNIT, "-"))
    assert not recognises(Material("docker run x", "run.sh"))


def test_a_unit_in_a_block_of_a_document_is_read_beside_its_commands() -> None:
    text = "# Title\n\n```ini\n[Service]\nExecStart=vllm serve a/b\n```\n```bash\nvllm serve c/d\n```\n"
    found = imported(text, "README.md")
    assert [(made.keys["model"], made.accounts[0].place.line) for made in found] == [
        ({"repo": "c/d"}, 8), ({"repo": "a/b"}, 5),
    ]  # fmt: skip
