"""How a box differs from a stack, and in which order the stack is put into effect."""
