"""A configuration of LiteLLM's proxy: each name that clients use, and the server that answers.

LiteLLM starts no containers: the services run as `sparkctl up` starts them.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.exports.exported import Export, ExportedFile
from sparkctl.recipes.exchange.yaml_text import document, noted
from sparkctl.vllm.kinds import ServerKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.planning.box.declared import DeclaredRoute
    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet

API_KEY: Final = "VLLM_API_KEY"
_MODES: Final = {
    ServerKind.GENERATE: "chat",
    ServerKind.EMBED: "embedding",
    ServerKind.RANK: "rerank",
    ServerKind.TRANSCRIBE: "audio_transcription",
}
_PREFIX: Final = "hosted_vllm/"
"""LiteLLM's provider for a vLLM that runs somewhere."""
_LITELLM_HAS: Final = frozenset({"context", "down"})
"""Reasons for which LiteLLM asks the second server too: a prompt that is too long, a server that fails."""


def config(exported: ExportedSet) -> Export:
    """Return one file, config.yaml."""
    models = [entry for service in exported.services for entry in _entries(exported, service)]
    models += [entry for route in exported.routes for entry in _route(exported, route)]
    value: dict[str, object] = {"model_list": models}
    fallbacks = [{route.name: [route.then]} for route in exported.routes]
    if fallbacks:
        lost = sorted({reason for route in exported.routes for reason in route.when} - _LITELLM_HAS)
        told = f"LiteLLM asks the other one when a request failed. Of the stack's reasons it has no: {', '.join(lost)}."
        long = [{route.name: [route.then]} for route in exported.routes if "context" in route.when]
        settings = {"fallbacks": fallbacks, **({"context_window_fallbacks": long} if long else {})}
        value["router_settings"] = noted(settings, *([told] if lost else []))
    about = [
        f"Written by `{exported.asked}`: change the recipe and write it again, rather than this file.",
        "LiteLLM starts nothing, and does not know that a service loads: `sparkctl up` or its agent starts them.",
        "$ litellm --config litellm.yaml",
    ]
    return Export((ExportedFile("litellm.yaml", document(value, *about)),))


def asked_by(exported: ExportedSet, service: ExportedService) -> list[str]:
    """Return the names that mean this service alone, its own name first."""
    served = Counter(name for one in exported.services for name in set(one.served_names))
    more = () if service.declared is None else service.declared.names
    others = {one.name for one in exported.services} | {route.name for route in exported.routes}
    own = [name for name in service.served_names if served[name] == 1 and name not in others]
    return list(dict.fromkeys([service.name, *more, *own]))


def _entries(exported: ExportedSet, service: ExportedService) -> list[object]:
    names = asked_by(exported, service)
    first, *others = ({"model_name": name, **_params(service)} for name in names)
    told = [f"{service.name}: {service.model.description or service.model.repo}."]
    if service.declared is not None and service.declared.force:
        forced = ", ".join(service.declared.force)
        told.append(f"The stack forces {forced}: here they are defaults, which a request may replace.")
    if service.encrypted:
        told.append("Its certificate has to be known: SSL_CERT_FILE, or `ssl_verify` in litellm_settings.")
    return [noted(first, *told), *others]


def _params(service: ExportedService) -> Mapping[str, object]:
    declared = service.declared
    laid = {} if declared is None else {**declared.defaults, **declared.force}
    params: dict[str, object] = {**{key: value for key, value in laid.items() if key not in _OWN}}
    params |= {"model": f"{_PREFIX}{service.served_names[0]}", "api_base": f"{service.reached}/v1"}
    if API_KEY in service.secrets:
        params["api_key"] = f"os.environ/{_variable(service)}"
    info: dict[str, object] = {"max_input_tokens": service.model.context} if service.model.context else {}
    mode = _MODES.get(service.kind) if service.model.chat else "completion"
    return {"litellm_params": params, "model_info": {**({"mode": mode} if mode else {}), **info}}


_OWN: Final = frozenset({"model", "api_base", "api_key"})


def _variable(service: ExportedService) -> str:
    """Return the variable with the key of a server: one for all, or its own if sparkctl made the key."""
    if not service.own_key:
        return API_KEY
    return f"{API_KEY}_{re.sub(r'[^A-Za-z0-9]', '_', service.name).upper()}"


def _route(exported: ExportedSet, route: DeclaredRoute) -> list[object]:
    first = next((one for one in exported.services if one.name == route.first), None)
    if first is None:
        return []
    return [noted({"model_name": route.name, **_params(first)}, f"{route.name}: {route.first}, else {route.then}.")]
