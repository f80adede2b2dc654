"""Commands that bring recipes in, carry them out, and explain them."""
