"""Asks a server what its checks ask, by the one client, and judges the answers. Nothing it says is an error here."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.operations.checks import judge, media, vectors
from sparkctl.operations.checks.asked_server import skipped
from sparkctl.operations.checks.judge import Answer, Judgement
from sparkctl.vllm.answers import EXCERPT, NoAnswer, OtherAnswer, Ranking, Transcript, Vectors
from sparkctl.vllm.kinds import ServerKind
from sparkctl.vllm.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.checks.asked_server import AskedServer
    from sparkctl.operations.checks.check import Check, Request, Tool
    from sparkctl.operations.checks.run_code import CodeRunner
    from sparkctl.vllm.answers import Generation, NotAnswered
    from sparkctl.world.ports import Clock, Report
    from sparkctl.world.web import Http

SEED: Final = 0
THINKING_TOKENS: Final = 2048
"""Tokens that a thinking model may use beside its answer: three minutes at 11 tokens a second (a choice)."""
THOUGHT: Final = "thought"
"""The finding that an answer ended while its model thought: nothing is there to judge, and nothing is wrong with it."""
NO_ANSWER: Final = "answer"
"""The assertion that there is an answer to judge."""
_NO_MODEL: Final = "a simulated server has no model: it answers, and what it says is not judged"
_BAD_REQUEST: Final = 400
UNASKED: Final = "question"
"""The finding that a server does not do what it was asked for, such as to chat without a chat template."""
_NOTHING_TO_JUDGE: Final = frozenset({THOUGHT, UNASKED})
_WRITES: Final = ServerKind.GENERATE


class Result(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105  (a verdict)
    FAIL = "fail"
    SKIPPED = "skipped"


class Named(NamedTuple):
    """A check and its name."""

    name: str
    check: Check


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of one request: the beginning of the answer, and the finding of each assertion."""

    answer: str
    findings: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """How a check ended, why, and after how many seconds."""

    check: str
    result: Result
    reason: str
    seconds: float = 0.0
    evidence: tuple[Evidence, ...] = ()


