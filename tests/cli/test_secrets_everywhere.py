"""Twenty secrets of known value through every command: none is found but in the container's own environment.

They come in by every way: the environment, the secrets file (a line of it is none), recipes that are refused, addresses
with passwords, ``--set`` and ``--env``, and a server that prints its environment into its log. Looked for is what is
printed, and every file of the home, the lock's folder and the temporary folder.

The keys that sparkctl makes itself, a caller's and a server's, go through the gateway, its page and the commands that
ask the server; a server's is in the one file that it is kept in, and a caller's in none.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from sparkctl.base.shown import HIDDEN
from sparkctl.cli import COMMANDS, module_of
from sparkctl.recipes.exchange.exports.exported import ExportTarget
from tests.support.command_line import Operator, free_port, wait_for
from tests.support.engine_fixtures import ENGINES
from tests.support.paths import TESTS
from tests.support.thorough import SHARE, THOROUGH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.docker_spark import Spark

TAILS = ("plain", 'quote"d', "o'clock", "größe 漢字", "dollar$(id)", "back\\slash", "a b c", "ü%2F&=?#")
VALUES = [f"Zq{number:02}-secret-{TAILS[number % len(TAILS)]}-Zend{number:02}" for number in range(20)]
"""Each begins and ends as no other text does; the middles are awkward to quote."""
(KEY, CREDENTIAL, PASSPHRASE, AUTH, LICENCE, HUB, UNUSED, ELSEWHERE, BAD_LINE, SET, MAP, VARIABLE) = VALUES[:12]
(DATABASE, ADDRESS, QUERY, ENGINE, LISTED, WORD, DOUBLE, FLAG) = (f"Zq{n}-secret-plain-Zend{n}" for n in range(12, 20))
"""Those that stand in addresses and where a value is found by its place alone are plain words."""
DECLARED = ["VLLM_API_KEY", "DB_CREDENTIAL", "SMTP_PASSPHRASE", "MY_AUTH", "LICENCE", "HF_TOKEN"]
BROKEN = {
    "listed": f"secrets: [HF_TOKEN, {LISTED}]\n",
    "word": f"secrets: {WORD}\n",
    "double": f"args: {{hf-token: {DOUBLE}, max-num-seqs: 1, max-num-seqs: 2}}\n",
    "flag": f"args: {{generation-config: [x, --api-key, {FLAG}, {{}}]}}\n",
}
MOD = f"""\
description: a mod
applies-to: {{image: x, vllm: ">=0.1"}}
files:
  - {{module: vllm.a, source: {{url: "https://user:{ADDRESS}@127.0.0.1:1/a.py?token={QUERY}"}}, md5: unpinned}}
"""


LAUNCH = "launch.sh"
SCRIPT = f"""\
export HF_TOKEN={WORD}
docker run -d --name brought --gpus all -p 8123:8000 -e HF_TOKEN -e MY_AUTH={FLAG} \\
  -e "DB=postgres://u:{ADDRESS}@h/db" vllm/vllm-openai:v0.20.2 --model Qwen/Qwen3-8B --api-key {DOUBLE}
