"""A stand-in for the vllm package: a few files to lay mods over. Their checksums are in tests; do not edit them."""

from .version import __version__
