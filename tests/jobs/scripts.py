"""The scripts of jobs/ as modules: what they import at their top is of the standard library alone."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING

from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from types import ModuleType

FOLDER = REPOSITORY / "jobs"
NAMES = ("llm-compressor", "modelopt")


def loaded(name: str) -> ModuleType:
    """Return a script as a module; nothing in it runs."""
    spec = spec_from_file_location(f"job_script_{name.replace('-', '_')}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass looks for its own module
    spec.loader.exec_module(module)
    return module