"""
"""How somebody starts a server, with all that has to stay in that file alone."""
JOB = "quantize-26b-fp8"
STACK = "boxed"


def left(text: str) -> list[str]:
    """Return the beginnings and ends of secrets that are in a text."""
    return re.findall(r"Zq\d\d-secret-.{0,30}|.{0,30}-Zend\d\d", text)


def prepare(operator: Operator, name: str) -> None:
    """Give an operator the secrets, and recipes that are refused because of them."""
    operator.environ |= {
        "HF_TOKEN": HUB,
        "MY_AUTH": AUTH,
        "LICENCE": LICENCE,
        "UNUSED_API_KEY": UNUSED,
        "HF_ENDPOINT": "http://127.0.0.1:1",
    }
    file = operator.home / ".config/sparkctl/secrets.env"
    file.parent.mkdir(parents=True)
    stored = {"VLLM_API_KEY": KEY, "DB_CREDENTIAL": CREDENTIAL, "SMTP_PASSPHRASE": PASSPHRASE, "ELSEWHERE": ELSEWHERE}
    file.write_text("".join(f"{key}={value}\n" for key, value in stored.items()))
    file.chmod(0o600)
    operator.write("mods/addressed/mod.yaml", MOD)
    operator.write(LAUNCH, SCRIPT)
    for broken, more in BROKEN.items():
        operator.write(f"recipes/{broken}.yaml", f"extends: {name}\n{more}")
    operator.write(
        f"recipes/stacks/{STACK}.yaml", f"services: {{{name}: {{recipe: {name}, set: {{env.A_KEY: {SET}}}}}}}\n"
    )
    operator.write("recipes/jobs/keyed.yaml", f"extends: {JOB}\nwith: {{api_key: {WORD}, of: {{token: [{FLAG}]}}}}\n")


def commands(name: str, report: Path) -> Iterator[list[str]]:
    """Yield every command, in order: refused, planned, started, read, stopped."""
    sets = ["--set", f"env.MY_THING={SET}", "--set", f"env={{OTHER_THING: '{MAP}'}}"]
    large = ["--set", "limits.context=1000000"]
    for broken in BROKEN:
        yield ["recipes", "lint", broken]
        yield ["recipes", "show", broken]
        yield ["up", broken]
    yield ["recipes"]
    yield ["recipes", "show", name, "--json"]
    yield ["render", name]
    yield ["render", name, "--json"]
    yield ["render", name, "--stage"]
    for more in (
        [],
        ["--set", "nonsense"],
        ["--set", f"other:env.MY_THING={SET}"],
        large,
        ["--set", f"secrets=[{SET}]"],
    ):
        yield ["plan", name, *sets, *more]
    yield ["plan", name, "--json", *sets]
    yield ["size", name]
    yield ["mods", "show", "addressed"]
    yield ["mods", "fetch", "addressed"]
    yield ["mods", "bake", ".", "--image", "nosuch", "--env", f"SOME_VARIABLE={VARIABLE}"]
    yield ["up", name, AUTH]
    yield ["-v", "up", name]
    yield ["up", name, "--json"]
    for read in ("ps", "measurements", "doctor", "mods", "verify-mods"):
        yield [read]
        yield [read, "--json"]
    for one in ("status", "attach", "logs", "check", "bench", "verify-mods"):
        yield ["-v", one, name]
    yield ["status", name, "--json"]
    yield ["attach", name, "--json"]
    yield ["bench", "history", name]
    yield ["report", name, "--output", str(report)]
    yield ["diagnose", str(report), "--json"]
    yield ["-v", "restart", name]
    yield ["mods", "add", "mine", "--file", str(report), "--module", f"vllm.{AUTH}", "--image", "nosuch"]
    yield ["mods", "pin", "addressed", "--file", str(report)]
    yield ["mods", "lock", "addressed"]
    for more in (["--upgrade", *sets], ["--check", "--json"], []):
        yield ["lock", "executor", *more]
    yield ["recipes", "lint"]
    yield ["measurements", "export"]
    yield ["measurements", "import", str(report)]
    yield ["facts", f"nobody/{AUTH}"]
    yield ["facts", str(report.parent), "--as", "mine"]
    yield ["verify-model", str(report.parent), "--source", f"nobody/{AUTH}", "--kept", AUTH]
    yield from (*_of_the_agent(), *_of_jobs(), *_of_hosts(), *_of_exchange(), *_of_explanations(name, sets))
    yield from _of_other_tools(report.parent.parent / "folder" / LAUNCH)
    yield from _of_exports(name, report.parent / "exported", sets)
    yield ["evaluate", name, AUTH]
    yield from _of_the_gateway()
    yield from _of_the_guard(report)
    yield ["completion", "bash"]
    yield from _of_generations()
    yield ["down", name]
    yield ["schema", "recipe"]
    yield ["download", name]


def _of_hosts() -> Iterator[list[str]]:
    """Yield the commands about several hosts; none of them is there."""
    yield ["hosts", "doctor", AUTH]
    yield ["hosts", "check", AUTH, "b"]
    yield ["hosts", "distribute", AUTH, "--from", AUTH, "--to", AUTH]
    yield ["hosts", "add", "b", f"-o{AUTH}"]
    yield ["hosts", "list", "--json"]


def _of_explanations(name: str, sets: list[str]) -> Iterator[list[str]]:
    """Yield the commands that explain a recipe, and the one that makes one of a container."""
    for container in (name, AUTH):
        yield ["adopt", container]
        yield ["adopt", container, "--json"]
    for asked in (["explain", name], ["upgrade", name, "--to", "0.33"]):
        yield [*asked, *sets]
        yield [*asked, *sets, "--json"]
    for more in ([], ["--json"], ["--check"], ["--replace", "--var", f"THE_TOKEN={HUB}"]):
        yield ["import", str(TESTS / "fixtures/imports/run.sh"), *more]
    yield ["import", AUTH]
    yield ["explain", name, AUTH]
    yield ["upgrade", name, "--to", AUTH]


def _of_exports(name: str, folder: Path, sets: list[str]) -> Iterator[list[str]]:
    """Yield an export for each tool: of a recipe that is refused for what its `env` says, and of one that is not."""
    for one in (name, f"{STACK}:{name}", "executor"):
        for target in ExportTarget:
            yield ["export", one, "--as", target.value, "--json"]
    yield ["export", name, "--as", "compose", "--out", str(folder), *sets]


def _of_other_tools(launch: Path) -> Iterator[list[str]]:
    """Yield what reads the file of another tool."""
    for more in ([], ["--check"], ["--json", "--replace"], ["--name", AUTH]):
        yield ["import", str(launch), *more]


def _of_generations() -> Iterator[list[str]]:
    """Yield the commands of a stack, and of what was applied."""
    for more in ([], ["--json"]):
        yield ["apply", STACK, *more]
        yield ["diff", STACK, *more]
        yield ["apply", STACK, "--dry-run", *more]
        for asked in ([], ["list"], ["show", "1"], ["diff", "1", "2"]):
            yield ["history", *asked, *more]
        yield ["rollback", "1", "--dry-run", *more]
        yield ["rollback", "1", *more]


def _of_the_guard(report: Path) -> Iterator[list[str]]:
    yield ["guard", "status", "--run-folder", str(report.parent)]
    yield ["guard", "test", "--run-folder", str(report.parent)]
    yield ["guard", "run", "--run-folder", f"not/{AUTH}"]


def _of_the_gateway() -> Iterator[list[str]]:
    """Yield the commands of the gateway and its keys, but for a `run` that does not end."""
    yield ["gateway", "run", AUTH]
    for more in (
        ["add", AUTH],
        ["add", "laptop", "--models", AUTH],
        [],
        ["--json"],
        ["revoke", AUTH],
        ["revoke", "laptop"],
    ):
        yield ["keys", *more]


def _of_the_agent() -> Iterator[list[str]]:
    """Yield the commands of the agent, but for `run`, which does not end."""
    for asked in (["install"], ["install", "--user"], ["uninstall", "--user"], ["status"], ["status", "--json"]):
        yield ["agent", *asked]


def _of_exchange() -> Iterator[list[str]]:
    """Yield the commands that bring recipes in and look at all of them."""
    yield ["fits", "--speed", "--json"]
    yield ["fits", "--beside", AUTH]
    yield ["new", f"nobody/{AUTH}"]


def _of_jobs() -> Iterator[list[str]]:
    """Yield the commands of jobs; none of them has an input to run on."""
    sets = ["--set", f"with.api_key={SET}", "--set", f"with.of={{HF_TOKEN: '{MAP}'}}"]
    for asked in ("show", "render", "plan", "run"):
        yield ["job", asked, "keyed"]
        yield ["job", asked, JOB]
        yield ["job", asked, JOB, *sets]
        yield ["job", asked, JOB, *sets, "--json"]
    for read in ("list", "clean"):
        yield ["job", read]
    for one in ("logs", "stop"):
        yield ["job", one, JOB]
    yield ["recipes", "lint", "keyed"]


def tried(every: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yield all, or in a run that tries a part: one spelling of each command, and all that starts or reads a log.

    A second spelling is the same words as JSON, or with more of them, or of another recipe that is refused.
    """
    seen: set[tuple[str, ...]] = set()
    for command in every:
        words = [word for word in command if not word.startswith("-")]
        kind = tuple(words[: 2 if words[0] in {"guard", "history", "job", "mods", "recipes"} else 1])
        if THOROUGH or kind not in seen or words[0] == "up":
            yield command
        seen.add(kind)


