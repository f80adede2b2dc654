"""Files of other tools: read within bounds, made recipes, and written; and what goes to other tools."""
