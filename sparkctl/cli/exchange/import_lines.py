"""How imports are shown: a recipe with its leftovers and the differences of its words, a folder as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.exchange import importing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.cli.output import Output
    from sparkctl.operations.exchange.import_review import ImportReview
    from sparkctl.operations.exchange.importing import ImportedRecipe, Imports
    from sparkctl.operations.files.recipes import Linted
    from sparkctl.recipes.exchange.fields.made import Made
    from sparkctl.recipes.exchange.stacked import MadeStack


def table(out: Output, found: Imports, *, as_json: bool) -> None:
    """Print what a folder has, by form."""
    counts = importing.counted(found)
    if as_json:
        out.json(
            {
                "forms": [one._asdict() for one in counts],
                "unknown": list(found.unknown),
                "unread": [{"file": file, "why": why} for file, why in found.refused],
            }
        )
        return
    rows = [[one.form, str(one.files), str(one.imported), str(sum(one.refused.values()))] for one in counts]
    out.table(["form", "files", "imported", "refused"], rows)
    for one in counts:
        _reasons(out, f"{one.form}: refused", one.refused)
        _reasons(out, f"{one.form}: stays over", one.leftovers)
    _unread(out, found)
    out.say(f"files of no known form: {len(found.unknown)}")


def _unread(out: Output, found: Imports) -> None:
    for file, why in found.refused:
        out.warn(f"{file}: {why}")


def _reasons(out: Output, title: str, counts: Mapping[str, int]) -> None:
    if counts:
        out.result(f"\n{title}")
        out.table(["times", "why"], [[str(count), why] for why, count in _most(counts)])


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def refused(out: Output, found: Imports) -> None:
    """Say which files of a source are not read, which servers give no recipe, and why."""
    _unread(out, found)
    for one in found.recipes:
        if one.made.refused is not None:
            out.warn(importing.refusal(one.form, one.made.refused))


def recipe(out: Output, imported: ImportedRecipe, path: Path) -> None:
    """Print the result for one server."""
    out.result(str(path))
    _left_over(out, imported.name, imported.made)


def reviewed(out: Output, name: str, review: ImportReview) -> None:
    """Print the review of one recipe."""
    rows = [
        [one.source or "", one.rendered or "", one.why] for one in review.differences if one.why or one.source is None
    ]
    if rows:
        out.result("\nwords of the source, and of `sparkctl render`, where they differ:")
        out.table(["source", "rendered", "why"], rows)
    if review.unrendered is not None:
        out.warn(f"{name} is not rendered: {review.unrendered}")
    out.say(f"{name}: {review.fits}")


def stacks(out: Output, found: Imports, paths: Sequence[Path]) -> None:
    """Print the stack of a file's servers, and its leftovers."""
    written = iter(paths)
    for stack in found.stacks:
        out.result(str(next(written)) if stack.usable else f"{stack.file}: no stack")
        _left_over(out, stack.name, stack.made)


def _left_over(out: Output, name: str, made: Made | MadeStack) -> None:
    """Print the leftovers of a source, numbered, and the notes on the rest."""
    for number, left in enumerate(made.leftovers, start=1):
        needs = f" → {left.needs}" if left.needs else ""
        out.result(f"  {number}. {left.place}: {left.what}: {left.why}{needs}")
    for note in made.notes:
        out.say(f"{name}: {note}")


def problems(out: Output, linted: Linted) -> None:
    """Say what `recipes lint` says of what was written."""
    for problem in linted.reaches:
        out.say(f"reaches: {problem}")
    for problem in (*linted.errors, *linted.warnings):
        out.warn(str(problem))
    out.say(f"checked {len(linted.names)}, errors {len(linted.errors)}, warnings {len(linted.warnings)}")