def test_every_command_is_tried() -> None:
    """A command that is new has to be in the list above."""
    words_of = [[word for word in command if not word.startswith("-")] for command in commands("a", Path("r"))]
    assert {words[0] for words in words_of} == set(COMMANDS)
    for name in COMMANDS:
        command = importlib.import_module(module_of(name)).command
        below = set(getattr(command, "commands", ())) - {"list"}
        assert below <= {words[1] for words in words_of if words[0] == name and len(words) > 1}, name


def found(operator: Operator, name: str, *, before_reading: str = "logs") -> dict[str, list[str]]:
    """Run every command, and return what of the secrets is in its output, by command."""
    leaks = {}
    report = operator.home / "report.md"
    for command in tried(commands(name, report)):
        if before_reading in command:
            print_environment(operator, name)
        done = operator.run(*command, timeout=200)
        printed = done.out + done.err
        assert "Traceback" not in printed, printed
        if left(printed):
            leaks[" ".join(command)] = left(printed)
        if command == ["render", name, "--stage"]:
            leaks |= leaks_of_files(operator)
    assert left(report.read_text()) == []
    assert HIDDEN in report.read_text()
    return leaks


def print_environment(operator: Operator, name: str) -> None:
    """Have the server print its environment, as a library's debug message does."""
    if operator.environ["SPARKCTL_ENGINE"] == "docker":
        operator.docker("exec", name, "sh", "-c", "tr '\\0' '\\n' </proc/1/environ >/proc/1/fd/1")  # type: ignore[attr-defined]
        return
    (folder,) = (operator.home / ".local/state/sparkctl/sim/containers").iterdir()
    with (folder / "log").open("a") as log:
        log.write("".join(f"{key}={value}\n" for key, value in json.loads((folder / "spec.json").read_text())["env"]))


