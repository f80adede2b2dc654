"""Parts of a stack: its gateway as it is declared, and its services as they are asked for."""
