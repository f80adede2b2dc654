"""``hosts.yaml``: the Sparks of an operator, how each is reached, and what it is like."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from sparkctl.base.declarations import Declaration, Finding, HostPath, Size, complain, is_name, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE: Final = "hosts.yaml"
HERE: Final = "local"
"""As ``ssh``, it means the machine that sparkctl runs on."""
_TARGET: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:%\[\]/-]*")
"""A target of ssh: it must not begin with a hyphen, which would make it an option of ssh."""
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
"""A name of the kernel's has at most 15 characters (IFNAMSIZ)."""


def _target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise wrong(
            f"expected what ssh takes (spark2, you@spark2.local), found {text!r}", "ports and keys: ~/.ssh/config"
        )
    return text


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise wrong(f"expected an IP address, found {text!r}") from None
    return text


def _interface(text: str) -> str:
    if not _INTERFACE.fullmatch(text):
        raise wrong(f"expected the name of an interface (enp1s0f1np1), found {text!r}", "ip -br link shows them")
    return text


SshTarget = Annotated[str, AfterValidator(_target)]
"""Texts that ssh accepts as a destination."""
IpAddress = Annotated[str, AfterValidator(_address)]
"""An IPv4 or IPv6 address."""
InterfaceName = Annotated[str, AfterValidator(_interface)]
"""The name of a network interface or of an RDMA device."""


class Fabric(Declaration):
    """The network between Sparks: of the ConnectX-7, where each port shows two interfaces and two RDMA devices."""

    address: IpAddress = Field(description="this host's IP address on the fabric")
    interface: InterfaceName = Field(description="the interface that has the address")
    hca: Annotated[tuple[InterfaceName, ...], Field(strict=False)] = Field(
        (), description="the RDMA devices of the cabled port, both twins: rocep1s0f1, roceP2p1s0f1"
    )


class DeclaredHost(Declaration):
    """One host."""

    ssh: SshTarget = Field(description="what `ssh` takes: a name of ~/.ssh/config, or USER@HOST; local: this machine")
    address: str | None = Field(None, min_length=1, description="the name or address that clients of its services use")
    fabric: Fabric | None = Field(None, description="its place on the network between the Sparks")
    models: HostPath | None = Field(None, description="its Hugging Face hub cache, where that is not the standard one")
    reserve: Size | None = Field(None, gt=0, description="kept free, in place of what its profile says")
    profile: Annotated[str, AfterValidator(is_name)] | None = Field(
        None, description="its host profile, where it does not follow from its GPUs"
    )
    labels: Mapping[Annotated[str, AfterValidator(is_name)], str] = Field(
        default_factory=dict, description="the operator's own words about it"
    )

    @property
    def here(self) -> bool:
        """Whether it is the machine that sparkctl runs on."""
        return self.ssh == HERE


class HostsFile(Declaration):
    """The hosts, by name."""

    hosts: Mapping[Annotated[str, AfterValidator(is_name)], DeclaredHost] = Field(
        min_length=1, description="each host by the name that --host takes"
    )

    @model_validator(mode="after")
    def _each_once(self) -> HostsFile:
        complain([*self._twice("ssh"), *self._twice("address"), *self._twice("fabric", "address")])
        return self

    def _twice(self, *path: str) -> Iterator[Finding]:
        """Yield each host that says of itself what another one has said already."""
        first: dict[str, str] = {}
        for name, host in self.hosts.items():
            value: object = host
            for key in path:
                value = getattr(value, key, None)
            if value is None:
                continue
            if str(value) in first:
                message = f"{value} is what {first[str(value)]} has, too: two names would be one machine"
                yield Finding(("hosts", name, *path), message, "name each machine once")
            first.setdefault(str(value), name)
