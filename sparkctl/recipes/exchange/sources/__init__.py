"""Readers of foreign files: a module a form, each from a ``Material`` to launches."""
