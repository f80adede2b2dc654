"""The errors that an operator may see: one root, and a child for each exit code.

Whoever raises one writes what was expected, what was found and, as the hint, what to do about it.
Only the door (``sparkctl.cli``) catches the root and turns it into text and an exit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    from sparkctl.base import shown
else:
    shown = LazyModule("sparkctl.base.shown")


class SparkctlError(Exception):
    """The root of every error that sparkctl raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(SparkctlError):
    """A command line, a recipe or another file that cannot be used as it is."""

    exit_code = 2


class DoesNotFitError(SparkctlError):
    """The set needs more memory than the pool has."""

    exit_code = 3


class EngineError(SparkctlError):
    """The engine is absent, refuses, or stopped answering; or a port or a name is taken."""

    exit_code = 4


class NotReadyError(SparkctlError):
    """A service did not become ready, or died. ``passes``: another start of the same container may go well."""

    exit_code = 5

    def __init__(self, message: str, *, hint: str | None = None, passes: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.passes = passes


class ModError(SparkctlError):
    """A mod's file is not the file that it has to be."""

    exit_code = 6


class CheckError(SparkctlError):
    """A server, or a model that was made, is not as a check says that it must be."""

    exit_code = 7


class BlockedError(SparkctlError):
    """`doctor` found something that stops `up`."""

    exit_code = 8


class JobError(SparkctlError):
    """A job failed, was stopped, or took too long; what it had made of its output is gone."""

    exit_code = 10


class WaitInterruptedError(SparkctlError):
    """The operator stopped a wait."""

    exit_code = 130


class Place(NamedTuple):
    """A position in a text file: ``line`` and ``column`` count from 1; ``excerpt`` is the whole line.

    ``line`` is 0 for a value that nobody wrote: ``file`` says what it follows from.
    """

    file: str
    line: int
    column: int
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(NamedTuple):
    """One thing that is wrong (or doubtful: ``warning``) in an operator's file, and where.

    ``path`` leads to the key. A caller that knows the file uses it to find the ``place``.
    """

    message: str
    place: Place | None = None
    hint: str | None = None
    warning: bool = False
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        """Return the text as shown: ``file:line:column: message``, the line with a caret, the hint.

        The line is shown without the values of keys that look like a secret's.
        """
        head = f"{self.place}: {self.message}" if self.place else self.message
        lines = [head]
        if self.place and self.place.excerpt:
            number = str(self.place.line)
            excerpt = shown.visible(shown.yaml_line(self.place.excerpt))
            before = shown.visible(shown.yaml_line(self.place.excerpt[: self.place.column - 1]))
            caret = "".join(c if c == "\t" else " " for c in before[: len(excerpt)])
            lines += [f"  {number} | {excerpt}", f"  {' ' * len(number)} | {caret}^"]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class ProblemsError(InputError):
    """Every problem of an operator's file at once, in the order of their places."""

    def __init__(self, problems: list[Problem], *, hint: str | None = None) -> None:
        def order(problem: Problem) -> tuple[str, int, int]:
            place = problem.place
            return (place.file, place.line, place.column) if place else ("", 0, 0)

        self.problems = sorted(problems, key=order)
        super().__init__("\n".join(str(problem) for problem in self.problems), hint=hint)
