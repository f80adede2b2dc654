"""The client of `sparkctl bench` beside vLLM's own, `vllm bench serve`: the same requests to one server, by turns.

Both run in the server's container, in one process, so that neither is nearer to the server or has more of the CPU than
the other: what differs is the client alone. The container has to run a vLLM that is idle otherwise.

    python benchmarks/beside_vllm.py CONTAINER [--port 8000] [--model tiny] [--tokens 300] [--turns 25]
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parent.parent / "sparkctl"
THERE: Final = "/tmp/sparkctl-beside"  # noqa: S108  (in the container)
INSIDE: Final = r"""
import asyncio, json, random, statistics, sys, uuid
sys.path.insert(0, "/tmp/sparkctl-beside")
import aiohttp, time
from vllm.benchmarks.lib.endpoint_request_func import ASYNC_REQUEST_FUNCS, RequestFuncInput
from sparkctl.vllm import streams
from sparkctl.world.local.stream_client import AsyncStreams

url, model, tokens, turns = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
words = "the quick brown fox jumps over a lazy dog where rivers meet stones under old trees".split()
loop = asyncio.new_event_loop()


def prompts(count):
    return [" ".join(random.choices(words, k=20)) for _ in range(count)]


def ours(count):
    more = {"model": model, "max_tokens": tokens, "ignore_eos": True, "temperature": 0, "stream": True}
    more["stream_options"] = {"include_usage": True}
    bodies = [{**more, "prompt": one, "cache_salt": uuid.uuid4().hex} for one in prompts(count)]
    came = AsyncStreams().run(url, bodies, timeout_s=600, most_bytes=10**9)
    done = [streams.completion(one) for one in came]
    assert all(one.tokens == tokens for one in done), [one.problem for one in done]
    wall = max(one.ended_s for one in done) - min(one.started_s for one in done)
    return tokens * count / wall, statistics.mean(one.first_s for one in done)


async def _theirs(session, count):
    given = {"api_url": url, "prompt_len": 1, "output_len": tokens, "model": model, "model_name": model}
    ask = ASYNC_REQUEST_FUNCS["openai"]
    given |= {"ignore_eos": True, "extra_body": {"temperature": 0}}
    one = [RequestFuncInput(prompt=text, **given) for text in prompts(count)]
    began = time.perf_counter()
    done = await asyncio.gather(*(ask(each, session=session) for each in one))
    wall = time.perf_counter() - began
    assert all(each.success for each in done), [each.error for each in done]
    return tokens * count / wall, statistics.mean(each.ttft for each in done)


async def opened():
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600))


session = loop.run_until_complete(opened())
ways = {"sparkctl": ours, "vllm": lambda count: loop.run_until_complete(_theirs(session, count))}
for count in (1, 3):
    found = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name in random.sample(list(ways), len(ways)):
            found[name].append(ways[name](count))
    for name, all_of in found.items():
        speeds, firsts = zip(*all_of[1:])
        print(json.dumps([count, name, statistics.median(speeds), statistics.median(firsts)]), flush=True)
loop.run_until_complete(session.close())
"""


def main() -> None:
    """Run both clients by turns, and print the median speed and first token of each."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("container")
    given.add_argument("--port", type=int, default=8000, help="in the container")
    given.add_argument("--model", default="tiny", help="the served name")
    given.add_argument("--tokens", type=int, default=300)
    given.add_argument("--turns", type=int, default=25)
    asked = given.parse_args()
    subprocess.run(["docker", "exec", asked.container, "mkdir", "-p", THERE], check=True)
    subprocess.run(["docker", "cp", "--quiet", str(PACKAGE), f"{asked.container}:{THERE}/"], check=True)
    url = f"http://127.0.0.1:{asked.port}/v1/completions"
    told = [url, asked.model, str(asked.tokens), str(asked.turns)]
    try:
        subprocess.run(["docker", "exec", asked.container, "python3", "-c", INSIDE, *told], check=True)
    finally:
        subprocess.run(["docker", "exec", asked.container, "rm", "-rf", THERE], check=False)


if __name__ == "__main__":
    main()
