"""ssh's messages when it does not reach a host, and what to do about them. Pure: from its words to an error."""

from __future__ import annotations

from typing import Final, NamedTuple

from sparkctl.base.errors import EngineError


class Refusal(NamedTuple):
    """A text that ssh, or the shell on the host, prints; what it means, and what to do; ``{ssh}`` is the target."""

    text: str
    means: str
    hint: str


REFUSALS: Final = (
    Refusal(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is another one than ssh knows",
        "was it installed anew? then forget the old key (ssh-keygen -R and the address) and look at the new one: ssh "
        "{ssh}; if it was not, somebody may stand between you and it",
    ),
    Refusal(
        "Host key verification failed",
        "ssh does not know its host key yet",
        "connect once by hand, and compare the key that it shows: ssh {ssh}",
    ),
    Refusal(
        "Permission denied",
        "it takes none of your keys",
        "ssh must get there without a password: ssh-copy-id {ssh}, or start your ssh-agent",
    ),
    Refusal(
        "Could not resolve hostname",
        "no such name is known",
        "mend `ssh:` in hosts.yaml, or add the name to ~/.ssh/config",
    ),
    Refusal(
        "Connection refused",
        "nothing answers at its ssh port",
        "is sshd running there? sudo systemctl start ssh on that host",
    ),
    Refusal(
        "No route to host",
        "the network does not lead there",
        "is it switched on and on this network? ssh {ssh}",
    ),
    Refusal(
        "timed out",
        "it does not answer",
        "is it switched on and on this network? ssh {ssh}",
    ),
    Refusal(
        "python3: not found",
        "it has no python3",
        "DGX OS brings one; sudo apt-get install python3 on that host",
    ),
    Refusal(
        "python3: command not found",
        "it has no python3",
        "DGX OS brings one; sudo apt-get install python3 on that host",
    ),
    Refusal(
        "administratively prohibited",
        "its sshd forwards no sockets",
        "set AllowStreamLocalForwarding yes in its /etc/ssh/sshd_config",
    ),
)
"""OpenSSH 9.2's words, and those of dash and bash; the first that is found counts."""
_WORDS: Final = 200


def refusal(name: str, ssh: str, said: str) -> EngineError:
    """Return why a host is not reached: ``name`` is the host's, ``ssh`` its target, ``said`` what ssh printed."""
    for one in REFUSALS:
        if one.text in said:
            return EngineError(f"{name} is not reached: {one.means}", hint=one.hint.format(ssh=ssh))
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "ssh ended without a word")
    return EngineError(f"{name} is not reached: {last[:_WORDS]}", hint=f"what does ssh {ssh} say?")
