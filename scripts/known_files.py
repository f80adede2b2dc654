"""Write sparkctl/vllm/data/known-files.json: the md5 of the files that mods touch most, in every released vLLM.

    python scripts/known_files.py                  fetch each release's wheel with pip, and write the table
    python scripts/known_files.py --check          compare with the table that is there; exit 1 if it differs
    python scripts/known_files.py --wheels FOLDER  read the wheels that lie in a folder instead

The wheels are those for Linux on arm64, as a GB10 runs them. Nothing of a wheel is run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.utils import parse_wheel_filename
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE: Final = Path(__file__).resolve().parent.parent / "sparkctl" / "vllm" / "data" / "known-files.json"
OLDEST: Final = Version("0.19.0")
TOUCHED: Final = re.compile(
    r"vllm/(?=.*(gemma4|nvfp4|mxfp4|fp4_utils|marlin|modelopt)).*\.py"
    r"|vllm/model_executor/models/(gemma3|gemma3_mm|gemma3n|qwen3_next|qwen3_5|qwen3_moe|gpt_oss|nemotron_h)\.py"
    r"|vllm/model_executor/layers/quantization/(fp8|compressed_tensors/compressed_tensors)\.py"
    r"|vllm/model_executor/layers/fused_moe/layer\.py"
    r"|vllm/v1/(worker/(utils|gpu_worker|gpu_model_runner)|spec_decode/eagle|core/kv_cache_utils)\.py"
    r"|vllm/(utils/(mem_utils|flashinfer|deep_gemm)|platforms/cuda|config/speculative)\.py"
    r"|vllm/(tool_parsers|reasoning)/(gemma4|qwen3|hermes|nemotron)\w*\.py"
)
"""Model files of Gemma 4 and its like, the paths of NVFP4 and marlin, and what the public mods for GB10 patch."""
_PLATFORMS: Final = tuple(f"manylinux_2_{minor}_aarch64" for minor in range(17, 40))


def pip(*words: str) -> str:
    """Run pip and return what it printed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def releases() -> list[Version]:
    """Return the releases that the operator's package index has, the oldest first."""
    (line,) = [line for line in pip("index", "versions", "vllm").splitlines() if line.startswith("Available")]
    found = [Version(text) for text in line.partition(":")[2].replace(",", " ").split()]
    return sorted(version for version in found if version >= OLDEST)


def fetched(version: Version, folder: Path) -> Path:
    """Fetch a release's wheel for arm64 into a folder."""
    words = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    words += ["--no-deps", "--only-binary=:all:", "--abi", "abi3", "--dest", str(folder)]
    pip("download", *words, f"vllm=={version}")
    (wheel,) = folder.glob(f"vllm-{version}-*.whl")
    return wheel


def checksums(wheel: Path) -> dict[str, str]:
    """Return the md5 of every file of a wheel that mods touch, by its path below the package root."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if TOUCHED.fullmatch(name)]
        return {name: hashlib.md5(archive.read(name), usedforsecurity=False).hexdigest() for name in names}


def each_wheel(folder: Path | None) -> Iterator[tuple[Version, Path]]:
    """Yield every release with its wheel; what is fetched is there only until the next."""
    if folder is not None:
        yield from sorted((parse_wheel_filename(path.name)[1], path) for path in folder.glob("vllm-*.whl"))
        return
    for version in releases():
        with tempfile.TemporaryDirectory() as scratch:
            print(f"vllm {version}", file=sys.stderr)
            yield version, fetched(version, Path(scratch))


def table(folder: Path | None) -> str:
    """Return the table as JSON: for each file, the releases that have each content, by md5."""
    files: dict[str, dict[str, list[str]]] = {}
    known = []
    for version, wheel in each_wheel(folder):
        known.append(str(version))
        for path, md5 in checksums(wheel).items():
            files.setdefault(path, {}).setdefault(md5, []).append(str(version))
    found = {"package": "vllm", "releases": known, "files": {path: files[path] for path in sorted(files)}}
    return json.dumps(found, indent=1) + "\n"


def main() -> int:
    """Write the table, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--table", type=Path, default=TABLE, help="write to another file")
    options = parser.parse_args()
    text = table(options.wheels)
    if options.check:
        return int(text != options.table.read_text())
    options.table.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
