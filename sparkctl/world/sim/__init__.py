"""A simulated DGX Spark: the engine, the host and the models of a machine without one.

Each container is a folder and, while it runs, one local process (``server``) that speaks vLLM's HTTP surface and
prints its log lines. The processes outlive the command that started them and end with ``sparkctl down``. The state is
the folders alone, with no daemon: whether a container runs is a lock that its process holds, which the kernel drops
however the process ends.

The folder is ``SPARKCTL_SIM_DIR``, else ``sim`` in the operator's state folder.

**Memory.** The pool is a GB10's. What a service takes comes from recorded starts (``recorded.yaml``) and from the KV
cache that its flags ask for, never from sparkctl's own estimates: they are what the simulation has to be able to
contradict. A service that takes more than is left is killed (exit code 137, not "killed by the kernel", because
docker does not see GPU memory) where a GB10 would freeze.

**Another machine** is ordered by the variable ``SPARKCTL_SIM_HOST`` or the file ``host.yaml`` in the folder, which
``sparkctl.world.sim.pool`` describes: cards with their own memory, several of them, a Spark with one beside it, and who
else is on them. What a service takes of a card beyond what it has is torch's error, as it is there.

**Faults** are ordered by the variable ``SPARKCTL_SIM_FAULTS`` and the file ``faults.yaml`` in the folder; the variable
wins. Both hold a map from a container's, a service's, a recipe's or an image's name to its faults, or ``"*"`` for all,
or the faults alone, for all::

    SPARKCTL_SIM_FAULTS='{"e4b-nvfp4": {"take": 1.2}, "26b-a4b-nvfp4": {"die_in": "capturing"}}'
    SPARKCTL_SIM_FAULTS='load_s=30,stuck_scheduler'

A server's faults are listed in ``sparkctl.world.sim.server``. The engine's own are ``wrong_bytes`` (true, or the
end of a path: these files of the image differ), ``lost_mods`` (the container runs without its mounted files) and
``no_such_image`` (the pull fails).

**What it refuses.** What docker refuses: names that are taken or are none, env-files that are missing or malformed,
mounts without their source, and at the start ports that are taken, addresses and GPUs that this machine has not. The
contract of the engines (``tests/support/engine_contract.py``) holds both to it. Its servers refuse what vLLM refuses: a
context longer than the model's, where that is known, and requests for more than the context.

**What it does not do.** It honours names, labels, environment, published ports, the host network, bind mounts, the
command and the stop; other settings of a container change nothing. A server that is published on all addresses listens
on the loopback alone, and one that is published twice listens on the first of both. A model's folder, its drafter's and
the Hugging Face cache need not be there: the simulated host has every model.
"""

from __future__ import annotations
