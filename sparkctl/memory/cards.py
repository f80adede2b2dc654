"""The known kinds of GPU: their names in NVML, the bandwidth of their memory, and whose memory it is. Pure.

A bandwidth is NVIDIA's figure for the card; the share of it that a server reaches is not a property of the card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_GB: Final = 1_000_000_000


class Card(NamedTuple):
    """A kind of GPU. ``names`` are its names in NVML; ``bytes_per_second`` is None if no source gives it.

    ``unified``: it has no memory of its own, and takes the host's. ``source`` is where the bandwidth comes from.
    """

    key: str
    names: tuple[str, ...]
    bytes_per_second: int | None
    source: str
    unified: bool = False

    @property
    def name(self) -> str:
        """What NVML calls it."""
        return self.names[0]


GB10: Final = Card(
    "gb10", ("NVIDIA GB10",), 273 * _GB, "NVIDIA's data sheet of the DGX Spark: 273 GB/s of LPDDR5X", unified=True
)
CARDS: Final = (
    GB10,
    Card("h200", ("NVIDIA H200", "NVIDIA H200 NVL"), 4_800 * _GB, "NVIDIA's data sheet of the H200: 4.8 TB/s of HBM3e"),
    Card("h100", ("NVIDIA H100 80GB HBM3",), 3_350 * _GB, "NVIDIA's data sheet of the H100 SXM: 3.35 TB/s"),
    Card(
        "a100-80gb",
        ("NVIDIA A100-SXM4-80GB",),
        2_039 * _GB,
        "NVIDIA's data sheet of the A100: 2,039 GB/s for the SXM card of 80 GB",
    ),
    Card(
        "rtx-pro-6000",
        (
            "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
            "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        ),
        1_792 * _GB,
        "NVIDIA's data sheets of both workstation editions: 1,792 GB/s of GDDR7",
    ),
    Card(
        "rtx-6000-ada",
        ("NVIDIA RTX 6000 Ada Generation",),
        960 * _GB,
        "NVIDIA's data sheet of the RTX 6000 Ada: 960 GB/s of GDDR6",
    ),
    Card(
        "rtx-5090",
        ("NVIDIA GeForce RTX 5090",),
        1_792 * _GB,
        "NVIDIA's white paper on the RTX Blackwell architecture: 1,792 GB/s of GDDR7",
    ),
    Card(
        "rtx-4090",
        ("NVIDIA GeForce RTX 4090",),
        1_008 * _GB,
        "NVIDIA's white paper on the Ada architecture: 1,008 GB/s of GDDR6X",
    ),
    Card(
        "rtx-3090",
        ("NVIDIA GeForce RTX 3090",),
        936 * _GB,
        "NVIDIA's white paper on the GA102 architecture: 936 GB/s of GDDR6X",
    ),
)
_BY_KEY: Final = {card.key: card for card in CARDS}
_BY_NAME: Final = {name: card for card in CARDS for name in card.names}


def known(key: str) -> Card | None:
    """Return the card with this key (such as ``rtx-5090``) or this NVML name; None if it is not known."""
    return _BY_KEY.get(key) or _BY_NAME.get(key)


def keys() -> Iterable[str]:
    """Return the keys of the cards that are known."""
    return _BY_KEY.keys()
