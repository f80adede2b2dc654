"""Files of other tools: what starts a server there becomes a recipe, and a recipe becomes such a file."""
