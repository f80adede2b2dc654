"""The options of ``sparkctl bench`` as a protocol, and options that exclude each other."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB
from sparkctl.operations.bench.service import BenchProtocol

HISTORY: Final = "history"
_PROMPTS_BYTES: Final = 16 * MIB
"""The largest file of prompts that is read: some 30 contexts of 131,072 tokens."""


def refuse_together(names: tuple[str, ...], options: dict[str, object]) -> None:
    """Refuse options that would be ignored.

    Raises:
        InputError: two of them that do not go together.
    """
    one = {"--markdown": "markdown", "--format": "form", "--svg": "svg", "--save": "save"}
    given = [option for option, name in one.items() if options[name]]
    printed = [option for option in given if option in {"--markdown", "--format"}]
    printed += ["--json"] if options["as_json"] else []
    if len(printed) > 1:
        raise InputError(f"{' and '.join(printed)} do not go together: each prints all that is printed")
    modes = [mode for mode in ("--compare", "--sweep") if options[mode.removeprefix("--")]]
    modes += ["history"] if names[0] == HISTORY else []
    refused = [option for option in given if not (modes == ["--sweep"] and option == "--markdown")]
    if modes and (refused or len(modes) > 1):
        raise InputError(f"{' and '.join([*modes, *refused])} do not go together", hint="sparkctl bench --help")


def protocol(options: dict[str, object]) -> BenchProtocol:
    """Return the protocol.

    Raises:
        InputError: prompts that cannot be read, or a concurrency that is none.
    """
    try:
        at_once = tuple(int(text) for text in str(options["concurrency"]).split(","))
    except ValueError:
        at_once = (0,)
    if any(not 1 <= count <= 1024 for count in at_once):  # noqa: PLR2004
        raise InputError(
            f"--concurrency {options['concurrency']}: expected counts from 1 to 1024", hint="such as 1,3,8"
        )
    prompts = _prompts(options["prompts"]) if isinstance(options["prompts"], Path) else ()
    length = options["input_tokens"]
    asked = BenchProtocol(int(str(options["tokens"])), int(str(options["rounds"])), at_once, prompts)
    return asked._replace(input_tokens=length) if isinstance(length, int) else asked


def _prompts(path: Path) -> tuple[str, ...]:
    found = tuple(line.strip() for line in regular_file.read_text(path, _PROMPTS_BYTES).splitlines() if line.strip())
    if not found:
        raise InputError(f"{path} has no prompts", hint="one prompt a line")
    return found
