"""hosts.yaml: what may stand in it, and what is said of what may not, at its line."""

from __future__ import annotations

import pytest

from sparkctl.base import document
from sparkctl.base.errors import ProblemsError
from sparkctl.base.validation import validate
from sparkctl.recipes.hosts.declared import HostsFile

GOOD = """\
hosts:
  a:
    ssh: spark-a
    address: 192.168.1.10
    fabric: {address: 10.0.0.1, interface: enp1s0f1np1, hca: [rocep1s0f1, roceP2p1s0f1]}
    models: ~/models/hub
    reserve: 12 GiB
    profile: gb10
    labels: {room: cellar}
  b: {ssh: you@spark-b.local}
  here: {ssh: local}
"""


def declared(text: str) -> HostsFile:
    return validate(document.load(text, "hosts.yaml"), HostsFile)


def test_hosts_are_read() -> None:
    hosts = declared(GOOD).hosts
    assert list(hosts) == ["a", "b", "here"]
    assert hosts["a"].reserve == 12 * 1024**3
    assert [host.here for host in hosts.values()] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hosts:\n  a: {ssh: -oProxyCommand=x}\n", "hosts.yaml:2:12: hosts.a.ssh: expected what ssh takes"),
        ("hosts:\n  a: {ssh: spark a}\n", "hosts.yaml:2:12: hosts.a.ssh: expected what ssh takes"),
        ("hosts:\n  a: {}\n", "hosts.a.ssh is missing"),
        ("hosts: {}\n", "hosts"),
        ("hosts:\n  a: {ssh: s}\n  b: {ssh: s}\n", "hosts.yaml:3:12: hosts.b.ssh: s is what a has, too"),
        ("hosts:\n  a: {ssh: s}\n  a: {ssh: t}\n", "hosts.yaml:3:3"),
        ("hosts: &all\n  a: *all\n", "hosts.yaml:1:8: an alias inside of what it stands for"),
        (
            "hosts:\n  a: &a {ssh: s, fabric: {address: 10.0.0.1, interface: e}}\n  b: {<<: *a, ssh: t}\n",
            "hosts.b.fabric.address: 10.0.0.1 is what a has, too",
        ),
        ("hosts:\n  a: {ssh: s, fabric: {address: 10.0.0, interface: e}}\n", "expected an IP address, found '10.0.0'"),
        ("hosts:\n  a: {ssh: s, fabric: {address: 10.0.0.1, interface: a/b}}\n", "expected the name of an interface"),
        ("hosts:\n  a: {ssh: s, sshh: t}\n", "unknown key 'sshh'"),
        ("hosts:\n  a b: {ssh: s}\n", "expected a name"),
    ],
)
def test_what_is_wrong_is_said_at_its_line_h2(text: str, said: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        declared(text)
    assert said in str(caught.value)
