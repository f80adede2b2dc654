"""A recipe while it is made of a launch: each word of the source gets a key, a reason, or stays as a leftover."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.recipes.exchange.fields.made import Accounted, Made, plain
from sparkctl.recipes.exchange.launch import Leftover, Refused

if TYPE_CHECKING:
    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.fields.made import Choices, Path


class SourceItem(NamedTuple):
    """An option or flag of the source: ``text`` as it is written there, without a secret's value."""

    place: Place
    text: str


@dataclass(slots=True)
class Draft:
    """What is known so far. The first refusal stays: it is the reason that is counted."""

    choices: Choices
    values: dict[Path, object] = field(default_factory=dict)
    comments: dict[Path, str] = field(default_factory=dict)
    accounts: list[Accounted] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: Refused | None = None

    def put(self, path: Path, value: object, item: SourceItem | None = None, comment: str = "") -> None:
        """Give a key its value; ``item`` is the source's word for it, ``comment`` the reason if the source has none."""
        self.values[path] = value
        if comment:
            self.comments[path] = comment
        if item is not None:
            self.accounts.append(Accounted(item.place, item.text, path))

    def explain(self, item: SourceItem, why: str) -> None:
        """Say why a word of the source needs no key."""
        self.accounts.append(Accounted(item.place, item.text, why=why))

    def leave(self, item: SourceItem, why: str, needs: str | None = None) -> None:
        """Add a word of the source to the leftovers."""
        self.accounts.append(Accounted(item.place, item.text))
        self.leftovers.append(Leftover(item.place, item.text, why, needs))

    def refuse(self, reason: str, message: str, place: Place | None = None) -> None:
        """Say why no recipe is possible, unless a reason is known already."""
        self.refused = self.refused or Refused(reason, message, place)

    def note(self, text: str) -> None:
        """Say something once to whoever imports."""
        if text not in self.notes:
            self.notes.append(text)

    def made(self, name: str) -> Made:
        """Return what came of it."""
        return Made(
            name,
            plain(self.values.items()),
            self.comments,
            tuple(self.accounts),
            tuple(self.leftovers),
            tuple(self.notes),
            self.refused,
        )
