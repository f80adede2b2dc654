"""Files of mods that come over the network: from a URL, and out of a released package; kept, and used offline."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Operator
from tests.support.thorough import only_thorough, part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIXED = b"FIXED = True\n"
PAGE = b"<!DOCTYPE html><html>not a file</html>"
TOKEN = "ghp_very_secret"  # noqa: S105  (nobody's)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Files(BaseHTTPRequestHandler):
    """Answers as servers of files do, good and bad."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "")
        type(self).asked.append((self.path, token))
        if self.path == "/moved/fix.py":
            self.send_response(302)
            self.send_header("Location", "/fix.py")
            self.end_headers()
        elif self.path == "/private/fix.py" and token != f"Bearer {TOKEN}":
            self._answer(401, b"who are you")
        elif self.path == "/page/fix.py":
            self._answer(200, PAGE, kind="text/html; charset=utf-8")
        elif self.path == "/disguised/fix.py":
            self._answer(200, PAGE)
        elif self.path == "/short/fix.py":
            self._answer(200, FIXED, length=len(FIXED) + 100)
        elif self.path == "/huge/fix.py":
            self._answer(200, b"#" * (65 * 1024**2))
        elif self.path.endswith("/gone/fix.py"):
            self._answer(404, b"nothing here")
        else:
            self._answer(200, FIXED)

    def _answer(self, status: int, content: bytes, *, kind: str = "text/plain", length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        try:
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            return  # the client had enough

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def served() -> Iterator[tuple[str, type[Files]]]:
    handler = type("Handler", (Files,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    (tmp_path / "home").mkdir()
    (tmp_path / "folder").mkdir()
    return Operator(tmp_path / "home", tmp_path / "folder", {"SPARKCTL_ENGINE": "sim"})


def mod(operator: Operator, source: str, *, pinned: str = md5(FIXED), more: str = "") -> None:
    operator.write(
        "mods/fix/mod.yaml",
        f"files: [{{module: vllm.model_executor.models.gemma4, source: {source}, md5: {pinned}{more}}}]\n",
    )


def kept(operator: Operator) -> Path:
    return operator.home / ".local/state/sparkctl/mods" / md5(FIXED) / "fix.py"


@pytest.mark.parametrize("path", part(["/fix.py", "/moved/fix.py"], 1))
def test_a_url_is_fetched_once_and_used_offline_afterwards(operator: Operator, path: str) -> None:
    with served() as (url, handler):
        mod(operator, f'{{url: "{url}{path}"}}')
        done = operator.run("mods", "fetch").expect(0)
        assert f"fix: fetched fix.py (13 B) from {url}{path}" in done.err
        asked = len(handler.asked)
        assert operator.run("mods", "fetch", "fix").expect(0).err.splitlines()[-1].endswith("nothing to fetch")
        assert len(handler.asked) == asked
    assert kept(operator).read_bytes() == FIXED
    assert kept(operator).stat().st_mode & 0o777 == 0o444
    operator.write("recipes/mine.yaml", "extends: e4b-nvfp4\nmods: [fix]\n")
    (row,) = operator.run("verify-mods", "mine", "--json").expect(0).json
    assert (row["host"], row["md5"]) == ("ok", md5(FIXED))


@pytest.mark.a_part(3)
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/gone/fix.py", "the server answered 404 Not Found"),
        ("/page/fix.py", "it is a web page, not a file"),
        ("/disguised/fix.py", "is another file than is pinned: expected md5"),
        ("/short/fix.py", "peer closed connection without sending complete message body"),
        ("/private/fix.py", "the server wants a token (401)"),
        ("/huge/fix.py", "it is larger than 64 MiB"),
    ],
)
def test_what_is_not_the_file_is_refused_and_nothing_is_kept(operator: Operator, path: str, words: str) -> None:
    with served() as (url, _):
        mod(operator, f'{{url: "{url}{path}"}}')
        refused = operator.run("mods", "fetch", "fix")
    assert refused.code in {2, 6}
    assert words in refused.err
    assert "Traceback" not in refused.err
    assert not kept(operator).exists()


def test_a_server_that_is_not_there_is_said_so(operator: Operator) -> None:
    mod(operator, '{url: "http://127.0.0.1:9/fix.py"}')
    assert "cannot fetch http://127.0.0.1:9/fix.py: " in operator.run("mods", "fetch", "fix").expect(2).err


def test_a_token_goes_to_the_server_and_nowhere_else(operator: Operator) -> None:
    with served() as (url, handler):
        mod(operator, f'{{url: "{url}/private/fix.py", secret: GITHUB_TOKEN}}')
        missing = operator.run("mods", "fetch", "fix").expect(2)
        assert "no value for the secret GITHUB_TOKEN" in missing.err
        operator.environ["GITHUB_TOKEN"] = TOKEN
        done = operator.run("mods", "fetch", "fix").expect(0)
        assert handler.asked == [("/private/fix.py", f"Bearer {TOKEN}")]
    assert TOKEN not in done.out + done.err


@only_thorough
def test_lock_pins_at_first_use_in_a_file_to_commit(operator: Operator) -> None:
    with served() as (url, _):
        mod(operator, f'{{url: "{url}/fix.py"}}', pinned="unpinned")
        unpinned = operator.run("mods", "fetch", "fix").expect(0)
        assert "fix.py is unpinned and was not fetched: sparkctl mods lock fix" in unpinned.err
        assert f"fix: fix.py is pinned to md5 {md5(FIXED)}" in operator.run("mods", "lock", "fix").expect(0).err
    pins = (operator.folder / "mods/fix/pins.yaml").read_text()
    assert md5(FIXED) in pins
    assert hashlib.sha256(FIXED).hexdigest() in pins
    assert kept(operator).read_bytes() == FIXED
    assert operator.run("mods", "lock", "fix").expect(0).err == ""


def test_lock_says_what_it_cannot_have(operator: Operator) -> None:
    refused = operator.run("mods", "lock").expect(6)
    assert "gemma4_patched.py stays unpinned: it comes from the checkpoint of 26b-a4b-nvfp4" in refused.err
    assert "2 files stay unpinned" in refused.err


@only_thorough
def test_a_sha256_must_agree_too(operator: Operator) -> None:
    with served() as (url, _):
        mod(operator, f'{{url: "{url}/fix.py"}}', more=f", sha256: {'a' * 64}")
        refused = operator.run("mods", "fetch", "fix").expect(6)
    assert f"expected sha256 {'a' * 64}, found {hashlib.sha256(FIXED).hexdigest()}" in refused.err
    assert not kept(operator).exists()


def wheel(folder: Path) -> None:
    """Write a wheel as an index would have it."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "fixed_package-1.2-py3-none-any.whl", "w") as archive:
        archive.writestr("vllm/model_executor/models/gemma4.py", FIXED)
        archive.writestr(
            "fixed_package-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: fixed-package\nVersion: 1.2\n"
        )
        archive.writestr(
            "fixed_package-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("fixed_package-1.2.dist-info/RECORD", "")


@only_thorough
def test_one_file_out_of_a_released_package(operator: Operator, tmp_path: Path) -> None:
    wheel(tmp_path / "index")
    operator.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index"), "PIP_CONFIG_FILE": "/dev/null"}
    mod(operator, '{package: fixed-package, release: "1.2"}')
    assert "fetched gemma4.py (13 B) from fixed-package 1.2" in operator.run("mods", "fetch").expect(0).err
    assert (kept(operator).parent / "gemma4.py").read_bytes() == FIXED
    mod(operator, '{package: fixed-package, release: "1.2", file: vllm/other.py}')
    assert "fixed-package 1.2 has no file vllm/other.py" in operator.run("mods", "fetch").expect(2).err
    mod(operator, '{package: fixed-package, release: "1.3", file: vllm/other.py}')
    assert "cannot fetch fixed-package 1.3: " in operator.run("mods", "fetch").expect(2).err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('{url: "ftp://example.org/fix.py"}', "expected a URL that begins with https://"),
        ('{url: "https://user:pw@example.org/fix.py"}', "a URL must not hold a user or a password"),
        (
            '{url: "https://example.org/fix.py", model: fix.py}',
            "expected one of model, url and package, found model and url",
        ),
        ("{}", "expected one of model, url and package, found none"),
        ("{package: vllm}", "a package goes with its release"),
        ('{package: vllm, release: "latest"}', "expected a release as PEP 440 has it, found 'latest'"),
        ('{package: vllm, release: "0.22.1", file: ../x.py}', "expected a file's path in the wheel"),
        ("{model: fix.py, file: x.py}", "file names a file of a package's wheel"),
        ("{model: fix.py, secret: TOKEN}", "secret is for the server of a url"),
    ],
)
def test_a_source_that_cannot_be_one_is_refused_at_its_line(operator: Operator, source: str, words: str) -> None:
    mod(operator, source)
    refused = operator.run("mods", "show", "fix").expect(2)
    assert words in refused.err
    assert "mods/fix/mod.yaml:1:" in refused.err