def leaks_of_files(operator: Operator) -> dict[str, list[str]]:
    """Return what of the secrets is in files, but for the operator's own, the staged env-file and the engine's."""
    state = operator.home / ".local/state/sparkctl"
    own = {operator.home / ".config/sparkctl/secrets.env", *(state / "secrets").glob("*.env")}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in own)
    return {path: left(text) for path, text in texts_of_files(operator) if left(text) and Path(path) not in own}


def texts_of_files(operator: Operator) -> Iterator[tuple[str, str]]:
    """Yield the files that a command may write, with what is in them, but for the engine's own."""
    places = [
        *operator.home.rglob("*"),
        *Path("/run/lock").glob("sparkctl*"),
        *Path(tempfile.gettempdir()).glob("sparkctl*"),
    ]
    for path in places:
        if "containers" not in path.parts and path.is_file():
            yield str(path), path.read_bytes().decode(errors="replace")


def without_commands_to_paste(leaks: dict[str, list[str]]) -> dict[str, list[str]]:
    """Leave out what the recipe itself says in its ``env``: a command to paste is exact, and warns."""
    exact = {command for command, found in leaks.items() if command.startswith("render") and DATABASE in found[0]}
    assert len(exact) == len([command for command in leaks if command.startswith("render")])
    return {command: found for command, found in leaks.items() if command not in exact}


