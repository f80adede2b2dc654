"""The word ``sparkctl`` in a shell, answered by the command server: what a test puts first in a script's PATH.

``command_server.in_scripts`` writes it there. It is a program that needs Python alone: it hands its words, environment,
folder and streams over, waits for the end, and ends with the same exit code.
"""

from __future__ import annotations

import json
import os
import socket
import sys

DOOR = "SPARKCTL_TESTED_BY"
"""The variable that names the server's socket, of Linux's abstract addresses."""


def main() -> int:
    told, telling = os.pipe()
    environment = {name: value for name, value in os.environ.items() if name != DOOR}
    request = json.dumps([sys.argv[1:], environment, os.getcwd(), "sparkctl"]).encode()  # noqa: PTH109  (no pathlib)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.connect(f"\0{os.environ[DOOR]}")
        socket.send_fds(door, [request], [1, 2, telling])
        os.close(telling)
        with os.fdopen(told) as lines:
            _, code = (int(line) for line in lines)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
