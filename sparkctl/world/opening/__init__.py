"""The one place that opens adapters: the doors of this machine and its engine, or of a simulated Spark.

What is heavy (the SDK of Docker, the hub, the network) is imported when it is opened: a command that only reads files
does not pay for it.
"""

from __future__ import annotations
