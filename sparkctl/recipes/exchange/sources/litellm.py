"""Configurations of LiteLLM's proxy: it starts no server, so that its names go into a stack of recipes that do.

Its keys: docs.litellm.ai/docs/proxy/configs (``model_list`` with ``model_name`` and ``litellm_params``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sparkctl.recipes.exchange.launch import Leftover, Word
from sparkctl.recipes.exchange.sources.yaml_files import runner
from sparkctl.recipes.exchange.sources.yaml_files.keys import TakenKeys, bare, problems
from sparkctl.recipes.exchange.sources.yaml_files.keys import read as read_yaml
from sparkctl.recipes.exchange.stacked import SourceService, SourceStack

if TYPE_CHECKING:
    from sparkctl.base.document import Node
    from sparkctl.recipes.exchange.launch import Launch
    from sparkctl.recipes.exchange.material import Material

FORM: Final = "LiteLLM configuration"
_LIST: Final = re.compile(r"^model_list\s*:", re.MULTILINE)
_PROVIDERS: Final = frozenset(
    {"hosted_vllm", "openai", "vllm", "custom_openai", "text-completion-openai", "litellm_proxy"}
)
"""Prefixes that may stand before the name of a vLLM server: ``hosted_vllm/NAME``, ``openai/NAME``."""
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "host.docker.internal", "172.17.0.1"})  # noqa: S104  (the source's)
_SAMPLING: Final = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "max_tokens"}
)
_OF_THE_PROXY: Final = {
    "litellm_settings": "settings of LiteLLM itself",
    "general_settings": "settings of LiteLLM itself: its keys and its database",
    "router_settings": "how LiteLLM chooses between servers",
    "environment_variables": "variables of LiteLLM itself",
    "mcp_servers": "servers of tools",
    "guardrails": "checks of LiteLLM itself",
    "callback_settings": "where LiteLLM writes what it does",
}


def recognises(material: Material) -> bool:
    """Return whether a text is such a configuration."""
    return _LIST.search(material.text) is not None and "litellm_params" in material.text


def read(material: Material) -> list[Launch]:
    """Return no launch, for it starts no server; ``stack`` has what there is.

    Raises:
        ProblemsError: it is no YAML.
    """
    read_yaml(material)
    return []


def stack(material: Material) -> SourceStack:
    """Return the names of servers on this host; what points elsewhere stays over.

    Raises:
        ProblemsError: it is no YAML.
    """
    document = read_yaml(material)
    keys = TakenKeys(document.root)
    keys.leftovers += problems(document)
    listed = keys.take("model_list")
    items = listed.content if listed is not None and isinstance(listed.content, tuple) else ()
    services = [service for item in items if (service := _service(item, keys.leftovers)) is not None]
    for key, why in _OF_THE_PROXY.items():
        keys.leave(key, why, "gateway: and routes: in the stack")
    keys.rest()
    notes = ("LiteLLM starts nothing: its names are those of services, and start: on-demand is for you to choose",)
    return SourceStack(runner.name_of(material.file), tuple(services), {"gateway": {}}, tuple(keys.leftovers), notes)


def _service(node: Node, leftovers: list[Leftover]) -> SourceService | None:
    """Return a server of this host with its clients' name for it; None if it is on another host."""
    entry = TakenKeys(node, "model_list", leftovers)
    name, params = entry.text("model_name"), entry.below("litellm_params")
    model, base = params.text("model"), params.text("api_base") or params.text("base_url")
    params.take("base_url")
    params.take("api_key")
    place = bare(node.place)
    if name is None or model is None:
        leftovers.append(Leftover(place, "a model without its name or its model", "nothing names it"))
        return None
    if base is None or not _is_here(base):
        where = f"at {base.text}" if base is not None else "of a provider"
        leftovers.append(Leftover(place, f"{name.text}: {model.text}", f"a server {where}, and not of this host"))
        return None
    named: dict[str, Any] = {"names": [name.text]} if _may_be_name(name.text) else {}
    if not named:
        why = "a pattern, or a name with blanks, is no name here"
        leftovers.append(Leftover(name.place, f"model_name: {name.text}", why, "names: in the stack"))
    defaults = {key: value.plain() for key in params if key in _SAMPLING and (value := params.take(key)) is not None}
    if defaults:
        named["defaults"] = defaults
    params.rest("a setting of LiteLLM for this server")
    entry.take("model_info")
    entry.rest()
    return SourceService(place, named, None, _served(model), _port(base))


def _may_be_name(text: str) -> bool:
    return "*" not in text and text.split() == [text]


def _is_here(base: Word) -> bool:
    """Return whether an address is of this host, or of a container of it: names without dots are those."""
    host = _host(base)
    return host is not None and (host in _HERE or ("." not in host and ":" not in host))


def _host(base: Word) -> str | None:
    try:
        return urlsplit(base.text).hostname
    except ValueError:
        return None


def _port(base: Word) -> int | None:
    """Return the port on this host; that of a container's own network says nothing of it."""
    if _host(base) not in _HERE:
        return None
    try:
        parts = urlsplit(base.text)
        return parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None


def _served(model: Word) -> str:
    """Return the name that the server has: without LiteLLM's word for the kind of server."""
    provider, slash, rest = model.text.partition("/")
    return rest if slash and provider in _PROVIDERS else model.text
