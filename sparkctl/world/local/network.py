"""Files of mods from the network: behind a URL, or out of the wheel of a released package."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB

if TYPE_CHECKING:
    from sparkctl.world.ports import Came

_TIMEOUT_S: Final = 30.0
_MOST_FILE: Final = 64 * MIB
"""Bytes of a file of a wheel when it is unpacked: as of a mod's file on this host."""
_TOKEN_WANTED: Final = (401, 403)
_OK: Final = 200
_PLATFORMS: Final = tuple(f"manylinux_2_{minor}_aarch64" for minor in range(17, 40))
"""Platforms of wheels for Linux on arm64, which a GB10 runs; their Python files are the same on every platform."""


class NetworkFetcher:
    """Fetches over HTTP, and by pip, whose configuration says where packages come from.

    ``bars``: pip may draw its progress on stderr.
    """

    def __init__(self, *, bars: bool = True) -> None:
        self._bars = bars

    def url(self, url: str, *, token: str | None, most_bytes: int, progress: Came) -> bytes:
        """Return what is behind a URL; ``progress`` is told the bytes that came, and of how many where that is known.

        ``token`` is sent to the URL's own server only, not to one that it redirects to.

        Raises:
            InputError: no connection, no such file, no permission, a web page, too large, or it broke off.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with (
                httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                self._refuse(url, response, token)
                return self._content(url, response, most_bytes, progress)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = f"cannot fetch {url}: {error or type(error).__name__}"
            raise InputError(
                message, hint="what was fetched before is used offline; try again when it answers"
            ) from None

    @staticmethod
    def _refuse(url: str, response: httpx.Response, token: str | None) -> None:
        """Refuse an answer that is not the file."""
        status = response.status_code
        if status in _TOKEN_WANTED:
            hint = (
                "its secret has no permission there" if token else "give its source a secret: NAME, and set its value"
            )
            raise InputError(f"cannot fetch {url}: the server wants a token ({status})", hint=hint)
        if status != _OK:
            message = f"cannot fetch {url}: the server answered {status} {response.reason_phrase}".rstrip()
            raise InputError(message, hint="open it in a browser: is it the file's own address, of this release?")
        if response.headers.get("content-type", "").startswith("text/html"):
            message = f"cannot fetch {url}: it is a web page, not a file"
            raise InputError(message, hint="take the address of the raw file")

    @staticmethod
    def _content(url: str, response: httpx.Response, most_bytes: int, progress: Came) -> bytes:
        length = response.headers.get("content-length", "")
        total = int(length) if length.isdigit() and "content-encoding" not in response.headers else None
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            progress(len(content), total)
            if len(content) > most_bytes:
                message = f"cannot fetch {url}: it is larger than {most_bytes // 1024**2} MiB"
                raise InputError(message, hint="a mod is a file of a Python package")
        return bytes(content)

    def wheel_file(self, package: str, release: str, file: str) -> bytes:
        """Return one file of a released package's wheel, which pip fetches whole and which is removed again.

        Raises:
            InputError: no pip, no such release, no network, or no such file in it.
        """
        if importlib.util.find_spec("pip") is None:
            message = f"cannot fetch {package} {release}: this Python has no pip"
            raise InputError(
                message, hint=f"{sys.executable} -m ensurepip, or fetch the file and name it as the source"
            )
        with tempfile.TemporaryDirectory(prefix="sparkctl-wheel-") as scratch:
            _pip_download(package, release, Path(scratch), bars=self._bars)
            (wheel,) = Path(scratch).glob("*.whl")
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(file) as member:
                    content = member.read(_MOST_FILE + 1)
            except KeyError:
                message = f"{package} {release} has no file {file}"
                raise InputError(message, hint="name it as it is in the wheel: source: {package: …, file: …}") from None
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
                raise InputError(f"cannot read the wheel of {package} {release}: {error}") from None
        if len(content) > _MOST_FILE:
            message = f"{file} of {package} {release} is larger than {_MOST_FILE // MIB} MiB"
            raise InputError(message, hint="a mod is a file of a Python package")
        return content


def _pip_download(package: str, release: str, folder: Path, *, bars: bool) -> None:
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--no-deps"]
    command += ["--only-binary=:all:", "--abi", "abi3", "--abi", "none", *platforms, "--platform", "any"]
    # pip's own progress goes to the operator's terminal, beside our talk.
    done = subprocess.run(  # noqa: S603  (this Python's pip)
        [*command, "--dest", str(folder), f"{package}=={release}"],
        stdout=sys.stderr if bars and sys.stderr.isatty() else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        message = f"cannot fetch {package} {release}: {(errors or ['pip failed'])[-1].removeprefix('ERROR: ')}"
        raise InputError(message, hint=f"which releases are there? {sys.executable} -m pip index versions {package}")
