"""Options that the commands of the guard share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.units import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.cli.options import FunctionT


def _bytes(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    return None if text is None else parse_bytes(text)


def _line(name: str, what: str) -> Callable[[FunctionT], FunctionT]:
    return click.option(f"--{name}", metavar="SIZE", callback=_bytes, help=what)


folder = click.option("--run-folder", metavar="DIR", help="Where guard and agent meet: /run/sparkctl, or your own.")
_RESERVE = _line("reserve", "Below it nothing new is started (10 GiB).")
_ACT = _line("act", "Below it a service has to end (6 GiB).")
_FLOOR = _line("floor", "Below it a service is killed at once (4 GiB).")
owner = click.option("--owner", metavar="USER", help="Follow this user's list of victims too, beside root's.")


def lines(function: FunctionT) -> FunctionT:
    """Give a command the three lines: ``reserve``, ``act`` and ``floor``, in bytes or None."""
    return _RESERVE(_ACT(_FLOOR(function)))
