"""``overrides:`` of sparkrun: settings under conditions, decided for Sparks (core/recipe_overrides.py there).

What a condition asks of a host is known for a Spark, or nobody knows it here: then the whole entry stays over. Entries
that hold are laid over the recipe in their order; the conditions on ``config`` see the values before any of them.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.launch import Leftover
from sparkctl.recipes.exchange.sources.yaml_files.keys import bare, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.base.document import Node

_KEY: Final = "overrides"
_SIZES: Final = {
    "tp": "tensor_parallel",
    "pp": "pipeline_parallel",
    "dp": "data_parallel",
    "cp": "context_parallel",
    "ep": "expert_parallel",
}
"""Counts of ranks, and the default that says each."""
_ON_HOSTS: Final = ("tp", "pp", "dp")
"""Parallel sizes whose ranks each have a host of their own (spark-arena/sparkrun, core/parallelism.py)."""
_SPARK: Final = {"vendor": "nvidia", "arch": "sm_121", "runtime_family": "vllm"}
_DIGITS: Final = 9
_LAYERS: Final = ("defaults", "env", "container")
_OPERATORS: Final[dict[str, Callable[[object, list[object]], bool]]] = {
    "eq": lambda have, want: have == want[0],
    "ne": lambda have, want: have != want[0],
    "in": lambda have, want: have in want,
    "not_in": lambda have, want: have not in want,
    "gt": lambda have, want: _both(have, want[0]) and float(str(have)) > float(str(want[0])),
    "gte": lambda have, want: _both(have, want[0]) and float(str(have)) >= float(str(want[0])),
    "lt": lambda have, want: _both(have, want[0]) and float(str(have)) < float(str(want[0])),
    "lte": lambda have, want: _both(have, want[0]) and float(str(have)) <= float(str(want[0])),
}


def _both(*values: object) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def decided(root: Node) -> tuple[Node, tuple[Leftover, ...]]:
    """Return a recipe with the entries laid over it that hold, and those of which nobody knows it.

    They hold on one Spark, or on as many as a recipe for several hosts says.
    """
    content = root.content if isinstance(root.content, dict) else {}
    declared = content.get(_KEY)
    if declared is None or not isinstance(declared.content, tuple):
        return root, ()
    found = {key: node for key, node in content.items() if key != _KEY}
    config = _map(content.get("defaults"))
    known: dict[str, str | int] = {**_SPARK, **_counts(content, config)}
    leftovers: list[Leftover] = []
    for number, entry in enumerate(declared.content):
        holds = _holds(_map(entry).get("when"), config, known)
        if holds is None or set(_map(entry)) - {"when", *_LAYERS}:
            why = "nobody knows here whether its condition holds"
            leftovers.append(
                Leftover(bare(entry.place), shown(f"{_KEY}[{number}]", entry), why, "its settings by hand")
            )
        elif holds:
            _lay_over(found, entry)
    return root._replace(content=found), tuple(leftovers)


def for_several(content: Mapping[str, Node]) -> int:
    """Return how many hosts a recipe's keys say it needs at least, 1 where any number will do."""
    least = str(_value(content.get("min_nodes")) or 1)
    hosts = max(1, int(least[:_DIGITS])) if least.isdecimal() else 1
    cluster = str(_value(content.get("cluster_only"))).lower() in {"true", "yes"}
    return max(2, hosts) if cluster or _value(content.get("mode")) == "cluster" else hosts


def _counts(content: Mapping[str, Node], config: Mapping[str, Node]) -> dict[str, int]:
    """Return how many hosts, GPUs and ranks there are."""
    found = {"nodes": 1, "gpus_per_node": 1, **dict.fromkeys(_SIZES, 1)}
    if for_several(content) == 1:
        return found
    for name, key in _SIZES.items():
        value = str(_value(config.get(key)) or 1)
        found[name] = int(value[:_DIGITS]) if value.isdecimal() else 1
    return found | {"nodes": prod(found[name] for name in _ON_HOSTS)}


def _holds(when: Node | None, config: Mapping[str, Node], known: Mapping[str, str | int]) -> bool | None:
    """Return whether all parts of a condition hold; None if a part cannot be decided and none is false."""
    parts = _map(when)
    if not parts:
        return None
    answers: list[bool | None] = []
    for selector, node in parts.items():
        if selector == "config":
            answers += [
                _answer(node_of_key, _value(config.get(key)), known=True) for key, node_of_key in _map(node).items()
            ]
        else:
            have = known.get(selector)
            answers.append(_answer(node, have, known=have is not None))
    return False if False in answers else None if None in answers else True


def _answer(predicate: Node, have: object, *, known: bool) -> bool | None:
    """Return whether one predicate holds of a value: a scalar is equality, a list any of them, a map operators."""
    if not known:
        return None
    have = _normal(have)
    if isinstance(predicate.content, tuple):
        return have in [_normal(item.content) for item in predicate.content]
    if not isinstance(predicate.content, dict):
        return have == _normal(predicate.content)
    answers: list[bool | None] = []
    for name, operand in predicate.content.items():
        operator = _OPERATORS.get(name)
        items = operand.content if isinstance(operand.content, tuple) else (operand,)
        want = [_normal(item.content) for item in items]
        answers.append(operator(have, want) if operator is not None and want else None)
    return False if False in answers else None if None in answers else True


def _normal(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _value(node: Node | None) -> object:
    return None if node is None or isinstance(node.content, dict | tuple) else node.content


def _lay_over(found: dict[str, Node], entry: Node) -> None:
    for layer in _LAYERS:
        node = _map(entry).get(layer)
        if node is None:
            continue
        base = found.get(layer)
        if isinstance(node.content, dict) and base is not None and isinstance(base.content, dict):
            found[layer] = base._replace(content={**base.content, **node.content})
        else:
            found[layer] = node


def _map(node: Node | None) -> Mapping[str, Node]:
    return node.content if node is not None and isinstance(node.content, dict) else {}