class Checker:
    """Runs checks on servers; tells ``report`` which one it is at. ``code`` runs what models write (None: nothing).

    ``simulated``: the servers have no models, and what they say is not judged; that they answer is.
    """

    def __init__(
        self, http: Http, clock: Clock, report: Report, code: CodeRunner | None = None, *, simulated: bool = False
    ) -> None:
        self._code = code
        self._simulated = simulated
        self._http = http
        self._clock = clock
        self._report = report

    def run(self, checks: Sequence[Named], server: AskedServer) -> Iterator[CheckVerdict]:
        """Yield the verdict of each check as it ends."""
        for index, (name, check) in enumerate(checks):
            self._report.progress(server.service, f"check {name}", f"{index + 1} of {len(checks)}", index / len(checks))
            yield self._check(name, check, server)

    def _check(self, name: str, check: Check, server: AskedServer) -> CheckVerdict:
        reason = skipped(check, server)
        if reason is not None:
            return CheckVerdict(name, Result.SKIPPED, reason)
        asked = [one for one in check.requests if server.chat or one.completion is not None or one.kind is not _WRITES]
        began = self._clock.monotonic()
        evidence = tuple(_shown(one, server.key) for one in self._together(asked, server, check.timeout))
        seconds = self._clock.monotonic() - began
        failed = [finding for one in evidence for finding in one.findings if not finding.passed]
        if failed and all(finding.assertion in _NOTHING_TO_JUDGE for finding in failed):
            return CheckVerdict(name, Result.SKIPPED, failed[0].measured, seconds, evidence)
        if failed and self._simulated and not any(finding.assertion == NO_ANSWER for finding in failed):
            return CheckVerdict(name, Result.SKIPPED, _NO_MODEL, seconds, evidence)
        if failed:
            return CheckVerdict(name, Result.FAIL, reason_of(failed[0]), seconds, evidence)
        return CheckVerdict(name, Result.PASS, _summary(evidence), seconds, evidence)

    def _together(self, asked: Sequence[Request], server: AskedServer, timeout_s: float) -> list[Evidence]:
        """Ask all requests at once. A single one is asked in this thread, where Ctrl-C ends it without waiting."""
        if len(asked) == 1:
            return [self._ask(asked[0], server, timeout_s)]
        with ThreadPoolExecutor(max_workers=len(asked)) as pool:
            futures = [pool.submit(self._ask, request, server, timeout_s) for request in asked]
            return [future.result() for future in futures]

    def _ask(self, request: Request, server: AskedServer, timeout_s: float) -> Evidence:
        """Ask one request, with its tool's result as a second one, and judge the answer."""
        if request.kind is not ServerKind.GENERATE:
            return self._ask_kind(request, server, timeout_s)
        body = request_body(request, server)
        found = self._send(server, body, timeout_s)
        if isinstance(found, NoAnswer | OtherAnswer):
            return Evidence("", (_none(found),))
        findings: list[Judgement] = []
        if request.tool is not None:
            call = called(request.tool, found.message)
            if not call.passed:
                return Evidence(_excerpt(found), (call,))
            findings.append(call)
            body = {**body, "messages": [*body["messages"], *_results(request.tool, found.message)]}
            found = self._send(server, body, timeout_s)
            if isinstance(found, NoAnswer | OtherAnswer):
                return Evidence("", (*findings, _none(found)))
        given = "" if server.chat else request.completion or ""
        answer = Answer(found.text, found.tokens, given, guided=request.guided, cut=found.finish == "length")
        findings += (
            [_empty(found, thinks=server.thinks)] if not found.text.strip() else judge.judge(request.expect, answer)
        )
        if self._code is not None and request.expect.runs is not None and all(one.passed for one in findings):
            findings.append(judge.ran(request.expect.runs, found.text, self._code.run))
        return Evidence(_excerpt(found), tuple(findings))

    def _ask_kind(self, request: Request, server: AskedServer, timeout_s: float) -> Evidence:
        """Ask a server that does not write, and judge what it gives."""
        client, name, expect = self._client(server), server.served_name, request.expect
        found: Vectors | Ranking | Transcript | NotAnswered
        if request.embed is not None:
            found = client.embed(name, request.embed, timeout_s=timeout_s)
        elif request.rank is not None:
            found = client.rank(name, request.rank.query, request.rank.documents, timeout_s=timeout_s)
        else:
            sound = media.wav(request.hear) if request.hear is not None else media.silence()
            found = client.transcribe(name, sound, timeout_s=timeout_s)
        match found:
            case Vectors():
                return Evidence("", tuple(vectors.judge_vectors(found, len(request.embed or ()))))
            case Ranking():
                return Evidence("", (vectors.judge_ranking(found, expect.best),))
            case Transcript():
                return Evidence(found.text[:EXCERPT], (vectors.judge_transcript(found, expect.most_words or 0),))
        return Evidence("", (_none(found),))

    def _client(self, server: AskedServer) -> Server:
        return Server(self._http, server.url, server.key, server.certificate)

    def _send(self, server: AskedServer, body: Mapping[str, Any], timeout_s: float) -> Generation | NotAnswered:
        client = self._client(server)
        return (client.chat if server.chat else client.complete)(body, timeout_s=timeout_s)


def reason_of(finding: Judgement) -> str:
    """Return a failed assertion in words."""
    return f"{finding.assertion}: {finding.measured}, expected {finding.limit}"


def evidence_lines(verdict: CheckVerdict) -> list[str]:
    """Return why a check failed and the answers that it judged, for a person."""
    answers = [f"      answered: {one.answer!r}" for one in verdict.evidence if one.answer]
    failed = [f for one in verdict.evidence for f in one.findings if not f.passed]
    return [*(f"  {verdict.check}: {reason_of(finding)}" for finding in failed), *answers]


def _summary(evidence: Sequence[Evidence]) -> str:
    return "; ".join(dict.fromkeys(f"{f.assertion}: {f.measured}" for one in evidence for f in one.findings))


def _shown(evidence: Evidence, key: str | None) -> Evidence:
    """Return the evidence as it may be shown: without the key, should a server repeat it, and without its escapes."""
    findings = tuple(f._replace(measured=_clean(_without(f.measured, key))) for f in evidence.findings)
    # Half of a surrogate pair can stand in JSON, and cannot be printed.
    return Evidence(_without(evidence.answer, key).encode("utf-8", "replace").decode(), findings)


def _without(text: str, key: str | None) -> str:
    return text.replace(key, "***") if key else text


