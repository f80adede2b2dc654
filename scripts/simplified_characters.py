"""Write operations/checks/simplified.txt: the characters that Simplified Chinese has and Traditional Chinese has not.

python scripts/simplified_characters.py DICTIONARY

DICTIONARY is the folder ``dictionary`` of OpenCC's data (PyPI: opencc-python-reimplemented 0.1.7, Apache-2.0), with
STCharacters.txt (simplified, then its traditional forms) and TSCharacters.txt (the other way). A character counts when
it is not one of its own traditional forms (后, 里, 台 and 价 are also written in Traditional Chinese) and is itself the
simplified form of none but others (it is no key of TSCharacters.txt).
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).resolve().parent.parent / "sparkctl" / "operations" / "checks" / "simplified.txt"
HEAD: Final = """\
# Characters of Simplified Chinese that Traditional Chinese does not write, from OpenCC's STCharacters.txt and
# TSCharacters.txt (opencc-python-reimplemented 0.1.7, Apache-2.0). scripts/simplified_characters.py rewrites it.
"""


def pairs(path: Path) -> dict[str, list[str]]:
    """Return a dictionary of OpenCC: each character and its forms in the other script."""
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if "\t" in line)
    return {key: forms.split() for key, forms in lines}


def simplified_only(to_traditional: dict[str, list[str]], to_simplified: dict[str, list[str]]) -> list[str]:
    """Return the characters, in the order of their code points; those beyond the basic plane are too rare to keep."""
    return sorted(
        key
        for key, forms in to_traditional.items()
        if len(key) == 1 and key not in forms and key not in to_simplified and "\u4e00" <= key <= "\u9fff"
    )


def main() -> None:
    """Write the table."""
    folder = Path(sys.argv[1])
    found = simplified_only(pairs(folder / "STCharacters.txt"), pairs(folder / "TSCharacters.txt"))
    TABLE.write_text(HEAD + "\n".join(textwrap.wrap("".join(found), 60)) + "\n", encoding="utf-8")
    print(f"{len(found)} characters")


if __name__ == "__main__":
    main()
