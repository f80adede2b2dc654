"""Declarative deployment of vLLM models on an NVIDIA DGX Spark."""

from __future__ import annotations
