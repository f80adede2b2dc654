"""The official Python clients of both APIs through the door: what they raise, retry and skip."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.lazy import LazyModule
from sparkctl.world.door_ports import AnswerWith, Bounds, Forward, Refuse, Wait
from tests.support.door_bench import LAST, STREAM, DoorBench, always, answer, bench, chunk, event
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    import anthropic
    import openai

    from sparkctl.world.door_ports import Arrival, Decision

else:  # a second of CPU each, for every worker that only collects
    anthropic = LazyModule("anthropic")
    openai = LazyModule("openai")

ASKED = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}


def words(text: str, end: str | None = None) -> bytes:
    """Return an event of a streamed chat."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": end}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small", "choices": [choice]})


def of_openai(door: DoorBench, retries: int = 0) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{door.door.url}/v1", api_key="secret", max_retries=retries)


def test_openai_streams_past_comments_to_the_last_word_s16() -> None:
    def decide(_: Arrival, url: str) -> Decision:
        async def later() -> Decision:
            await asyncio.sleep(0.05)
            return Forward(url)

        return Wait(later(), lambda: "starting small, about 90 s left")

    async def run() -> None:
        script = always(STREAM, words("hel"), words("lo", "stop"), event(b"[DONE]"), LAST)
        async with bench(script, decide=decide, bounds=Bounds(quiet_s=0.01, comment_s=0.01)) as door:
            async with of_openai(door) as client:
                stream = await client.chat.completions.create(**ASKED, stream=True)  # type: ignore[call-overload]
                said = [one.choices[0].delta.content async for one in stream]
            assert said == ["hel", "lo"]
            assert door.handler.arrived[0].key == "secret"

    asyncio.run(run())


def test_openai_raises_where_a_stream_breaks_off() -> None:
    async def run() -> None:
        async with bench(always(STREAM, words("hel"))) as door, of_openai(door) as client:
            stream = await client.chat.completions.create(**ASKED, stream=True)  # type: ignore[call-overload]
            with pytest.raises(openai.APIError, match="broke off before the end of its answer"):
                _ = [one async for one in stream]

    asyncio.run(run())


@pytest.mark.parametrize(("should_retry", "times"), [(False, 1), (None, 2)])
def test_openai_asks_again_unless_it_is_told_not_to(should_retry: bool | None, times: int) -> None:
    refusal = Refuse(503, "does_not_fit", "needs 20 GiB, 12 are free", retry_after_s=0, should_retry=should_retry)

    async def run() -> None:
        async with bench(decide=lambda *_: refusal) as door, of_openai(door, retries=1) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(**ASKED)  # type: ignore[call-overload]
            assert caught.value.code == "does_not_fit"
            assert "needs 20 GiB" in caught.value.message
            assert len(door.handler.arrived) == times

    asyncio.run(run())


def test_openai_lists_models_and_sends_sound() -> None:
    listed = AnswerWith({"object": "list", "data": [{"id": "small", "object": "model"}]})

    def decide(arrival: Arrival, url: str) -> Decision:
        return listed if arrival.path == "/v1/models" else Forward(url, model="whisper-large")

    async def run() -> None:
        async with bench(always(answer(b'{"text": "hello"}')), decide=decide) as door, of_openai(door) as client:
            assert [one.id async for one in client.models.list()] == ["small"]
            sound = io.BytesIO(b"RIFF" * 100_000)
            sound.name = "a.wav"
            assert (await client.audio.transcriptions.create(model="ears", file=sound)).text == "hello"
            assert door.handler.arrived[1].model == "ears"
            assert b"\r\n\r\nwhisper-large\r\n" in door.server.seen[0].body

    asyncio.run(run())


@only_thorough
def test_anthropic_has_its_answers_and_its_errors() -> None:
    text = {"id": "m", "type": "message", "role": "assistant", "model": "small", "stop_reason": "end_turn"}
    whole = {**text, "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 1, "output_tokens": 2}}
    started = {"type": "message_start", "message": {**whole, "content": []}}
    kept = {"max_tokens": 5, **ASKED}

    async def run() -> None:
        async with bench(always(answer(json.dumps(whole).encode()))) as door:
            client = anthropic.AsyncAnthropic(base_url=door.door.url, api_key="secret", max_retries=0)
            async with client:
                message = await client.messages.create(**kept)  # type: ignore[call-overload]
                assert message.content[0].text == "hello"
                assert door.handler.arrived[0].key == "secret"
                assert (await door.handler.end()).usage == (1, 2)
                door.server.script = always(
                    STREAM, chunk(b"event: message_start\ndata: " + json.dumps(started).encode() + b"\n\n")
                )
                stream = await client.messages.create(**kept, stream=True)  # type: ignore[call-overload]
                with pytest.raises(anthropic.APIStatusError, match="broke off before the end of its answer"):
                    _ = [one async for one in stream]
                door.handler.decide = lambda _: Refuse(404, "model_not_found", "no model small; there is tiny")
                with pytest.raises(anthropic.NotFoundError, match="there is tiny"):
                    await client.messages.create(**kept)  # type: ignore[call-overload]

    asyncio.run(run())
