"""Files of other tools: read within bounds, made recipes, and written."""
