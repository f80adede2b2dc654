"""Launches as tests look at them: readers of foreign files make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.recipes.exchange.material import Material

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.recipes.exchange.launch import Launch

HOST = {"HOME": "/home/me", "PWD": "/work"}


def only(
    read: Callable[[Material], list[Launch]], text: str, file: str = "one.yaml", beside: Mapping[str, str] | None = None
) -> Launch:
    """Return the one launch of a text."""
    found = read(Material(text, file, HOST, beside or {}))
    assert len(found) == 1
    return found[0]


def command(launch: Launch) -> str:
    """Return the words of its command, with a blank between them."""
    return " ".join(word.text for word in launch.command)


def options(launch: Launch) -> str:
    """Return docker's words."""
    return " ".join(word.text for word in launch.options)


def left(launch: Launch) -> list[str]:
    """Return what stays over, each with its line."""
    return [f"{one.place.line}: {one.what}" for one in launch.leftovers]