@pytest.mark.timeout(600)  # seventy commands, on a crowded machine
@pytest.mark.skipif(
    bool(ENGINES["new"].host) and not (THOROUGH or (SHARE is not None and SHARE.has(0))),
    reason="the same commands are tried on a real engine; here where there is none, and by one run of `.ci/run` in 8",
)
def test_none_is_found_on_a_simulated_spark(tmp_path: Path) -> None:
    for name in ("home", "folder"):
        (tmp_path / name).mkdir()
    operator = Operator(tmp_path / "home", tmp_path / "folder", {"SPARKCTL_ENGINE": "sim"})
    more = f"env: {{DB_URL: 'postgres://user:{DATABASE}@host/db'}}\n"
    recipe = f"extends: e4b-nvfp4\nserve: {{port: {free_port()}}}\nsecrets: [{', '.join(DECLARED)}]\n{more}"
    operator.write("recipes/mine.yaml", recipe)
    prepare(operator, "mine")
    leaks = found(operator, "mine")
    assert without_commands_to_paste(leaks) == {}
    assert leaks_of_files(operator) == {}


def test_none_is_found_in_a_log_that_is_kept_or_an_engine_that_refuses(tmp_path: Path) -> None:
    for name in ("home", "folder"):
        (tmp_path / name).mkdir()
    operator = Operator(tmp_path / "home", tmp_path / "folder", {"SPARKCTL_ENGINE": "docker"})
    operator.environ["DOCKER_HOST"] = f"tcp://user:{ENGINE}@127.0.0.1:1"
    for command in (["ps"], ["-v", "ps"], ["doctor"], ["up", "e4b-nvfp4"]):
        done = operator.run(*command)
        assert left(done.out + done.err) == []
    (operator.home / ".config/sparkctl").mkdir(parents=True)
    (operator.home / ".config/sparkctl/secrets.env").write_text(f"A=1\n{BAD_LINE}\n")
    (operator.home / ".config/sparkctl/secrets.env").chmod(0o600)
    operator.environ["SPARKCTL_ENGINE"] = "sim"
    done = operator.run("ps", BAD_LINE)
    assert left(done.out + done.err) == []
    assert "secrets.env:2:1: expected NAME=value" in operator.run("up", "e4b-nvfp4").expect(2).err


def test_no_key_that_sparkctl_made_is_found(tmp_path: Path) -> None:
    for name in ("home", "folder"):
        (tmp_path / name).mkdir()
    operator, door = Operator(tmp_path / "home", tmp_path / "folder", {"SPARKCTL_ENGINE": "sim"}), free_port()
    quick = "env: {SPARKCTL_SIM_FAULTS: load_s=0.1}"
    operator.write("recipes/mine.yaml", f"extends: e4b-nvfp4\nserve: {{port: {free_port()}}}\n{quick}\n")
    operator.write(f"recipes/stacks/{STACK}.yaml", f"services: {{mine: {{recipe: mine}}}}\ngateway: {{port: {door}}}\n")
    caller = operator.run("keys", "add", "laptop").expect(0).out.strip()
    gateway = operator.start("gateway", "run", STACK)
    try:
        wait_for(lambda: "keeps generation" in gateway.told())
        (file,) = operator.home.rglob("server-keys/mine")
        keys = {"the caller's": caller, "the server's": file.read_text().strip()}
        print_environment(operator, "mine")
        told = dict(of_the_gateway(f"http://127.0.0.1:{door}", caller))
        told |= dict(of_the_commands(operator))
        gateway.send_signal(signal.SIGTERM)
        told["gateway run"] = "".join(gateway.communicate(timeout=20))
    finally:
        gateway.kill()
        operator.run("down", "mine")
    own = {file, operator.home / ".local/state/sparkctl/secrets/mine.env"}
    assert {path.stat().st_mode & 0o777 for path in own} == {0o600}
    told |= {path: text for path, text in texts_of_files(operator) if Path(path) not in own}
    assert [(whose, where) for whose, key in keys.items() for where, text in told.items() if key in text] == []
    assert HIDDEN in told["GET /services/mine/log"], "the server has printed its own"
    assert f"VLLM_API_KEY={HIDDEN}" in told["logs mine"]


