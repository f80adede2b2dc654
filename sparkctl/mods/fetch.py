"""Files of mods that come over the network: fetched once, checked, and kept under their checksum."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sparkctl.base import units
from sparkctl.base.errors import ModError
from sparkctl.mods.checksum import md5_of
from sparkctl.mods.on_disk import LARGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sparkctl.mods.manifest import Elsewhere
    from sparkctl.mods.placed import MountedMod
    from sparkctl.world.ports import Fetcher, Files, Report


def fetch(fetcher: Fetcher, mod: MountedMod, report: Report, secret: Callable[[str], str]) -> bytes:
    """Return the bytes of a mod's file from where it is published; ``secret`` gives the value of a secret's name.

    Raises:
        InputError: they cannot be had.
    """
    place = mod.elsewhere
    if place is None or not place.fetched:
        message = f"mod {mod.mod}: {mod.name} is not fetched from anywhere"
        raise ModError(message, hint="its source is a file of this host")
    if place.url is None:
        report.progress(mod.mod, f"fetching {place}", "", None)
        return fetcher.wheel_file(place.package or "", place.release or "", mod.fetch)

    def progress(now: int, total: int | None) -> None:
        tail = units.format_bytes(now) + (f" of {units.format_bytes(total)}" if total else "")
        report.progress(mod.mod, f"fetching {mod.name}", tail, min(1.0, now / total) if total else None)

    return fetcher.url(place.url, token=_token(place, secret), most_bytes=LARGEST_BYTES, progress=progress)


def fetch_missing(
    fetcher: Fetcher,
    files: Files,
    found: Iterable[MountedMod],
    report: Report,
    secret: Callable[[str], str],
) -> list[MountedMod]:
    """Fetch the missing files, check them and keep them in this machine's ``files``; return those that were fetched.

    Raises:
        InputError: a file cannot be had.
        ModError: what came is another file than is pinned; nothing of it is kept.
    """
    waiting = {mod.kept: mod for mod in found if mod.kept is not None and mod.waits}
    for kept, mod in waiting.items():
        content = fetch(fetcher, mod, report, secret)
        md5, sha256 = md5_of(content), hashlib.sha256(content).hexdigest()
        if md5 != mod.md5 or mod.sha256 not in {None, sha256}:
            wrong = f"expected md5 {mod.md5}, found {md5}"
            if md5 == mod.md5:
                wrong = f"the md5 is as expected, but expected sha256 {mod.sha256}, found {sha256}"
            message = f"mod {mod.mod}: {mod.elsewhere} is another file than is pinned: {wrong} ({_kind(content)})"
            raise ModError(message, hint="nothing of it was kept; has its author changed it?")
        files.write(kept, content, mode=0o444)
        report.say(f"{mod.mod}: fetched {mod.name} ({units.format_bytes(len(content))}) from {mod.elsewhere}")
    return list(waiting.values())


def _token(place: Elsewhere, secret: Callable[[str], str]) -> str | None:
    return secret(place.secret) if place.secret is not None else None


def _kind(content: bytes) -> str:
    head = content[:200].lstrip().lower()
    what = "a web page, " if head.startswith((b"<!doctype html", b"<html")) else ""
    return f"{what}{units.format_bytes(len(content))}"
