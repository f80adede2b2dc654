"""Images and recordings for checks, made in code: the bytes of a PNG and of a WAV. Pure."""

from __future__ import annotations

import io
import math
import struct
import wave
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.checks.check import Beeps, Shape

SIDE: Final = 224
"""Pixels of the square that each shape has to itself."""
MARGIN: Final = 32
COLOURS: Final = {
    "red": (220, 20, 20),
    "green": (20, 150, 40),
    "blue": (20, 50, 220),
    "black": (0, 0, 0),
    "yellow": (250, 220, 0),
}
GROUND: Final = (255, 255, 255)
RATE_HZ: Final = 16_000
BEEP_S: Final = 0.25
_LOUDNESS: Final = 16_000


def png(shapes: Sequence[Shape]) -> bytes:
    """Return a PNG (8 bits, RGB) with the shapes from left to right on a white ground."""
    rows = []
    for y in range(SIDE):
        row = bytearray(b"\0")  # filter 0: the bytes as they are
        for shape in shapes:
            for x in range(SIDE):
                row += bytes(COLOURS[shape.colour] if _inside(shape.kind, x, y) else GROUND)
        rows.append(bytes(row))
    header = struct.pack(">IIBBBBB", SIDE * len(shapes), SIDE, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _inside(kind: str, x: int, y: int) -> bool:
    middle, radius = SIDE / 2, SIDE / 2 - MARGIN
    if kind == "circle":
        return math.hypot(x - middle, y - middle) <= radius
    inside = abs(x - middle) <= radius and abs(y - middle) <= radius
    if kind == "square":
        return inside
    # A triangle with its tip at the top: it is as wide as the square at the bottom.
    return inside and abs(x - middle) <= (y - MARGIN) / 2


def wav(beeps: Beeps) -> bytes:
    """Return a WAV (16 bits, mono, 16 kHz) with the beeps, and as much silence after each."""
    length = int(RATE_HZ * BEEP_S)
    tone = [round(_LOUDNESS * math.sin(2 * math.pi * beeps.hertz * i / RATE_HZ)) for i in range(length)]
    return _wav((tone + [0] * length) * beeps.count)


def silence(seconds: float = 1.0) -> bytes:
    """Return a WAV in which nothing is heard."""
    return _wav([0] * int(RATE_HZ * seconds))


def _wav(samples: Sequence[int]) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return buffer.getvalue()
