"""A model's config.json, read as layers."""
