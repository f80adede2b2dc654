"""Print the development requirements of pyproject.toml: pip reads dependency groups only from version 25.1 on."""

from __future__ import annotations

import tomllib
from pathlib import Path


def main() -> None:
    """Print one requirement a line, without the spaces that a shell would split at."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    for requirement in project["dependency-groups"]["dev"]:
        print(requirement.replace(" ", ""))


if __name__ == "__main__":
    main()
