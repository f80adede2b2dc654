"""Recipes of others, and recipes explained: brought in, carried out, compared with other releases."""
