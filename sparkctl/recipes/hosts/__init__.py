"""The file that names an operator's hosts."""
