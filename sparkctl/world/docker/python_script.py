"""Questions to a Python inside an image or a container; the text of this module is handed to that Python.

It runs under whatever Python is there (3.9 and newer), so it needs nothing but the standard library, and imports
none of the packages that it is asked about. The request is JSON: ``packages`` are names, ``files`` are pairs of a path
and the module that it is to be (None: whichever it is below ``sys.path``).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import shutil
import sys
import types
from importlib import metadata
from pathlib import Path

STARTER = "import sys; exec(compile(sys.argv[1], 'inside', 'exec'))"
"""The program for ``python -c``: its first argument is the text of this module, the second the request."""
_FLAGS = slice(4, 8)
_CODE = slice(16, None)
_UNCHECKED = 1
_SAME_SOURCE = slice(8, 16)


def use_the_servers_python() -> None:
    """Become the interpreter that the program ``vllm`` names: it need not be the first in PATH."""
    program = shutil.which("vllm")
    try:
        with open(program or os.devnull, "rb") as file:  # noqa: PTH123
            line = file.readline(512).decode(errors="replace").strip()
    except OSError:
        return
    words = line[2:].split()
    named = words[0] if line.startswith("#!/") and "python" in words[0] else sys.executable
    tried = {sys.executable, os.environ.get("SPARKCTL_INSIDE")}
    if named not in tried and os.access(named, os.X_OK):
        os.environ["SPARKCTL_INSIDE"] = named
        os.execv(named, [named, "-c", STARTER, *sys.argv[1:]])  # noqa: S606  (what the server itself runs)


def forget_the_working_folder() -> None:
    """Leave the working folder out of the search, unless the server was started so that it searches there."""
    try:
        words = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    except OSError:
        words = []
    if b"-m" not in words and b"-c" not in words:
        sys.path[:] = [entry for entry in sys.path if entry]


def found(module: str) -> object:
    """Return the spec that ``import`` would use, without importing the packages above it."""
    path = None
    spec = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        specs = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((one for one in specs if one is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and depth < len(parts):
            return None
        if path is not None and name not in sys.modules:
            # A namespace package below another looks for its parent there.
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = path
    return spec


def package(name: str) -> dict[str, object]:
    """Return where a package is, links resolved, and the version of its distribution; None for what is not known."""
    spec = found(name)
    folder = next(iter(getattr(spec, "submodule_search_locations", None) or ()), None)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = None
    real = os.path.realpath(folder) if folder else None
    return {"folder": real, "on_disk": real is not None and Path(real).is_dir(), "version": version}


def module_of(path: str) -> str | None:
    """Return the name by which a file would be imported, or None if it is not below ``sys.path``."""
    real = os.path.realpath(path)
    entries = sorted((os.path.realpath(entry) for entry in sys.path if entry), key=len, reverse=True)
    for entry in entries:
        if real.startswith(entry + os.sep) and real.endswith(".py"):
            below = real[len(entry) + 1 : -3]
            return below.replace(os.sep, ".").removesuffix(".__init__") if below.isascii() else None
    return None


def shadow(source: str) -> str | None:
    """Return the compiled file that Python runs in place of a source although it was not made from it."""
    compiled = importlib.util.cache_from_source(source)
    try:
        code = Path(compiled).read_bytes()
        text = Path(source).read_bytes()
        status = Path(source).stat()
    except OSError:
        return None
    flags = int.from_bytes(code[_FLAGS], "little")
    if code[:4] != importlib.util.MAGIC_NUMBER or flags & 2:
        return None  # another Python's, or checked against the source whenever it is loaded
    stamp = (int(status.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + (len(text) & 0xFFFFFFFF).to_bytes(4, "little")
    if not flags & _UNCHECKED and code[_SAME_SOURCE] != stamp:
        return None  # Python sees that it is of another file, and compiles anew
    try:
        same = marshal.loads(code[_CODE]) == compile(text, source, "exec", dont_inherit=True)  # noqa: S302
    except (ValueError, EOFError, TypeError, SyntaxError):
        same = False
    return None if same else compiled


def mounts() -> dict[str, bool]:
    """Return whether each mount point is read-only."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    fields = [line.split() for line in lines]
    return {field[4].replace("\\040", " "): "ro" in field[5].split(",") for field in fields}


def seen(path: str, module: str | None, points: dict[str, bool]) -> dict[str, object]:
    """Return what this Python sees at a path."""
    try:
        md5 = hashlib.new("md5", Path(path).read_bytes(), usedforsecurity=False).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        md5 = None
    name = module or module_of(path)
    spec = found(name) if name else None
    origin: str | None = getattr(spec, "origin", None)
    same = origin is not None and os.path.realpath(origin) == os.path.realpath(path)
    return {
        "md5": md5,
        "module": name,
        "origin": path if same else origin,
        "shadow": shadow(origin) if origin and same and md5 else None,
        "read_only": points.get(os.path.realpath(path)),
    }


def main() -> None:
    """Answer the request."""
    use_the_servers_python()
    forget_the_working_folder()
    request = json.loads(sys.argv[2])
    points = mounts()
    answer = {
        "packages": {name: package(name) for name in request["packages"]},
        "files": {path: seen(path, module, points) for path, module in request["files"]},
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