def of_the_gateway(url: str, key: str) -> Iterator[tuple[str, str]]:
    """Yield what a gateway answers to a caller: to requests, right and wrong ones, and on its page."""
    body = {"model": "mine", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    right, wrong = {"Authorization": f"Bearer {key}"}, {"x-api-key": f"{key}x"}
    with httpx2.Client(base_url=url, timeout=20) as client:
        for status, answer in (
            (200, client.post("/v1/chat/completions", json=body, headers=right)),
            (200, client.post("/v1/chat/completions", json=body | {"stream": True}, headers={"x-api-key": key})),
            (401, client.post("/v1/chat/completions", json=body, headers=wrong)),
            (401, client.get(f"/v1/models?api_key={key}")),
            (404, client.post(f"/v1/{key}", json=body, headers=right)),
            (404, client.post("/v1/chat/completions", json=body | {"model": key}, headers=right)),
            (200, client.get("/v1/models", headers=right)),
            (200, client.get("/metrics", headers=right)),
            (200, client.get("/services/mine/metrics", headers=right)),
            (303, client.post("/login", data={"key": key})),
            (200, client.get("/")),
            (200, client.get("/services/mine/log")),
        ):
            assert answer.status_code == status, (answer.request.url, answer.text)
            asked = f"{answer.request.method} {answer.request.url.path}"
            yield asked, f"{answer.headers}{'' if status == 404 else answer.text}"


def of_the_commands(operator: Operator) -> Iterator[tuple[str, str]]:
    """Yield what the commands print that ask the server, or show how it is started."""
    for words in (
        *(["ps", "--json"], ["-v", "status", "mine"], ["attach", "mine", "--json"]),
        *(["logs", "mine"], ["check", "mine"], ["bench", "mine", "--rounds", "1", "--tokens", "8"], ["report", "mine"]),
        *(
            ["-v", "up", f"{STACK}:mine"],
            ["diff", STACK],
            ["apply", STACK, "--dry-run"],
            ["keys", "--json"],
            ["doctor"],
        ),
        *(["render", f"{STACK}:mine"], ["render", f"{STACK}:mine", "--stage"], ["agent", "status", "--json"]),
    ):
        done = operator.run(*words)
        assert "Traceback" not in done.err, done.err
        yield " ".join(words), done.out + done.err


@pytest.mark.docker
@pytest.mark.timeout(600)  # seventy commands, beside a vLLM of another test
def test_none_is_found_on_a_real_engine(docker_spark: Spark) -> None:
    spark = docker_spark
    more = f"secrets: [{', '.join(DECLARED)}]\n"
    name = spark.recipe("secrets", more=more)
    path = spark.folder / f"recipes/{name}.yaml"
    path.write_text(path.read_text().replace("env: {", f"env: {{DB_URL: 'postgres://user:{DATABASE}@host/db', "))
    prepare(spark, name)
    spark.environ |= {variable: value for variable, value in os.environ.items() if variable == "SPARKCTL_TEST_MODEL"}
    inspected: list[str] = []
    leaks = found(spark, name)
    spark.run("up", name).expect(0)
    for shown in json.loads(spark.docker("inspect", name)):
        assert len(left(" ".join(shown["Config"].pop("Env")))) >= len(DECLARED)
        inspected += left(json.dumps(shown, ensure_ascii=False))
    assert (without_commands_to_paste(leaks), leaks_of_files(spark), inspected) == ({}, {}, [])
