"""Shared parts of the readers of other tools' YAML files: keys that are taken once each, and texts with braces."""
