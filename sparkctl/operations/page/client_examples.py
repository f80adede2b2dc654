"""How to call the running services: lines to paste, made of the address and the existing names. Pure."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.shown import json_text, one_line, unseen

if TYPE_CHECKING:
    from sparkctl.operations.page.view import BoxView

_HELLO: Final = "Say hello."


class HowToCall(NamedTuple):
    """One way to call it: what with, and the text to paste."""

    heading: str
    text: str


def ways(view: BoxView, origin: str = "") -> tuple[HowToCall, ...]:
    """Return the ways, the shortest first; () where nothing can be called.

    ``origin`` is the address by which the reader came: from another host it is the only one that works.
    """
    gateway = view.gateway
    names = gateway.names or tuple(one.served[0] if one.served else one.name for one in view.services if one.url)
    base = (origin or gateway.url) if gateway.url else next((one.url for one in view.services if one.url), "")
    if not base or not names:
        return ()
    url, name = f"{one_line(base).rstrip('/')}/v1", names[0]
    return (
        HowToCall("curl", _curl(url, name, needs_key=gateway.needs_key)),
        HowToCall("Python (pip install openai)", _python(url, name, needs_key=gateway.needs_key)),
        HowToCall("an editor's settings (OpenAI compatible)", _editor(url, names, needs_key=gateway.needs_key)),
    )


def _curl(url: str, name: str, *, needs_key: bool) -> str:
    body = json_text({"model": name, "messages": [{"role": "user", "content": _HELLO}]})
    key = ' \\\n  -H "Authorization: Bearer $SPARKCTL_KEY"' if needs_key else ""
    to = f"curl {shlex.quote(f'{url}/chat/completions')} -H 'Content-Type: application/json'"
    return f"{to}{key} \\\n  -d {shlex.quote(body)}"


def _python(url: str, name: str, *, needs_key: bool) -> str:
    key = 'os.environ["SPARKCTL_KEY"]' if needs_key else '"none"'
    first = "import os\n\n" if needs_key else ""
    return (
        f"{first}from openai import OpenAI\n\n"
        f"client = OpenAI(base_url={_quoted(url)}, api_key={key})\n"
        f"answer = client.chat.completions.create(\n"
        f"    model={_quoted(name)}, messages=[{{'role': 'user', 'content': {_quoted(_HELLO)}}}]\n"
        f")\nprint(answer.choices[0].message.content)"
    )


def _editor(url: str, names: tuple[str, ...], *, needs_key: bool) -> str:
    key = "a key of `sparkctl keys add NAME`" if needs_key else "none (any text)"
    return f"base URL: {url}\nAPI key:  {key}\nmodel:    {', '.join(map(one_line, names))}"


def _quoted(text: str) -> str:
    """Return a text as Python has it, in which every character is visible.

    JSON's form is the same, except for characters that JSON writes as two, among them some invisible ones.
    """
    return ascii(text) if unseen(text) else json.dumps(text, ensure_ascii=False)
