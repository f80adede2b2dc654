"""The key of a server behind a gateway, on a real Docker Engine: the server has it, and others are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx2

from tests.support.command_line import free_port

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark


def test_a_server_behind_a_gateway_refuses_whoever_asks_past_it(docker_spark: Spark) -> None:
    spark, port = docker_spark, free_port()
    name = spark.recipe("behind", port=port)
    spark.write(f"recipes/stacks/{name}-box.yaml", f"services: {{{name}: {{recipe: {name}}}}}\ngateway: {{}}\n")
    done = [spark.run("up", f"{name}-box:{name}").expect(0)]
    (file,) = spark.home.rglob(f"server-keys/{name}")
    key = file.read_text().strip()
    url = f"http://127.0.0.1:{port}/v1/models"
    asked = [httpx2.get(url).status_code, httpx2.get(url, headers={"Authorization": f"Bearer {key}"}).status_code]
    assert (asked, file.stat().st_mode & 0o777) == ([401, 200], 0o600)
    done += [spark.run("up", f"{name}-box:{name}").expect(0), spark.run("attach", name).expect(0)]
    assert "already up" in done[1].err
    done.append(spark.run("ps", "--json").expect(0))
    assert [row["ready"] for row in json.loads(done[-1].out) if row["name"] == name] == [True]
    assert key not in "".join(one.out + one.err for one in done)
    found = json.loads(spark.docker("inspect", name))[0]
    assert key not in json.dumps([found["Config"]["Labels"], found["Config"]["Cmd"], found["Args"]])
    assert f"VLLM_API_KEY={key}" in found["Config"]["Env"]
