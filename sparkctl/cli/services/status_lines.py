"""What ``sparkctl status`` shows of a look at a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base import units
from sparkctl.operations.stack import standing
from sparkctl.operations.status.liveness import Life
from sparkctl.operations.status.services import made_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.cli.output import Output
    from sparkctl.operations.status.services import ServiceStatus


def line(row: Mapping[str, object]) -> str:
    """Return a look in one line."""
    parts = [f"{row['state']}", f"{_count(row['running'])} running", f"{_count(row['waiting'])} waiting"]
    parts += [f"{_tokens(row['generated_per_second'])} tok/s", f"KV cache {_share(row['kv_usage'])}"]
    return "  ".join([*parts, str(row["why"]) if row["state"] not in {Life.READY, Life.BUSY} else ""]).rstrip()


def show(out: Output, found: ServiceStatus, heading: dict[str, str], row: Mapping[str, object]) -> None:
    """Print a look, a line a figure, below the ``heading``."""
    acceptance = row["acceptance"]
    shown = heading | {
        "state": ": ".join(filter(None, [str(row["state"]), str(row["why"])])),
        "recipe": made_from(found.record),
        "url": row["url"] or "unknown",
        "requests": f"{_count(row['running'])} running, {_count(row['waiting'])} waiting",
        "tokens per second": f"{_tokens(row['generated_per_second'])}, {_tokens(row['prompt_per_second'])} of prompts",
        "KV cache": f"{_share(row['kv_usage'])} in use, {_count(row['preemptions'])} preemptions",
        "prefix cache": f"{_share(row['prefix_hit_rate'])} hits",
        "memory": f"{_size(row['memory_bytes'])} of a claim of {_size(row['claim_bytes'])}{_on_cards(found)}",
    }
    if found.standing is not None:
        shown["standing"] = standing.words(found.standing)
    if isinstance(acceptance, dict):
        shares = " ".join(_share(share) for share in acceptance["positions"])
        shown["acceptance"] = (
            f"{shares or _share(acceptance['overall'])} of {_count(acceptance['drafted'])} drafted tokens"
        )
    width = max(map(len, shown))
    for key, value in shown.items():
        out.result(f"{key:{width}}  {value}")
    for line in found.doubts:
        out.warn(line)


def _on_cards(found: ServiceStatus) -> str:
    """Return its part on each GPU with its own memory, after the sum; "" if there is none."""
    if found.deployed is None or not found.deployed.cards:
        return ""
    parts = [f"{_size(card.bytes)} on {card.words}" for card in found.deployed.cards]
    return f": {', '.join(parts)}, {_size(found.deployed.resident_bytes)} of the host's"


def _count(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else "?"


def _tokens(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, int | float) else "?"


def _share(value: object) -> str:
    return f"{100 * value:.0f} %" if isinstance(value, int | float) else "?"


def _size(value: object) -> str:
    return units.format_gib(value) if isinstance(value, int) else "unknown"
