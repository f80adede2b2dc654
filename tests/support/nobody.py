"""The command line as the user id 424242, which no passwd names: ``python -m tests.support.nobody COMMAND …``.

What is imported is so before, as other users may not read where this package lies.
"""

from __future__ import annotations

import os
import sys
from encodings import utf_8_sig

from sparkctl.cli import main

__all__ = ["main", "utf_8_sig"]

NOBODY = 424242

if __name__ == "__main__":
    os.setuid(NOBODY)
    main(sys.argv[1:])
