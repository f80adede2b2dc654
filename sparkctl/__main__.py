"""``python -m sparkctl``."""

from __future__ import annotations

from sparkctl.cli import main

if __name__ == "__main__":
    main()
