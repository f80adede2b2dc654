"""One gateway and two real hosts: both answer, and one that goes away in the middle costs no request unbegun."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.support.command_line import Operator, free_port, wait_for
from tests.support.real_hosts import folder_of_hosts, model_on_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_server import Command

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

# Its server writes ten tokens a second, and answers two at a time.
FAR = """\
description: a stand-in for vLLM
template: vllm-openai
image: sparkctl-test/standin:latest
vllm: "0.29"
model: {{repo: test/tiny, path: ~/models/{name}, mount: /models/tiny}}
gpus: none
secrets: [VLLM_API_KEY]
serve: {{name: tiny-{name}, port: {port}}}
limits: {{context: 1024, sequences: 2, batched-tokens: 512}}
env: {{SPARKCTL_SIM_FAULTS: "load_s=0.3,slow=0.1"}}
ready: {{timeout: 60s}}
container: {{network: host}}
"""
NEAR = "extends: e4b-nvfp4\ndescription: of this test\nserve: {{name: near, port: {port}}}\n"
BOX = "services:\n  near: {recipe: near, start: on-demand}\n"
# An ssh that keeps the number of the process that each host is reached by, and that reaches none that was switched off.
SSH = """\
#!/bin/sh
for word; do
  if [ -e "{folder}/off-$word" ]; then echo "ssh: connect to host $word port 22: Connection refused" >&2; exit 255; fi
  case "$word" in spark-*) host=$word;; esac
done
case "$*" in *python3*) echo $$ > "{folder}/pid-$host";; esac
exec {ssh} -F {hosts}/ssh_config "$@"
"""
TOKENS = 20


class TwoHosts(Operator):
    """An operator with a service on each of two hosts, and a gateway on this machine."""

    name: str
    url: str
    gateway: Command

    def switch_off(self, host: str) -> None:
        """End the connection to a host, and let nobody connect to it again."""
        (self.home.parent / f"off-{host}").touch()
        os.kill(int((self.home.parent / f"pid-{host}").read_text()), signal.SIGKILL)

    @property
    def metrics(self) -> str:
        """The gateway's figures."""
        return httpx2.get(f"{self.url}/metrics", timeout=30).text

    def told(self, text: str) -> bool:
        return text in self.gateway.told()


@pytest.fixture
def two(tmp_path: Path, tiny_model: Path) -> Iterator[TwoHosts]:
    hosts, name = folder_of_hosts(), f"door{os.getpid()}-{time.monotonic_ns() % 10**6}"
    for folder in ("home", "folder", "bin"):
        (tmp_path / folder).mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(SSH.format(folder=tmp_path, ssh=shutil.which("ssh"), hosts=hosts))
    ssh.chmod(0o755)
    environ = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SPARKCTL_ENGINE": "sim", "USER": "ada"}
    two = TwoHosts(tmp_path / "home", tmp_path / "folder", {**environ, "SPARKCTL_SIM_DIR": str(tmp_path / "sim")})
    two.environ["VLLM_API_KEY"] = "a-key-of-this-test"
    two.name = name
    two.write("hosts.yaml", "hosts:\n  a: {ssh: spark-a}\n  b: {ssh: spark-b}\n")
    two.write(f"recipes/{name}.yaml", FAR.format(name=name, port=free_port()))
    two.write("recipes/near.yaml", NEAR.format(port=free_port()))
    two.write("recipes/stacks/box.yaml", BOX)
    with model_on_hosts(tiny_model, name):
        starts = [two.start("--host", host, "up", name) for host in ("a", "b")]
        try:
            for one in starts:
                assert one.wait(120) == 0, one.told()
            port = free_port()
            two.url, two.gateway = f"http://127.0.0.1:{port}", two.start("gateway", "run", "box", "--port", str(port))
            wait_for(lambda: answers(two.url))
            yield two
            two.gateway.kill()
            two.gateway.wait(20)
        finally:
            for off in tmp_path.glob("off-*"):
                off.unlink()
            for one in [two.start("--host", host, "down", name) for host in ("a", "b")]:
                one.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health").status_code == 200
    except httpx2.TransportError:
        return False


class Asker:
    """A request in a thread of its own: what its client sees of it."""

    def __init__(self, url: str, model: str, *, stream: bool) -> None:
        self.by, self.status, self.text, self.broke = "", 0, "", False
        said = [{"role": "user", "content": f"{model} {threading.get_native_id()} {time.monotonic_ns()}"}]
        self._body: dict[str, Any] = {"model": model, "messages": said, "max_tokens": TOKENS, "stream": stream}
        self._url = f"{url}/v1/chat/completions"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            with httpx2.stream("POST", self._url, json=self._body, timeout=60) as answer:
                self.by, self.status = answer.headers.get("x-sparkctl-model", ""), answer.status_code
                for piece in answer.iter_text():
                    self.text += piece
        except httpx2.TransportError:
            self.broke = True

    def over(self) -> Asker:
        self._thread.join(60)
        assert not self._thread.is_alive(), "it has neither an answer nor an error"
        return self


def test_both_hosts_answer_and_one_that_goes_away_loses_no_request_that_was_not_begun_s25_s26(two: TwoHosts) -> None:
    name, far = two.name, [f"{two.name}@a", f"{two.name}@b"]
    wait_for(lambda: all(f'sparkctl_host_up{{host="{host}"}} 1.0' in two.metrics for host in "ab"))
    listed = {one["id"]: one["status"]["value"] for one in httpx2.get(f"{two.url}/v1/models").json()["data"]}
    own = {one: state for one, state in listed.items() if one in {"near", name}}  # other tests have theirs there
    assert own == {"near": "unloaded", name: "loaded"}

    # Two streams that have begun, one a host; then whole answers, for some of which both have places.
    streams = [Asker(two.url, one, stream=True) for one in far]
    wait_for(lambda: all(one.text.count("data:") > 1 for one in streams))
    whole = [Asker(two.url, name, stream=False) for _ in range(4)]
    wait_for(lambda: in_flight(two.metrics, far) == [2.0, 2.0])
    two.switch_off("spark-b")
    asked = [one.over() for one in whole]
    assert [one.status for one in asked] == [200] * 4, [one.text for one in asked]
    assert {one.by for one in asked} == {far[0]}
    assert all(json.loads(one.text)["usage"]["completion_tokens"] == TOKENS for one in asked)
    begun = [one.over() for one in streams]
    assert "data: [DONE]" in begun[0].text
    assert "data: [DONE]" not in begun[1].text
    assert begun[1].broke or "server_died" in begun[1].text
    wait_for(lambda: two.told(f"after {far[1]}, which failed"))

    wait_for(lambda: 'sparkctl_host_up{host="b"} 0.0' in two.metrics)
    refused = httpx2.post(f"{two.url}/v1/chat/completions", json={"model": far[1], "messages": []}, timeout=30)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
    assert "host b does not answer: b is not reached" in refused.json()["error"]["message"]
    page = httpx2.get(two.url, timeout=30).text
    assert "b, which does not answer" in page
    assert two.environ["VLLM_API_KEY"] not in page + two.metrics + two.gateway.told()


def in_flight(text: str, services: list[str]) -> list[float]:
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("sparkctl_gateway_in_flight{"))
    return [float(lines.get(f'sparkctl_gateway_in_flight{{service="{one}"}}', 0)) for one in services]
