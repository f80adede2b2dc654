"""Draw the documentation's pictures from what the simulated Spark's terminal shows; `--check` only compares them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

PICTURES: Final = {
    "plan-fits.svg": "sparkctl plan e4b-nvfp4 26b-a4b-fp8",
    "plan-refused.svg": "sparkctl plan executor --set limits.context=131072 --set limits.sequences=24",
    "status.svg": "sparkctl status e4b-nvfp4",
}
SERVED: Final = {"status.svg": "e4b-nvfp4"}
"""What has to be up for a picture."""
FOLDER: Final = Path(__file__).parent.parent / "docs" / "pictures"
WIDTH: Final = 118


def draw(name: str, command: str) -> str:
    """Return a picture of a terminal in which a command was run."""
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {"HOME": home, "SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": f"{home}/sim"}
        sparkctl = os.environ.get("SPARKCTL", f"{sys.executable} -m sparkctl").split()
        served = SERVED.get(name)
        if served is not None:
            subprocess.run([*sparkctl, "up", served], env=environ, capture_output=True, check=True)
        done = subprocess.run(
            [*sparkctl, *command.split()[1:]],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if served is not None:
            subprocess.run([*sparkctl, "down", served], env=environ, capture_output=True, check=True)
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text(f"$ {command}", style="bold"))
    console.print(Text(done.stdout.rstrip()))
    # Without rich's fonts, which a reader's browser would fetch from somebody's server.
    fonts = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
    return fonts.sub("", console.export_svg(title="sparkctl", unique_id=Path(name).stem))


def main() -> int:
    """Write the pictures, or tell which of them are not what the terminal shows."""
    stale = []
    for name, command in PICTURES.items():
        picture, path = draw(name, command), FOLDER / name
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(picture)
        elif not path.is_file() or path.read_text() != picture:
            stale.append(name)
    if stale:
        print(f"stale: {', '.join(stale)}; draw them anew: make pictures")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