def _clean(text: str) -> str:
    """Return a text on one line, with ? for what moves a terminal's cursor or cannot be printed."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


# --- requests --------------------------------------------------------------------------------------------------------


def request_body(request: Request, server: AskedServer) -> dict[str, Any]:
    """Return a request as JSON, for a chat or a completion: decoding is greedy, and its seed is fixed."""
    body: dict[str, Any] = {
        "model": server.served_name,
        "max_tokens": request.max_tokens + _for_thought(request, server),
        "temperature": 0,
        "seed": SEED,
    }
    if request.guided:
        schema = {"name": "answer", "schema": request.expect.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if not server.chat:
        return {**body, "prompt": request.completion}
    if request.tool is not None:
        tool = request.tool
        function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        body |= {"tools": [{"type": "function", "function": function}], "tool_choice": "auto"}
    if server.thinks:
        # By the names that templates have for it (Qwen 3, GLM and Gemma 4; DeepSeek V3.1): others do not read them.
        body["chat_template_kwargs"] = {"enable_thinking": False, "thinking": False}
    return {**body, "messages": [{"role": "user", "content": _content(request)}]}


def _for_thought(request: Request, server: AskedServer) -> int:
    """Return how many tokens more a model may think, as far as its context goes."""
    if not (server.thinks and server.chat):
        return 0
    left = THINKING_TOKENS if server.context is None else server.context - request.max_tokens - request.bytes
    return max(0, min(THINKING_TOKENS, left))


def _content(request: Request) -> str | list[dict[str, object]]:
    parts: list[dict[str, object]] = []
    if request.image is not None:
        data = base64.b64encode(media.png(request.image)).decode()
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}})
    if request.audio is not None:
        data = base64.b64encode(media.wav(request.audio)).decode()
        parts.append({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    return [*parts, {"type": "text", "text": request.prompt}] if parts else request.prompt


def _results(tool: Tool, message: Mapping[str, Any]) -> list[dict[str, object]]:
    """Return the model's calls and their results as the next messages."""
    calls = message["tool_calls"]
    said = {"role": "assistant", "content": message.get("content") or "", "tool_calls": calls}
    return [said, *({"role": "tool", "tool_call_id": call.get("id", ""), "content": tool.result} for call in calls)]


# --- answers ---------------------------------------------------------------------------------------------------------


def _none(answer: NotAnswered) -> Judgement:
    """Return the finding that there is nothing to judge."""
    if isinstance(answer, NoAnswer):
        return _no_answer(f"no answer: {answer.why}")
    if answer.wants_key:
        return _no_answer(f"HTTP {answer.status}: the server wants its key, in VLLM_API_KEY or your secrets file")
    told = f"HTTP {answer.status}: {answer.said or 'an empty body'}"
    if answer.other_question:
        fix = "; a base model has model: {chat: false}" if answer.status == _BAD_REQUEST else ""
        told = f"it does not do what it was asked: {told}{fix}"
        return Judgement(UNASKED, passed=False, measured=told, limit="an answer")
    return _no_answer(told)


def _no_answer(measured: str) -> Judgement:
    return Judgement(NO_ANSWER, passed=False, measured=measured, limit="an answer")


def _empty(said: Generation, *, thinks: bool) -> Judgement:
    if thinks and said.finish == "length":
        count = "" if said.tokens is None else f" {said.tokens}"
        return Judgement(THOUGHT, passed=False, measured=f"it still thought after{count} tokens", limit="an answer")
    if said.thought:
        why = "before it was done" if said.finish == "length" else "and nothing else"
        return _no_answer(f"only reasoning, {why}: {said.thought[:EXCERPT]}")
    return _no_answer(f"an empty text (finish_reason {said.finish or 'not told'})")


def _excerpt(said: Generation) -> str:
    if said.message.get("tool_calls") and not said.text:
        return json.dumps(said.message["tool_calls"], ensure_ascii=False)[:EXCERPT]
    return said.text[:EXCERPT]


def called(tool: Tool, message: Mapping[str, Any]) -> Judgement:
    """Judge the tool calls of a message: one call, of the tool, with the arguments that are expected."""
    limit = f"{tool.name}({json.dumps(tool.arguments, ensure_ascii=False)})"
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return Judgement("tool", passed=False, measured="no call", limit=limit)
    call = calls[0] if isinstance(calls[0], Mapping) else {}
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    written = function.get("arguments")
    written = written if isinstance(written, str) else ""
    try:
        arguments = read_json(written)
    except UnreadableError:
        return Judgement("tool", passed=False, measured=f"arguments that are no JSON: {written[:EXCERPT]}", limit=limit)
    same = _folded(arguments) == _folded(tool.arguments)
    right = same and function.get("name") == tool.name and len(calls) == 1
    more = f", and {len(calls) - 1} more calls" if len(calls) > 1 else ""
    shown = f"{str(function.get('name'))[:EXCERPT]}({json.dumps(arguments, ensure_ascii=False)[:EXCERPT]}){more}"
    return Judgement("tool", right, shown, limit)


def _folded(value: object) -> object:
    """Return a value to compare: texts without their case and the spaces around them."""
    if isinstance(value, str):
        return value.strip().casefold()
    if isinstance(value, Mapping):
        return {str(key): _folded(item) for key, item in value.items()}
    return [_folded(item) for item in value] if isinstance(value, list) else value
