"""Commands that bring recipes in, and take them out."""
